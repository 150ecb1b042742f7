package health

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// Config sets the times of the sweeps.
type Config struct {
	// Lease is the lease of workers. A new leader declares no worker dead for that long.
	Lease time.Duration
	// Resend is the age at which an assignment that nobody has taken is sent again. At the age of
	// Unassign it is taken back.
	Resend, Unassign time.Duration
	// TimeoutGrace is how far behind its deadline the leader ends a run whose worker has not.
	TimeoutGrace time.Duration
	// Name is this coordinator's, for the audit trail.
	Name string
}

// Sender sends assignments again (scheduling.Service).
type Sender interface {
	Send(ctx context.Context, ids ...domain.WorkloadID) error
}

// Deps are what the service stands on.
type Deps struct {
	Queue    ports.QueueStore
	Workers  ports.WorkerStore
	Applier  *transitions.Applier
	Sender   Sender
	Observer ports.Observer
	Clock    ports.Clock
	IDs      ports.IDs
	Leader   *leadership.Service
	Log      *slog.Logger
}

// Service is the health service. Tick is called by one loop.
type Service struct {
	cfg  Config
	deps Deps
	// resent is when assignments that nobody has taken yet were last sent again.
	resent map[domain.RunID]time.Time
}

// New returns the service.
func New(cfg Config, deps Deps) *Service { return &Service{cfg: cfg, deps: deps} }

// page bounds one sweep's read and commit.
const page = 500

// Tick makes one round of all sweeps. One that fails does not keep the others from running; their
// errors are joined.
func (s *Service) Tick(ctx context.Context) error {
	claim, leading := s.deps.Leader.Current()
	if !leading {
		return nil
	}
	now := s.deps.Clock.Now()
	var expired error
	if now.Sub(claim.Since) >= s.cfg.Lease {
		expired = s.expire(ctx, claim.Epoch)
	}
	lost := errors.Join(expired, s.loseOrphans(ctx, claim.Epoch))
	if lost != nil && ctx.Err() == nil && !domain.IsCode(lost, domain.CodeFenced) {
		s.deps.Observer.Count("redistribution_failed", 1)
	}
	return errors.Join(lost, s.unassign(ctx, claim.Epoch), s.timeOut(ctx, claim.Epoch), s.resend(ctx, now))
}

func (s *Service) expire(ctx context.Context, epoch int64) error {
	for {
		dead, err := s.deps.Workers.Expire(ctx, epoch, page)
		if err != nil {
			return err
		}
		for _, w := range dead {
			s.deps.Log.Warn("worker declared dead", "worker_id", w.ID, "session_id", w.SessionID,
				"last_heartbeat", w.HeartbeatAt)
		}
		s.deps.Observer.Count("worker_expired", len(dead))
		if len(dead) < page {
			return nil
		}
	}
}

func (s *Service) transition(h ports.HeldWorkload, e domain.Event, reason string) domain.Transition {
	return domain.Transition{
		WorkloadID: h.WorkloadID, Event: e, Generation: h.Generation, SessionID: h.SessionID,
		Actor: domain.Actor{Kind: domain.ActorCoordinator, ID: s.cfg.Name}, Reason: reason,
		Jitter: s.deps.IDs.Float64(),
	}
}

func (s *Service) loseOrphans(ctx context.Context, epoch int64) error {
	return sweep(func(after domain.WorkloadID) ([]ports.Orphan, error) {
		return s.deps.Queue.Orphans(ctx, after, page)
	}, func(os []ports.Orphan) (domain.WorkloadID, error) {
		b := domain.Batch{Epoch: epoch}
		for _, o := range os {
			t := s.transition(o.HeldWorkload, domain.EventLose, string(o.Loss))
			t.Loss, t.Excused, t.Returned = o.Loss, o.Excused || o.Shared, o.Returned
			b.Transitions = append(b.Transitions, t)
		}
		_, err := s.deps.Applier.Apply(ctx, b)
		return os[len(os)-1].WorkloadID, err
	})
}

// each sweeps held workloads with one event.
func (s *Service) each(ctx context.Context, epoch int64, e domain.Event, reason string,
	read func(after domain.WorkloadID) ([]ports.HeldWorkload, error),
) error {
	return sweep(read, func(hs []ports.HeldWorkload) (domain.WorkloadID, error) {
		b := domain.Batch{Epoch: epoch}
		for _, h := range hs {
			b.Transitions = append(b.Transitions, s.transition(h, e, reason))
		}
		_, err := s.deps.Applier.Apply(ctx, b)
		return hs[len(hs)-1].WorkloadID, err
	})
}

func (s *Service) unassign(ctx context.Context, epoch int64) error {
	return s.each(ctx, epoch, domain.EventUnassign, "assignment not taken in time",
		func(after domain.WorkloadID) ([]ports.HeldWorkload, error) {
			return s.deps.Queue.Unstarted(ctx, s.cfg.Unassign, after, page)
		})
}

func (s *Service) timeOut(ctx context.Context, epoch int64) error {
	return s.each(ctx, epoch, domain.EventTimeout, "",
		func(after domain.WorkloadID) ([]ports.HeldWorkload, error) {
			return s.deps.Queue.Overdue(ctx, s.cfg.TimeoutGrace, after, page)
		})
}

// resend sends assignments again that were not taken, each at most once per Config.Resend.
func (s *Service) resend(ctx context.Context, now time.Time) error {
	before := s.resent
	s.resent = map[domain.RunID]time.Time{}
	return sweep(func(after domain.WorkloadID) ([]ports.HeldWorkload, error) {
		return s.deps.Queue.Unstarted(ctx, s.cfg.Resend, after, page)
	}, func(hs []ports.HeldWorkload) (domain.WorkloadID, error) {
		var ids []domain.WorkloadID
		for _, h := range hs {
			key := h.Run()
			if s.resent[key] = before[key]; now.Sub(before[key]) >= s.cfg.Resend {
				s.resent[key] = now
				ids = append(ids, h.WorkloadID)
			}
		}
		return hs[len(hs)-1].WorkloadID, s.deps.Sender.Send(ctx, ids...)
	})
}

// sweep walks all pages; handle returns the last id of its page.
func sweep[T any](read func(after domain.WorkloadID) ([]T, error), handle func([]T) (domain.WorkloadID, error)) error {
	after := domain.WorkloadID("")
	for {
		items, err := read(after)
		if err != nil || len(items) == 0 {
			return err
		}
		if after, err = handle(items); err != nil {
			return err
		}
		if len(items) < page {
			return nil
		}
	}
}
