package bootstrap

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// losing is a storage that commits, and whose answer is lost once if lose is set.
type losing struct {
	ports.WorkloadStore
	lose *atomic.Bool
}

func (l losing) lost() error {
	if l.lose.CompareAndSwap(true, false) {
		return domain.Unavailable(0, "the answer was lost")
	}
	return nil
}

// Submit implements ports.WorkloadStore.
func (l losing) Submit(ctx context.Context, batch []domain.Submission) ([]ports.SubmitResult, error) {
	rs, err := l.WorkloadStore.Submit(ctx, batch)
	if err == nil {
		err = l.lost()
	}
	return rs, err
}

// Apply implements ports.WorkloadStore. It loses answers to cancels only.
func (l losing) Apply(ctx context.Context, b domain.Batch) ([]domain.Result, error) {
	rs, err := l.WorkloadStore.Apply(ctx, b)
	if err == nil && b.Transitions[0].Event == domain.EventCancel {
		err = l.lost()
	}
	return rs, err
}

// onLosingStores runs a test on each storage, with one worker. Setting lose makes the next answer of
// the storage get lost.
func onLosingStores(t *testing.T, test func(a *agingAPI, lose *atomic.Bool)) {
	t.Helper()
	for name, on := range map[string]backing{StoreMemory: memoryBacking, StorePostgres: postgresBacking} {
		t.Run(name, func(t *testing.T) {
			lose := &atomic.Bool{}
			test(newAgingAPI(t, func(t *testing.T, clock *steppedClock) (ports.Stores, func(time.Duration)) {
				s, advance := on(t, clock)
				s.Workloads = losing{s.Workloads, lose}
				return s, advance
			}), lose)
		})
	}
}

// cancels returns how many audit events of a workload say that it was cancelled.
func (a *agingAPI) cancels(id string) (n int) {
	a.Helper()
	events, ok := a.send("GET", "/v1/workloads/"+id+"/audit", "", nil).field("events").([]any)
	require.True(a, ok)
	for _, e := range events {
		if m, _ := e.(map[string]any); m["event_type"] == "workload.cancelled" {
			n++
		}
	}
	return n
}

func TestCancel_WhenItsAnswerIsLost_IsAnsweredAsTheFirstTimeUnderItsKey(t *testing.T) {
	onLosingStores(t, func(a *agingAPI, lose *atomic.Bool) {
		id := a.submit(map[string]any{
			"workload_type": "sleep", "input_params": map[string]any{"duration_ms": 60_000, "steps": 6000},
		})
		path := "/v1/workloads/" + id
		a.until(path, "status", "RUNNING")
		cancel := func(key string) answer {
			return a.send("POST", path+"/cancel", `{"reason":"enough"}`, map[string]string{"Idempotency-Key": key})
		}
		lose.Store(true)
		a.refused(cancel("k"), 503, "SERVICE_UNAVAILABLE", "")
		require.False(a, lose.Load())
		first := cancel("k")
		require.Equal(a, 200, first.status, first.body)
		require.Equal(a, "CANCELLED", first.field("status"))
		is := a.send("GET", path, "", nil)
		require.Equal(a, is.field("completed_at"), first.field("cancelled_at"), "when it was cancelled, not repeated")
		require.Equal(a, "enough", is.field("status_reason"))
		require.Equal(a, first.body, cancel("k").body)
		a.refused(cancel("another"), 400, "INVALID_STATE", "")
		require.Equal(a, 1, a.cancels(id))
		require.Eventually(a, func() bool { // its worker is told by the next heartbeat
			workers, err := a.stores.Workers.List(a.Context())
			require.NoError(a, err)
			held, err := a.stores.Queue.Occupancy(a.Context(), workers[0].SessionID)
			require.NoError(a, err)
			return len(held) == 0
		}, 30*time.Second, 20*time.Millisecond, "the run must stop")
	})
}

func TestCancel_WhenItsAnswerIsLost_SucceedsForAClientThatRepeatsIt(t *testing.T) {
	onLosingStores(t, func(a *agingAPI, lose *atomic.Bool) {
		cl, err := niyanta.NewClient(a.dev.App.URL(), a.dev.CustomerKey)
		require.NoError(a, err)
		defer cl.Close()
		id := a.submit(map[string]any{
			"workload_type": "sleep", "input_params": map[string]any{}, "run_at": "2100-01-01T00:00:00Z",
		})
		lose.Store(true)
		answer, err := cl.Cancel(a.Context(), id, "enough", "")
		require.NoError(a, err)
		require.Equal(a, niyanta.StatusCancelled, answer.Status)
		require.False(a, lose.Load())
		require.Equal(a, 1, a.cancels(id))
	})
}

func TestBulkCancel_WhenItsAnswerIsLost_IsAnsweredAsTheFirstTimeUnderItsKey(t *testing.T) {
	onLosingStores(t, func(a *agingAPI, lose *atomic.Bool) {
		id := a.submit(map[string]any{
			"workload_type": "sleep", "input_params": map[string]any{}, "run_at": "2100-01-01T00:00:00Z",
		})
		cancel := func() answer {
			return a.send("POST", "/v1/workloads/batch/cancel", `{"workload_ids":["`+id+`"]}`,
				map[string]string{"Idempotency-Key": "k"})
		}
		lose.Store(true)
		a.refused(cancel(), 503, "SERVICE_UNAVAILABLE", "")
		again := cancel()
		require.Equal(a, 200, again.status, again.body)
		require.NotContains(a, again.body, "INVALID_STATE")
		require.Equal(a, again.body, cancel().body)
		require.Equal(a, 1, a.cancels(id))
	})
}

// TestBulkCancel_WhenTheAnswerOfAFilterIsLost_CancelsNoOthersUnderItsKey: what was cancelled is no
// longer among what the filter matches.
func TestBulkCancel_WhenTheAnswerOfAFilterIsLost_CancelsNoOthersUnderItsKey(t *testing.T) {
	onLosingStores(t, func(a *agingAPI, lose *atomic.Bool) {
		for range 5 {
			a.submit(map[string]any{
				"workload_type": "sleep", "input_params": map[string]any{}, "run_at": "2100-01-01T00:00:00Z",
			})
		}
		cancel := func(limit int) answer {
			return a.send("POST", "/v1/workloads/batch/cancel", fmt.Sprintf(`{"filter":{},"limit":%d}`, limit),
				map[string]string{"Idempotency-Key": "k"})
		}
		lose.Store(true)
		a.refused(cancel(2), 503, "SERVICE_UNAVAILABLE", "")
		require.False(a, lose.Load())
		a.refused(cancel(3), 409, "CONFLICT", "Idempotency-Key")
		again := cancel(2)
		require.Equal(a, []string{"CANCELLED", "CANCELLED"}, again.outcomes(), again.body)
		require.InDelta(a, 5, again.field("matched"), 0, "as when it was first asked for")
		require.InDelta(a, 2, again.field("applied"), 0)
		require.Equal(a, again.body, cancel(2).body)
		rest := a.send("POST", "/v1/workloads/batch/cancel", `{"filter":{},"cursor":"`+
			again.field("pagination.next_cursor").(string)+`"}`, map[string]string{"Idempotency-Key": "another"})
		require.InDelta(a, 5, rest.field("matched"), 0)
		require.InDelta(a, 3, rest.field("applied"), 0, "and no fewer")
	})
}

func TestSubmit_WhenItsAnswerIsLost_SubmitsOnceForAClientThatRepeatsIt(t *testing.T) {
	onLosingStores(t, func(a *agingAPI, lose *atomic.Bool) {
		cl, err := niyanta.NewClient(a.dev.App.URL(), a.dev.CustomerKey)
		require.NoError(a, err)
		defer cl.Close()
		lose.Store(true)
		w, err := cl.Submit(a.Context(), niyanta.Submission{WorkloadType: "sleep", InputParams: []byte(`{}`)}, "")
		require.NoError(a, err)
		require.False(a, lose.Load())
		all, err := a.stores.Workloads.List(a.Context(), ports.WorkloadQuery{Customer: DevCustomer, Limit: 10})
		require.NoError(a, err)
		require.Len(a, all.Items, 1)
		require.Equal(a, string(all.Items[0].ID), w.WorkloadID)
	})
}
