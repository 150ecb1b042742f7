package controlplane

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/batching"
	"github.com/niyanta/niyanta/core/services/checkpointing"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// Config holds the times of sessions.
type Config struct {
	Lease, HeartbeatInterval time.Duration
	// Name identifies this coordinator in the audit trail.
	Name string
}

// Deps are the dependencies of the service.
type Deps struct {
	Workers     ports.WorkerStore
	Fleet       ports.FleetStore
	Audit       ports.AuditStore
	Queue       ports.QueueStore
	Workloads   ports.WorkloadStore
	Checkpoints *checkpointing.Service
	Applier     *transitions.Applier
	Notifier    ports.Notifier
	Listener    ports.Listener
	Observer    ports.Observer
	Clock       ports.Clock
	IDs         ports.IDs
	Log         *slog.Logger
}

// Service is the coordinator's side of the worker protocol. Safe for concurrent use.
type Service struct {
	cfg       Config
	deps      Deps
	beats     *batching.Committer[ports.Beat, ports.BeatResult]
	reports   *batching.Committer[domain.Transition, domain.Result]
	live      *batching.Committer[ports.SessionRef, bool]
	unstarted *batching.Committer[unstartedQuery, []domain.WorkloadID]
	mailboxes mailboxes
	missing   missingRuns
	// unreconciled is set while reconciliations fail, so that only the first failure is logged.
	unreconciled atomic.Bool
}

var _ ports.ControlPlane = (*Service)(nil)

// The limits of batches that callers share.
const (
	beatBatch   = 1000
	reportBatch = 2000
	reportBytes = 32 << 20 // of results and lines
	pollBatch   = 1000
)

// New returns the service. Call Close to end the subscriptions of its mailboxes.
func New(cfg Config, deps Deps) *Service {
	s := &Service{cfg: cfg, deps: deps}
	s.mailboxes = mailboxes{listener: deps.Listener, clock: deps.Clock, open: map[domain.WorkerID]*mailbox{}}
	s.missing = missingRuns{seen: map[domain.SessionID]missedBeat{}}
	renew := func(ctx context.Context, beats []ports.Beat) ([]ports.BeatResult, error) {
		return deps.Workers.Heartbeat(ctx, beats, cfg.Lease)
	}
	s.beats = batching.NewCommitter(beatBatch, renew)
	s.reports = batching.NewCommitter(reportBatch, deps.Applier.Each).Weigh(reportBytes, func(t *domain.Transition) int {
		n := len(t.Result)
		for i := range t.Lines {
			n += len(t.Lines[i].Message) + len(t.Lines[i].Details)
		}
		return n
	})
	s.live = batching.NewCommitter(pollBatch, s.liveSessions)
	s.unstarted = batching.NewCommitter(pollBatch, s.unstartedOf)
	return s
}

// Close closes the mailboxes.
func (s *Service) Close() { s.mailboxes.close() }

// Register implements ports.ControlPlane.
func (s *Service) Register(ctx context.Context, r domain.Registration) (ports.Grant, error) {
	if err := r.Validate(); err != nil {
		return ports.Grant{}, err
	}
	w, err := s.deps.Workers.Register(ctx, r, s.cfg.Lease)
	if err != nil {
		return ports.Grant{}, s.contended(r, err)
	}
	s.deps.Log.Info("worker registered", "worker_id", w.ID, "session_id", w.SessionID, "slots", w.Slots,
		"capabilities", w.Capabilities)
	s.deps.Notifier.Wake(ctx, ports.WakeWorkerRegistered)
	return ports.Grant{
		LeaseMS:             s.cfg.Lease.Milliseconds(),
		HeartbeatIntervalMS: s.cfg.HeartbeatInterval.Milliseconds(),
	}, nil
}

// Heartbeat implements ports.ControlPlane.
func (s *Service) Heartbeat(ctx context.Context, h ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	if err := h.Validate(); err != nil {
		return ports.HeartbeatAnswer{}, err
	}
	s.mailboxes.sweep()
	results, err := s.beats.Do(ctx, ports.Beat{WorkerID: h.WorkerID, SessionID: h.SessionID, Draining: h.Draining})
	if err != nil {
		return ports.HeartbeatAnswer{}, err
	}
	if err := sessionError(h.SessionRef, results[0].Status); err != nil {
		return ports.HeartbeatAnswer{}, err
	}
	answer := ports.HeartbeatAnswer{LeaseMS: s.cfg.Lease.Milliseconds()}
	if answer.Commands, err = s.reconcile(ctx, h); err != nil {
		// The lease is renewed. The next heartbeat reconciles again.
		if !s.unreconciled.Swap(true) {
			s.deps.Log.Warn("reconciliation failed", "worker_id", h.WorkerID, "error", err)
		}
	} else if s.unreconciled.Load() && s.unreconciled.Swap(false) {
		s.deps.Log.Info("reconciliation works again")
	}
	switch draining := results[0].WorkerStatus == domain.WorkerDraining; {
	case draining && !h.Draining && !h.Drained:
		answer.Commands = append(answer.Commands, ports.Command{Kind: ports.CommandDrain, SessionID: h.SessionID})
	case !draining && h.Drained:
		answer.Commands = append(answer.Commands, ports.Command{Kind: ports.CommandUndrain, SessionID: h.SessionID})
	}
	return answer, nil
}

func sessionError(ref ports.SessionRef, st domain.SessionStatus) error {
	switch st {
	case domain.SessionCurrent:
		return nil
	case domain.SessionReplaced:
		return domain.NewError(domain.CodeConflict, "another process is registered as worker %s", ref.WorkerID)
	case domain.SessionOver:
	}
	return domain.NewError(domain.CodeFenced, "session %s of worker %s has ended", ref.SessionID, ref.WorkerID)
}
