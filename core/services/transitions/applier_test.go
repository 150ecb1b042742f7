package transitions_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports/mocks"
	"github.com/niyanta/niyanta/core/services/transitions"
)

func TestOneBadRowCostsTheOthersNothing(t *testing.T) {
	ctrl := gomock.NewController(t)
	store, notifier, observer := mocks.NewMockWorkloadStore(ctrl), mocks.NewMockNotifier(ctrl), mocks.NewMockObserver(ctrl)
	isBad := func(t domain.Transition) bool { return t.WorkloadID == "bad" }
	store.EXPECT().Apply(gomock.Any(), gomock.Any()).DoAndReturn(func(_ context.Context, b domain.Batch) ([]domain.Result, error) {
		assert.Equal(t, int64(7), b.Epoch)
		if slices.ContainsFunc(b.Transitions, isBad) {
			return nil, domain.NewError(domain.CodeInternal, "constraint")
		}
		return []domain.Result{{Outcome: domain.OutcomeApplied, WorkloadID: b.Transitions[0].WorkloadID}}, nil
	}).Times(4)
	notifier.EXPECT().Updated(gomock.Any(), gomock.Any()).Times(2)
	observer.EXPECT().Transitioned(gomock.Any(), gomock.Any()).Times(2)
	observer.EXPECT().Count("transition_failed", 1)
	rs, err := transitions.New(store, notifier, observer).Apply(t.Context(), domain.Batch{Epoch: 7, Transitions: []domain.Transition{
		{WorkloadID: "a", Event: domain.EventLose}, {WorkloadID: "bad", Event: domain.EventLose}, {WorkloadID: "b", Event: domain.EventLose},
	}})
	require.NoError(t, err)
	assert.Equal(t, domain.OutcomeApplied, rs[0].Outcome)
	assert.Equal(t, domain.OutcomeRefused, rs[1].Outcome)
	assert.Equal(t, domain.OutcomeApplied, rs[2].Outcome)
}

func TestOtherErrorsAreNotTriedOneByOne(t *testing.T) {
	ctrl := gomock.NewController(t)
	store := mocks.NewMockWorkloadStore(ctrl)
	store.EXPECT().Apply(gomock.Any(), gomock.Any()).Return(nil, domain.NewError(domain.CodeFenced, "stale leader"))
	_, err := transitions.New(store, mocks.NewMockNotifier(ctrl), mocks.NewMockObserver(ctrl)).Apply(t.Context(),
		domain.Batch{Epoch: 1, Transitions: []domain.Transition{{WorkloadID: "a"}, {WorkloadID: "b"}}})
	require.Equal(t, domain.CodeFenced, domain.CodeOf(err))
}
