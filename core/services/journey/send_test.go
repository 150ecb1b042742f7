package journey_test

import (
	"context"
	"testing"
	"time"

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

// unmixed is a store that cannot tell the mix.
type unmixed struct{ ports.StatisticsStore }

func (unmixed) Mix(context.Context) ([]domain.MixClass, error) {
	return nil, domain.Unavailable(0, "the statement took too long")
}

// The mix only says which of several workers is best.
func TestScheduler_WhenTheMixCannotBeRead_PlacesAllTheSame(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.stores.Statistics = unmixed{s.stores.Statistics} })
	_, err := w.b.Plane.Register(t.Context(), domain.Registration{
		WorkerID: "w", SessionID: "s", Capabilities: []string{"t"}, Slots: 1,
		Resources: domain.Offer{Devices: []domain.Device{{ID: "gpu0"}}},
	})
	require.NoError(t, err)
	id := w.submit()
	w.tick()
	assert.Equal(t, domain.StatusScheduled, w.get(id).Status)
}

// brief is a store that leaves what is large out of its answers to assignments.
type brief struct{ ports.WorkloadStore }

func (b brief) Apply(ctx context.Context, batch domain.Batch) ([]domain.Result, error) {
	results, err := b.WorkloadStore.Apply(ctx, batch)
	for i := range results {
		if w := results[i].Assigned; w != nil {
			w.Input, w.Run.Config = "", ""
		}
	}
	return results, err
}

func TestScheduler_WhenTheStoreLeavesOutWhatIsLarge_SendsAllOfIt(t *testing.T) {
	seen := &watched{observer: &observer{counts: map[string]int{}}}
	w := newWorld(t, func(s *setup) {
		s.stores.Workloads, s.host.Observer = brief{s.stores.Workloads}, seen
	})
	wk := w.worker("w", 3)
	_, err := w.b.Leadership.Tick(t.Context())
	require.NoError(t, err)
	ids := []domain.WorkloadID{w.submit(), w.submit(), w.submit()}
	placed, err := w.b.Scheduler.Tick(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, placed)
	assert.Len(t, seen.placements, 3)
	wk.poll()
	for _, id := range ids {
		assert.Equal(t, domain.StatusRunning, w.get(id).Status)
		assert.NotEmpty(t, w.get(id).Input)
	}
}

// weighed counts the reads of whole workloads.
type weighed struct {
	ports.WorkloadStore
	whole int
}

func (r *weighed) Get(
	ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	r.whole++
	return r.WorkloadStore.Get(ctx, customer, ids...)
}

// Hundreds may wait for one workload whose input has a MiB, and each looks once a second.
func TestWait_WhileNothingHappens_ReadsTheWholeWorkloadOnlyAtItsEnds(t *testing.T) {
	var store *weighed
	w := newWorld(t, func(s *setup) {
		store = &weighed{WorkloadStore: s.stores.Workloads}
		s.stores.Workloads = store
	})
	id := w.submit()
	store.whole = 0
	got, err := w.b.Lifecycle.Wait(t.Context(), acme, id, 1200*time.Millisecond)
	require.NoError(t, err)
	assert.Equal(t, domain.StatusPending, got.Status)
	assert.NotEmpty(t, got.Input)
	assert.Equal(t, 2, store.whole)
}

// counted is a store that knows how many workloads it was asked for at once.
type counted struct {
	ports.WorkloadStore
	most int
}

func (c *counted) GetAny(ctx context.Context, ids ...domain.WorkloadID) ([]domain.Workload, error) {
	c.most = max(c.most, len(ids))
	return c.WorkloadStore.GetAny(ctx, ids...)
}

func TestPreemption_OfMany_HoldsFewInMemory(t *testing.T) {
	var store *counted
	w := newWorld(t, preemptive, func(s *setup) {
		store = &counted{WorkloadStore: s.stores.Workloads}
		s.stores.Workloads = store
	})
	theirs := w.other(domain.TierFree)
	_, err := w.a.Tenancy.UpdateCustomer(t.Context(), rival, domain.CustomerPatch{
		Limits: domain.LimitsPatch{MaxConcurrent: domain.To(100)},
	}, domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	_, err = w.b.Leadership.Tick(t.Context()) // the scheduler made last has the store that counts
	require.NoError(t, err)
	wk := w.worker("w", 40)
	for range 40 {
		theirs()
	}
	w.tick()
	wk.poll()
	w.pass(10*time.Second, wk)
	for n := range 40 {
		w.submit(priority(1 + n/8))
	}
	w.pass(6*time.Second, wk)
	assert.Equal(t, 32, store.most)
}
