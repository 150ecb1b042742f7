package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// forgetful is an AnswerStore that keeps nothing while it is away.
type forgetful struct {
	ports.AnswerStore
	away bool
}

func (f *forgetful) Keep(ctx context.Context, a domain.Answer) (domain.Answer, error) {
	if f.away {
		return domain.Answer{}, domain.Unavailable(1, "away")
	}
	return f.AnswerStore.Keep(ctx, a)
}

type silent struct{ ports.Notifier }

func (silent) Wake(context.Context, string)                               {}
func (silent) Updated(context.Context, ...ports.Update)                   {}
func (silent) Command(context.Context, domain.WorkerID, ...ports.Command) {}

type unseen struct{ ports.Observer }

func (unseen) Submitted(domain.Tier, []ports.SubmitResult, time.Duration) {}

// Checkpointed implements ports.Observer.
func (unseen) Checkpointed(ports.CheckpointAttempt)                      {}
func (unseen) Transitioned(domain.Batch, []domain.Result, time.Duration) {}
func (unseen) Count(string, int)                                         {}

func TestOnce_WhenTheAnswerWasNotKept_DoesNothingTwice(t *testing.T) {
	s := memory.NewStore(system.Clock{}).Stores()
	_, err := s.Customers.Create(t.Context(), domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierFree},
		domain.Admin{})
	require.NoError(t, err)
	answers := &forgetful{AnswerStore: s.Answers}
	applier := transitions.New(transitions.Deps{Workloads: s.Workloads, Notifier: silent{}, Observer: unseen{},
		Clock: system.Clock{}})
	svc := lifecycle.New(lifecycle.Config{}, lifecycle.Deps{
		Workloads: s.Workloads, Customers: s.Customers, Configs: s.Configs, Workers: s.Workers, Insight: s.Insight,
		Checkpoints: s.Checkpoints, Answers: answers, Notifier: silent{}, Observer: unseen{}, Clock: system.Clock{},
		IDs: system.IDs{}, Applier: applier,
	})
	p := domain.Principal{Role: domain.RoleCustomer, CustomerID: "cust_a"}
	item := lifecycle.SubmitRequest{Type: "t", Input: "{}"}
	made, err := svc.SubmitBatch(t.Context(), p, []lifecycle.SubmitRequest{item, item})
	require.NoError(t, err)
	ids := []domain.WorkloadID{made[0].Workload.ID, made[1].Workload.ID}

	for _, op := range []lifecycle.BulkOperation{lifecycle.BulkCancel, lifecycle.BulkRetry} {
		var outcomes [][]lifecycle.BulkOutcome
		request := lifecycle.RepeatableRequest{Key: "k", Operation: string(op), Digest: [32]byte{1}}
		try := func() (domain.JSON, error) {
			return svc.Once(t.Context(), p.CustomerID, request, func() (domain.JSON, error) {
				a, err := svc.Bulk(t.Context(), p, lifecycle.BulkRequest{
					Operation: op, IDs: ids, Restore: &domain.Restore{}, IdempotencyKey: "k",
				})
				outcomes = append(outcomes, a.Outcomes)
				return `"done"`, err
			})
		}
		answers.away = true
		_, err = try()
		require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err))
		answers.away = false
		for range 2 {
			body, err := try()
			require.NoError(t, err)
			assert.Equal(t, domain.JSON(`"done"`), body)
		}
		require.Len(t, outcomes, 2, "what was kept is not done again")
		assert.Equal(t, outcomes[0], outcomes[1], "%s, repeated", op)
		for _, o := range outcomes[0] {
			assert.True(t, o.Applied)
		}
		request.Digest[0]++
		_, err = try()
		require.Equal(t, domain.CodeConflict, domain.CodeOf(err))
	}
	page, err := svc.List(t.Context(), ports.WorkloadQuery{Customer: "cust_a", Limit: 10})
	require.NoError(t, err)
	assert.Len(t, page.Items, 4, "each was run again once")
}

func TestOnce_AnError_IsNotKept(t *testing.T) {
	s := memory.NewStore(system.Clock{}).Stores()
	_, err := s.Customers.Create(t.Context(), domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierFree},
		domain.Admin{})
	require.NoError(t, err)
	svc := lifecycle.New(lifecycle.Config{}, lifecycle.Deps{Workloads: s.Workloads, Answers: s.Answers})
	request := lifecycle.RepeatableRequest{Key: "k", Operation: "op"}
	_, err = svc.Once(t.Context(), "cust_a", request, func() (domain.JSON, error) { return "", errors.New("refused") })
	require.EqualError(t, err, "refused")
	body, err := svc.Once(t.Context(), "cust_a", request, func() (domain.JSON, error) { return "1", nil })
	require.NoError(t, err)
	require.Equal(t, domain.JSON("1"), body)
}
