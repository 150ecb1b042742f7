package journey_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// A cycle reads about as many heads of the queue as slots are free. Here it uses all that it reads.
func TestThroughput_WhenEachCycleFillsWhatIsFreeFromOneLane_IsMeasured(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 10)
	for range 300 {
		w.submit()
	}
	for range 24 {
		w.tick()
		wk.poll()
		require.Len(t, wk.held, 10)
		w.pass(5*time.Second, wk)
		for id := range wk.held {
			require.Equal(t, domain.OutcomeApplied, wk.report(id, domain.EventComplete))
			delete(wk.held, id)
		}
	}
	w.tick()
	measured, err := w.stores.Insight.Throughput(t.Context())
	require.NoError(t, err)
	assert.InDelta(t, 120, measured.Types["t"].PerMinute(), 15, "10 each 5 s")
}
