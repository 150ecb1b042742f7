package controlplane

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/ports/mocks"
	"github.com/niyanta/niyanta/core/services/transitions"
)

func TestReport_WhenOneOfThemPanics_TheOthersStand(t *testing.T) {
	ctrl := gomock.NewController(t)
	store, notifier, observer := mocks.NewMockWorkloadStore(ctrl), mocks.NewMockNotifier(ctrl),
		mocks.NewMockObserver(ctrl)
	store.EXPECT().Apply(gomock.Any(), gomock.Any()).DoAndReturn(func(
		_ context.Context, b domain.Batch,
	) ([]domain.Result, error) {
		if slices.ContainsFunc(b.Transitions, func(t domain.Transition) bool { return t.WorkloadID == "bad" }) {
			panic("a mistake")
		}
		return make([]domain.Result, len(b.Transitions)), nil
	}).AnyTimes()
	notifier.EXPECT().Updated(gomock.Any(), gomock.Any()).AnyTimes()
	observer.EXPECT().Transitioned(gomock.Any(), gomock.Any(), gomock.Any()).AnyTimes()
	s := New(Config{}, Deps{
		Applier: transitions.New(transitions.Deps{Workloads: store, Notifier: notifier, Observer: observer,
			Clock: system.Clock{}}),
		Observer: observer, Log: slog.New(slog.DiscardHandler),
	})
	ref := ports.SessionRef{WorkerID: "w", SessionID: "s"}
	report := func(id domain.WorkloadID) ports.Report {
		return ports.Report{ID: string(id), WorkloadID: id, Generation: 1, Event: domain.EventComplete}
	}
	for _, batch := range [][]ports.Report{{report("a"), report("bad"), report("b")}, {report("bad")}} {
		answers, err := s.Report(t.Context(), ref, batch)
		require.NoError(t, err)
		for i, ans := range answers {
			assert.Equal(t, batch[i].ID, ans.ReportID)
			assert.Equal(t, batch[i].WorkloadID == "bad", ans.Outcome == domain.OutcomeRefused, "%v", ans)
		}
	}
}
