package transitions_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports/mocks"
	"github.com/niyanta/niyanta/core/services/transitions"
)

func TestApplier_BatchWithABadRow_AppliesTheOthers(t *testing.T) {
	ctrl := gomock.NewController(t)
	store, notifier, observer := mocks.NewMockWorkloadStore(ctrl), mocks.NewMockNotifier(ctrl),
		mocks.NewMockObserver(ctrl)
	isBad := func(t domain.Transition) bool { return t.WorkloadID == "bad" }
	store.EXPECT().Apply(gomock.Any(), gomock.Any()).DoAndReturn(func(
		_ context.Context, b domain.Batch,
	) ([]domain.Result, error) {
		assert.Equal(t, int64(7), b.Epoch)
		if slices.ContainsFunc(b.Transitions, isBad) {
			return nil, domain.NewError(domain.CodeInternal, "constraint")
		}
		return []domain.Result{{Outcome: domain.OutcomeApplied, WorkloadID: b.Transitions[0].WorkloadID}}, nil
	}).Times(4)
	notifier.EXPECT().Updated(gomock.Any(), gomock.Any()).Times(2)
	seen := map[domain.WorkloadID]domain.Outcome{}
	observer.EXPECT().Transitioned(gomock.Any(), gomock.Any(), gomock.Any()).Do(func(
		b domain.Batch, rs []domain.Result, _ time.Duration,
	) {
		require.Len(t, rs, len(b.Transitions))
		seen[b.Transitions[0].WorkloadID] = rs[0].Outcome
	}).Times(3)
	observer.EXPECT().Count("transition_failed", 1)
	applier := transitions.New(transitions.Deps{Workloads: store, Notifier: notifier, Observer: observer,
		Clock: system.Clock{}})
	rs, err := applier.Apply(t.Context(), domain.Batch{Epoch: 7, Transitions: []domain.Transition{
		{WorkloadID: "a", Event: domain.EventLose}, {WorkloadID: "bad", Event: domain.EventLose},
		{WorkloadID: "b", Event: domain.EventLose},
	}})
	require.NoError(t, err)
	assert.Equal(t, domain.OutcomeApplied, rs[0].Outcome)
	assert.Equal(t, domain.OutcomeRefused, rs[1].Outcome)
	assert.Equal(t, domain.OutcomeApplied, rs[2].Outcome)
	assert.Equal(t, map[domain.WorkloadID]domain.Outcome{
		"a": domain.OutcomeApplied, "bad": domain.OutcomeRefused, "b": domain.OutcomeApplied,
	}, seen, "an alert counts what was refused")
}

func TestApplier_OtherErrors_AreNotRetriedOneByOne(t *testing.T) {
	ctrl := gomock.NewController(t)
	store := mocks.NewMockWorkloadStore(ctrl)
	store.EXPECT().Apply(gomock.Any(), gomock.Any()).Return(nil, domain.NewError(domain.CodeFenced, "stale leader"))
	applier := transitions.New(transitions.Deps{
		Workloads: store, Notifier: mocks.NewMockNotifier(ctrl), Observer: mocks.NewMockObserver(ctrl),
		Clock: system.Clock{},
	})
	_, err := applier.Apply(t.Context(),
		domain.Batch{Epoch: 1, Transitions: []domain.Transition{{WorkloadID: "a"}, {WorkloadID: "b"}}})
	require.Equal(t, domain.CodeFenced, domain.CodeOf(err))
}

func TestApplier_WhenTheStoreCannotTakeAnOutcome_LandsItInItsPlainestForm(t *testing.T) {
	for name, code := range map[string]domain.Code{
		"a refused statement": domain.CodeInternal, "an invalid value": domain.CodeInvalidInput,
	} {
		t.Run(name, func(t *testing.T) {
			ctrl := gomock.NewController(t)
			store, notifier, observer := mocks.NewMockWorkloadStore(ctrl), mocks.NewMockNotifier(ctrl),
				mocks.NewMockObserver(ctrl)
			odd := func(t domain.Transition) bool {
				return strings.ContainsRune(string(t.Result)+t.Reason+t.Message, 'é') ||
					t.Failure != nil && strings.ContainsRune(t.Failure.Message, 'é')
			}
			landed := map[domain.WorkloadID]domain.Transition{}
			store.EXPECT().Apply(gomock.Any(), gomock.Any()).DoAndReturn(func(
				_ context.Context, b domain.Batch,
			) ([]domain.Result, error) {
				if slices.ContainsFunc(b.Transitions, odd) {
					return nil, domain.NewError(code, "no such character")
				}
				landed[b.Transitions[0].WorkloadID] = b.Transitions[0]
				return []domain.Result{{Outcome: domain.OutcomeApplied, WorkloadID: b.Transitions[0].WorkloadID}}, nil
			}).AnyTimes()
			notifier.EXPECT().Updated(gomock.Any(), gomock.Any()).AnyTimes()
			observer.EXPECT().Transitioned(gomock.Any(), gomock.Any(), gomock.Any()).AnyTimes()
			a := transitions.New(transitions.Deps{Workloads: store, Notifier: notifier, Observer: observer,
				Clock: system.Clock{}})
			for _, batch := range [][]domain.Transition{
				{{WorkloadID: "alone", Event: domain.EventComplete, Result: `"é"`}},
				{
					{WorkloadID: "failed", Event: domain.EventFail,
						Failure: &domain.Failure{Type: "t", Message: "caf\u00e9", Permanent: true}},
					{WorkloadID: "fine", Event: domain.EventComplete, Result: `"e"`},
				},
			} {
				rs, err := a.Each(t.Context(), batch)
				require.NoError(t, err)
				for i := range rs {
					assert.Equal(t, domain.OutcomeApplied, rs[i].Outcome)
				}
			}
			assert.Contains(t, landed["alone"].Result, domain.FlawNotStorable)
			assert.Equal(t, domain.Failure{Type: "t", Message: "caf?", Permanent: true}, *landed["failed"].Failure)
			assert.Equal(t, domain.JSON(`"e"`), landed["fine"].Result, "what the store takes is not touched")
		})
	}
}

func TestApplier_Each_WhenTheStoreTakesNothingOfIt_RefusesIt(t *testing.T) {
	ctrl := gomock.NewController(t)
	store, observer := mocks.NewMockWorkloadStore(ctrl), mocks.NewMockObserver(ctrl)
	store.EXPECT().Apply(gomock.Any(), gomock.Any()).Return(nil,
		domain.NewError(domain.CodeInternal, "constraint")).AnyTimes()
	observer.EXPECT().Count("transition_failed", 1)
	observer.EXPECT().Transitioned(gomock.Any(), gomock.Any(), gomock.Any())
	rs, err := transitions.New(transitions.Deps{Workloads: store, Notifier: mocks.NewMockNotifier(ctrl),
		Observer: observer,
		Clock:    system.Clock{}}).Each(t.Context(), []domain.Transition{{WorkloadID: "a", Event: domain.EventComplete}})
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeRefused, rs[0].Outcome)
	require.NotEmpty(t, rs[0].Reason)
}
