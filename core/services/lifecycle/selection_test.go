package lifecycle_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// failing is a WorkloadStore that can be made to fail: the transitions and submissions it is asked
// for are done, and their results are lost.
type failing struct {
	ports.WorkloadStore
	applied, submitted func() error
	briefs             func() error
}

func (f *failing) Apply(ctx context.Context, b domain.Batch) ([]domain.Result, error) {
	rs, err := f.WorkloadStore.Apply(ctx, b)
	if err == nil && f.applied != nil {
		err = f.applied()
	}
	return rs, err
}

func (f *failing) Submit(ctx context.Context, batch []domain.Submission) ([]ports.SubmitResult, error) {
	rs, err := f.WorkloadStore.Submit(ctx, batch)
	if err == nil && f.submitted != nil {
		err = f.submitted()
	}
	return rs, err
}

func (f *failing) GetBrief(
	ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	if f.briefs != nil {
		if err := f.briefs(); err != nil {
			return nil, err
		}
	}
	return f.WorkloadStore.GetBrief(ctx, customer, ids...)
}

// bulkBench is a service over a store in memory, with one customer.
type bulkBench struct {
	*testing.T
	svc     *lifecycle.Service
	answers *forgetful
	store   *failing
	p       domain.Principal
}

func newBulkBench(t *testing.T) *bulkBench {
	t.Helper()
	s := memory.NewStore(system.Clock{}).Stores()
	_, err := s.Customers.Create(t.Context(), domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierFree},
		domain.Admin{})
	require.NoError(t, err)
	answers, store := &forgetful{AnswerStore: s.Answers}, &failing{WorkloadStore: s.Workloads}
	return &bulkBench{T: t, answers: answers, store: store, svc: lifecycle.New(lifecycle.Config{}, lifecycle.Deps{
		Workloads: store, Customers: s.Customers, Configs: s.Configs, Workers: s.Workers, Insight: s.Insight,
		Checkpoints: s.Checkpoints, Answers: answers, Retention: s.Retention, Notifier: silent{}, Observer: unseen{},
		Clock: system.Clock{}, IDs: system.IDs{}, Applier: transitions.New(transitions.Deps{
			Workloads: store, Notifier: silent{}, Observer: unseen{}, Clock: system.Clock{},
		}),
	}), p: domain.Principal{Role: domain.RoleCustomer, CustomerID: "cust_a"}}
}

// submit stores n workloads.
func (b *bulkBench) submit(n int) []domain.WorkloadID {
	b.Helper()
	items := make([]lifecycle.SubmitRequest, n)
	for i := range items {
		items[i] = lifecycle.SubmitRequest{Type: "t", Input: "{}"}
	}
	made, err := b.svc.SubmitBatch(b.Context(), b.p, items)
	require.NoError(b, err)
	ids := make([]domain.WorkloadID, n)
	for i := range made {
		require.NoError(b, made[i].Err)
		ids[i] = made[i].Workload.ID
	}
	return ids
}

// pending counts the workloads that wait.
func (b *bulkBench) pending() int {
	b.Helper()
	n, err := b.svc.Count(b.Context(), ports.WorkloadQuery{
		Customer: "cust_a", Statuses: []domain.Status{domain.StatusPending}, Limit: 10,
	})
	require.NoError(b, err)
	return n.N
}

// try sends a bulk request under the key "k", as a transport does. It returns what it is answered.
func (b *bulkBench) try(ctx context.Context, req lifecycle.BulkRequest, digest byte) (string, error) {
	req.IdempotencyKey, req.Digest = "k", [32]byte{digest}
	body, err := b.svc.Once(ctx, "cust_a", lifecycle.RepeatableRequest{
		Key: "k", Operation: "POST /" + string(req.Operation), Digest: req.Digest,
	}, func() (domain.JSON, error) {
		a, err := b.svc.Bulk(ctx, b.p, req)
		if err != nil {
			return "", err
		}
		said := fmt.Sprintf("matched %d applied %d next %t:", a.Matched, a.Applied(), a.Next != nil)
		for i := range a.Outcomes {
			said += fmt.Sprint(" ", a.Outcomes[i].ID, " ", a.Outcomes[i].Status)
			if a.Outcomes[i].Err != nil {
				said += " " + a.Outcomes[i].Err.Error()
			}
		}
		return domain.JSON(said), nil
	})
	return string(body), err
}

func filtered(op lifecycle.BulkOperation, limit int) lifecycle.BulkRequest {
	return lifecycle.BulkRequest{Operation: op, Query: &ports.WorkloadQuery{Customer: "cust_a", Limit: limit}}
}

// TestBulk_WhenAFilteredRequestIsRepeated_ActsOnTheSameWorkloads: a client that did not see the
// answer repeats the request under its key. Nothing else may be cancelled.
func TestBulk_WhenAFilteredRequestIsRepeated_ActsOnTheSameWorkloads(t *testing.T) {
	lost := domain.Unavailable(1, "lost")
	for name, fail := range map[string]func(b *bulkBench, stop context.CancelFunc){
		"the client gives up once it is done": func(b *bulkBench, stop context.CancelFunc) {
			b.store.applied = func() error { stop(); return nil }
		},
		"the client gives up while it is done": func(b *bulkBench, stop context.CancelFunc) {
			b.store.applied = func() error { stop(); return context.Canceled }
		},
		"the result is lost":     func(b *bulkBench, _ context.CancelFunc) { b.store.applied = func() error { return lost } },
		"the answer is not kept": func(b *bulkBench, _ context.CancelFunc) { b.answers.away = 2 },
		"nothing can be kept":    func(b *bulkBench, _ context.CancelFunc) { b.answers.away = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBulkBench(t)
			ids := b.submit(5)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			fail(b, stop)
			_, _ = b.try(ctx, filtered(lifecycle.BulkCancel, 2), 1)
			b.store.applied, b.answers.away = nil, 0
			for range 2 {
				said, err := b.try(t.Context(), filtered(lifecycle.BulkCancel, 2), 1)
				require.NoError(t, err)
				assert.Equal(t, fmt.Sprintf("matched 5 applied 2 next true: %s CANCELLED %s CANCELLED", ids[4], ids[3]), said)
			}
			assert.Equal(t, 3, b.pending())
			_, err := b.try(t.Context(), filtered(lifecycle.BulkCancel, 3), 2)
			require.Equal(t, domain.CodeConflict, domain.CodeOf(err))
			assert.Equal(t, 3, b.pending())
		})
	}
}

// TestBulk_WhenTheAnswerIsNotKept_RefusesTheKeyWithAnotherBody: the selection knows the body.
func TestBulk_WhenTheAnswerIsNotKept_RefusesTheKeyWithAnotherBody(t *testing.T) {
	b := newBulkBench(t)
	b.submit(5)
	b.store.applied = func() error { return domain.Unavailable(1, "lost") }
	_, err := b.try(t.Context(), filtered(lifecycle.BulkCancel, 2), 1)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err))
	b.store.applied = nil
	_, err = b.try(t.Context(), filtered(lifecycle.BulkCancel, 5), 2)
	require.Equal(t, domain.CodeConflict, domain.CodeOf(err))
	assert.Equal(t, 3, b.pending())
}

// TestBulk_WhenSomeOfItFailsUnderAKey_IsDoneWhenRepeated: an answer that says of some workloads that
// the store failed must not be the one that is kept.
func TestBulk_WhenSomeOfItFailsUnderAKey_IsDoneWhenRepeated(t *testing.T) {
	b := newBulkBench(t)
	ids := b.submit(40) // two transactions
	for chunk := range 2 {
		_, err := b.svc.Bulk(t.Context(), b.p, lifecycle.BulkRequest{
			Operation: lifecycle.BulkCancel, IDs: ids[chunk*20 : chunk*20+20],
		})
		require.NoError(t, err)
	}
	calls := 0
	b.store.submitted = func() error {
		if calls++; calls == 2 {
			return domain.Unavailable(1, "lost")
		}
		return nil
	}
	retry := lifecycle.BulkRequest{Operation: lifecycle.BulkRetry, IDs: ids}
	_, err := b.try(t.Context(), retry, 1)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err))
	said, err := b.try(t.Context(), retry, 1)
	require.NoError(t, err)
	assert.Contains(t, said, "matched 40 applied 40")
	assert.Equal(t, 40, b.pending(), "each was run again once")

	b = newBulkBench(t)
	ids = append(b.submit(1), "wl_gone")
	b.store.briefs = func() error { return domain.Unavailable(1, "away") }
	stop := lifecycle.BulkRequest{Operation: lifecycle.BulkCancel, IDs: ids}
	_, err = b.try(t.Context(), stop, 1)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err))
	b.store.briefs = nil
	said, err = b.try(t.Context(), stop, 1)
	require.NoError(t, err)
	assert.Contains(t, said, "matched 1 applied 1")
}
