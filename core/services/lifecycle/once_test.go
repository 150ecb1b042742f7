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
)

// forgetful is an AnswerStore that keeps nothing from the away-th answer on; 0: it keeps all.
type forgetful struct {
	ports.AnswerStore
	away, asked int
}

func (f *forgetful) Keep(ctx context.Context, a domain.Answer) (domain.Answer, error) {
	if f.asked++; f.away > 0 && f.asked >= f.away {
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
	b := newBulkBench(t)
	svc, answers, p, ids := b.svc, b.answers, b.p, b.submit(2)

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
		answers.away = 1
		_, err := try()
		require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err))
		answers.away = 0
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

func TestOnce_WhenTheClientGivesUpMeanwhile_KeepsTheAnswer(t *testing.T) {
	b := newBulkBench(t)
	request := lifecycle.RepeatableRequest{Key: "k", Operation: "op"}
	ctx, giveUp := context.WithCancel(t.Context())
	_, _ = b.svc.Once(ctx, "cust_a", request, func() (domain.JSON, error) { giveUp(); return "1", nil })
	body, err := b.svc.Once(t.Context(), "cust_a", request, func() (domain.JSON, error) { return "2", nil })
	require.NoError(t, err)
	require.Equal(t, domain.JSON("1"), body)
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
