package journey_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
	"github.com/niyanta/niyanta/core/services/scheduling"
)

const noWorker = "no worker can run it: none is registered"

func TestReview_OfMoreThanABatch_MarksAllOfIt(t *testing.T) {
	w := newWorld(t)
	var ids []domain.WorkloadID
	for n := range scheduling.BatchSize + 40 {
		ids = append(ids, w.submit(func(r *lifecycle.SubmitRequest) {
			r.Affinity.Hard.WorkerTags = map[string]string{"rack": fmt.Sprint(n / 8)} // a lane for each 8
		}))
	}
	w.pass(40 * time.Second)
	unmarked := 0
	for _, id := range ids {
		if w.get(id).Reason != noWorker {
			unmarked++
		}
	}
	assert.Zero(t, unmarked)
}

func TestReview_OfWhatHasRunMeanwhile_MarksItAgain(t *testing.T) {
	w := newWorld(t)
	id := w.submit()
	w.pass(20 * time.Second)
	require.Equal(t, noWorker, w.get(id).Reason)

	wk := w.worker("w", 1)
	w.tick()
	wk.poll()
	require.Equal(t, domain.StatusRunning, w.get(id).Status)
	w.pass(20*time.Second, wk)
	require.NoError(t, w.b.Plane.RemoveWorker(t.Context(), "w", domain.Admin{KeyID: "key_admin"}))
	w.pass(30 * time.Second)
	assert.Equal(t, domain.StatusRedistributing, w.get(id).Status)
	assert.Equal(t, noWorker, w.get(id).Reason)
}

func TestReview_WhileAWorkerRestarts_DoesNotMarkWhatItRan(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 1)
	id := w.submit()
	w.tick()
	wk.poll()
	w.pass(30*time.Second, wk)
	require.NoError(t, w.b.Plane.RemoveWorker(t.Context(), "w", domain.Admin{KeyID: "key_admin"}))
	w.pass(8 * time.Second)
	wl := w.get(id)
	require.Equal(t, domain.StatusRedistributing, wl.Status)
	assert.Equal(t, string(domain.LossRemoved), wl.Reason, "a worker may only be starting again")
	w.pass(12 * time.Second)
	assert.Equal(t, noWorker, w.get(id).Reason)
}
