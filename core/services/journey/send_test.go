package journey_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// blind is a store whose reads fail while it is set.
type blind struct {
	ports.WorkloadStore
	on bool
}

func (b *blind) GetAny(ctx context.Context, ids ...domain.WorkloadID) ([]domain.Workload, error) {
	if b.on {
		return nil, domain.Unavailable(0, "the database is not available")
	}
	return b.WorkloadStore.GetAny(ctx, ids...)
}

// watched hears of scheduling cycles.
type watched struct {
	*observer
	placements []ports.Placement
}

func (w *watched) Cycle(c ports.SchedulingCycle) {
	w.placements = append(w.placements, c.Placements...)
}

func TestScheduler_WhenTheStoreCannotBeRead_SendsWhatItHasAssigned(t *testing.T) {
	var store *blind
	seen := &watched{observer: &observer{counts: map[string]int{}}}
	w := newWorld(t, func(s *setup) {
		store = &blind{WorkloadStore: s.stores.Workloads}
		s.stores.Workloads, s.host.Observer = store, seen
	})
	wk := w.worker("w", 1)
	_, err := w.b.Leadership.Tick(t.Context()) // the scheduler made last has the store that fails
	require.NoError(t, err)
	id := w.submit()
	store.on = true
	placed, err := w.b.Scheduler.Tick(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, placed)
	assert.Len(t, seen.placements, 1)
	wk.poll()
	store.on = false
	assert.Equal(t, domain.StatusRunning, w.get(id).Status)
}
