package controlplane

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/ports/mocks"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// Each heartbeat of a worker with runs that it must stop would read their inputs, of up to a MiB each,
// only to tell which of them are cancelled. What is read and written anyway says it.
func TestReconcile_OfRunsToStop_ReadsNoWorkload(t *testing.T) {
	for name, c := range map[string]struct {
		results []domain.Result
		err     error
		want    map[domain.WorkloadID]ports.CommandKind
	}{
		"the store answers": {
			results: []domain.Result{
				{Outcome: domain.OutcomeApplied, State: domain.State{Status: domain.StatusCancelled}},
				{Outcome: domain.OutcomeApplied, State: domain.State{Status: domain.StatusRunning}},
				{Outcome: domain.OutcomeNotFound},
				{Outcome: domain.OutcomeIllegal, State: domain.State{Status: domain.StatusRunning}},
			},
			want: map[domain.WorkloadID]ports.CommandKind{
				"wl_cancelled": ports.CommandCancel, "wl_moved": ports.CommandDrop, "wl_deleted": ports.CommandDrop,
			},
		},
		"it cannot": {
			err: domain.NewError(domain.CodeUnavailable, "away"),
			want: map[domain.WorkloadID]ports.CommandKind{
				"wl_cancelled": ports.CommandDrop, "wl_moved": ports.CommandDrop, "wl_deleted": ports.CommandDrop,
				"wl_held": ports.CommandDrop,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctrl := gomock.NewController(t)
			queue, store := mocks.NewMockQueueStore(ctrl), mocks.NewMockWorkloadStore(ctrl) // no Get of any kind
			queue.EXPECT().Held(gomock.Any(), domain.SessionID("s")).Return([]ports.HeldWorkload{
				{WorkloadID: "wl_ok", Generation: 1, Status: domain.StatusRunning},
				{WorkloadID: "wl_ending", Generation: 2, Ending: true, Status: domain.StatusCancelled},
				{WorkloadID: "wl_failed", Generation: 1, Ending: true, Status: domain.StatusFailed},
			}, nil)
			store.EXPECT().Apply(gomock.Any(), gomock.Any()).DoAndReturn(func(
				_ context.Context, b domain.Batch,
			) ([]domain.Result, error) {
				require.Len(t, b.Transitions, 4)
				return c.results, c.err
			})
			notifier, observer := mocks.NewMockNotifier(ctrl), mocks.NewMockObserver(ctrl)
			notifier.EXPECT().Updated(gomock.Any()).AnyTimes()
			observer.EXPECT().Transitioned(gomock.Any(), gomock.Any(), gomock.Any()).AnyTimes()
			s := New(Config{}, Deps{
				Queue: queue, Workloads: store, Clock: wallClock{}, Log: slog.New(slog.DiscardHandler),
				Applier: transitions.New(transitions.Deps{
					Workloads: store, Notifier: notifier, Observer: observer, Clock: wallClock{},
				}),
			})
			h := ports.Heartbeat{SessionRef: ports.SessionRef{WorkerID: "w", SessionID: "s"}}
			for _, r := range []domain.RunID{
				{WorkloadID: "wl_ok", Generation: 1}, {WorkloadID: "wl_ending", Generation: 2},
				{WorkloadID: "wl_failed", Generation: 1}, {WorkloadID: "wl_cancelled", Generation: 1},
				{WorkloadID: "wl_moved", Generation: 3}, {WorkloadID: "wl_deleted", Generation: 1},
				{WorkloadID: "wl_held", Generation: 1},
			} {
				h.Inventory = append(h.Inventory, ports.InventoryItem{
					WorkloadID: r.WorkloadID, Generation: r.Generation, State: ports.RunRunning,
				})
			}
			commands, err := s.reconcile(t.Context(), h)
			require.ErrorIs(t, err, c.err)
			c.want["wl_ending"], c.want["wl_failed"] = ports.CommandCancel, ports.CommandDrop
			kinds := map[domain.WorkloadID]ports.CommandKind{}
			for _, m := range commands {
				kinds[m.WorkloadID] = m.Kind
				require.Equal(t, domain.SessionID("s"), m.SessionID)
			}
			require.Equal(t, c.want, kinds)
		})
	}
}
