package controlplane

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/ports/mocks"
)

type noWakes struct{ ports.Notifier }

func (noWakes) Wake(context.Context, string) {}

// A worker on the bus hears its commands itself. A coordinator that listened, too, would decode and
// keep each of them for nobody.
func TestRegister_OfAWorkerThatNeverPolls_OpensNoMailbox(t *testing.T) {
	workers := mocks.NewMockWorkerStore(gomock.NewController(t))
	workers.EXPECT().Register(gomock.Any(), gomock.Any(), gomock.Any()).Return(domain.Worker{ID: "w"}, nil).AnyTimes()
	g := &gated{calls: map[domain.WorkerID]int{}}
	s := New(Config{}, Deps{Workers: workers, Listener: g, Notifier: noWakes{}, Clock: wallClock{},
		Log: slog.New(slog.DiscardHandler)})
	for _, session := range []domain.SessionID{"session-1", "session-2", "session-3"} {
		_, err := s.Register(t.Context(), domain.Registration{
			WorkerID: "w", SessionID: session, Capabilities: []string{"t"}, Slots: 1,
		})
		require.NoError(t, err)
	}
	assert.Zero(t, g.callsTo("w"))
	assert.Empty(t, s.mailboxes.open)
}

// What was assigned before the first poll was told to nobody. The poll does not wait for the next
// common read of the store.
func TestPoll_WhenItOpensTheMailbox_ReadsTheStoreAtOnce(t *testing.T) {
	ctrl := gomock.NewController(t)
	workers, queue := mocks.NewMockWorkerStore(ctrl), mocks.NewMockQueueStore(ctrl)
	workloads := mocks.NewMockWorkloadStore(ctrl)
	workers.EXPECT().List(gomock.Any(), gomock.Any()).Return([]domain.Worker{
		{ID: "w", SessionID: "s", Status: domain.WorkerHealthy},
	}, nil).AnyTimes()
	queue.EXPECT().Unstarted(gomock.Any(), gomock.Any(), gomock.Any(), gomock.Any()).DoAndReturn(func(
		_ context.Context, age time.Duration, _ domain.WorkloadID, _ int,
	) ([]ports.HeldWorkload, error) {
		if age >= 0 {
			return nil, nil // it has just been assigned
		}
		return []ports.HeldWorkload{{WorkloadID: "wl", WorkerID: "w", SessionID: "s"}}, nil
	}).AnyTimes()
	assigned := domain.Workload{Spec: domain.Spec{ID: "wl"}}
	assigned.Status, assigned.WorkerID, assigned.SessionID = domain.StatusScheduled, "w", "s"
	workloads.EXPECT().GetAny(gomock.Any(), domain.WorkloadID("wl")).Return([]domain.Workload{assigned}, nil).AnyTimes()
	g := &gated{calls: map[domain.WorkerID]int{}}
	s := New(Config{}, Deps{Workers: workers, Queue: queue, Workloads: workloads, Listener: g, Clock: wallClock{},
		Log: slog.New(slog.DiscardHandler)})
	ref := ports.SessionRef{WorkerID: "w", SessionID: "s"}

	commands, err := s.Poll(t.Context(), ref, 0)
	require.NoError(t, err)
	require.Len(t, commands, 1)
	assert.Equal(t, domain.WorkloadID("wl"), commands[0].WorkloadID)
	commands, err = s.Poll(t.Context(), ref, 0)
	require.NoError(t, err)
	assert.Empty(t, commands, "from now on the mailbox hears of assignments")
}

func TestPoll_WhenTheSessionIsOver_ClosesTheMailbox(t *testing.T) {
	workers := mocks.NewMockWorkerStore(gomock.NewController(t))
	current := domain.SessionID("s")
	workers.EXPECT().List(gomock.Any(), gomock.Any()).DoAndReturn(
		func(context.Context, ...domain.WorkerID) ([]domain.Worker, error) {
			return []domain.Worker{{ID: "w", SessionID: current, Status: domain.WorkerHealthy}}, nil
		}).AnyTimes()
	g := &gated{calls: map[domain.WorkerID]int{}}
	s := New(Config{}, Deps{Workers: workers, Listener: g, Clock: wallClock{}, Log: slog.New(slog.DiscardHandler)})
	ref := ports.SessionRef{WorkerID: "w", SessionID: "s"}
	_, _, err := s.mailboxes.of(t.Context(), ref)
	require.NoError(t, err)
	current = "successor"
	_, err = s.Poll(t.Context(), ref, 0)
	require.Equal(t, domain.CodeFenced, domain.CodeOf(err))
	assert.Equal(t, 1, g.closed)
	assert.Empty(t, s.mailboxes.open)
}
