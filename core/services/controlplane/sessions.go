package controlplane

import (
	"context"
	"errors"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// contended handles the refusal of a worker id that another process holds. It adds to the error
// what the worker needs to wait for the id.
func (s *Service) contended(r domain.Registration, err error) error {
	var refused *domain.Error
	if !errors.As(err, &refused) || refused.Code != domain.CodeConflict {
		return err
	}
	s.deps.Observer.Count("worker_id_contended", 1)
	s.deps.Log.Warn("registration refused: another process holds the worker id", "worker_id", r.WorkerID,
		"session_id", r.SessionID,
		"process_id", r.ProcessID, "lease_left_ms", refused.Details["lease_left_ms"])
	return refused.With("lease_ms", s.cfg.Lease.Milliseconds()).
		With("heartbeat_interval_ms", s.cfg.HeartbeatInterval.Milliseconds())
}

// End implements ports.ControlPlane. It wakes the leader, so that the work of the ended sessions is
// redistributed at once.
func (s *Service) End(ctx context.Context, e domain.SessionEnd) error {
	if err := e.Validate(); err != nil {
		return err
	}
	ended, err := s.deps.Workers.End(ctx, e)
	if domain.IsCode(err, domain.CodeForbidden) {
		s.deps.Observer.Count("certificate_refused", 1)
		s.deps.Log.Warn("death certificate refused: wrong secret", "process_id", e.ProcessID)
	}
	if err != nil {
		return err
	}
	for _, w := range ended {
		s.missing.forget(w.SessionID)
		s.mailboxes.drop(ports.SessionRef{WorkerID: w.ID, SessionID: w.SessionID})
		if e.Certificate() {
			s.deps.Log.Warn("worker died", "worker_id", w.ID, "session_id", w.SessionID, "process_id", e.ProcessID)
		} else {
			s.deps.Log.Info("worker left", "worker_id", w.ID, "session_id", w.SessionID)
		}
	}
	if len(ended) == 0 {
		return nil
	}
	reason, counter := ports.WakeWorkerLeft, "worker_left"
	if e.Certificate() {
		reason, counter = ports.WakeWorkerDied, "worker_died"
	}
	s.deps.Observer.Count(counter, len(ended))
	s.deps.Notifier.Wake(ctx, reason)
	return nil
}
