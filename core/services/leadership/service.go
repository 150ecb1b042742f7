package leadership

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Config sets the lease.
type Config struct {
	// Holder names this coordinator, uniquely for its life.
	Holder string
	// TTL is the length of the lease. Renew is the time between renewals. Margin is how long before
	// the end of the lease the leader stops acting, by this process's clock.
	TTL, Renew, Margin time.Duration
}

// Deps are what the service stands on.
type Deps struct {
	Lease    ports.LeaderLease
	Clock    ports.Clock
	Observer ports.Observer
	Log      *slog.Logger
}

// Service holds the claim. One loop calls Tick; the other methods are safe for concurrent use.
type Service struct {
	cfg  Config
	deps Deps

	mu    sync.Mutex
	claim Claim
	// confirmed is when the last successful acquisition or renewal was sent.
	confirmed time.Time
	leading   bool
	// leader is who led when the store was last asked, which was at seen.
	leader ports.Leadership
	seen   time.Time
}

// Claim is a leadership that this process holds.
type Claim struct {
	Epoch int64
	// Since is when it began. If it lapsed by this process's clock, Since is when it was confirmed
	// again. From then on workers have one full lease before any is declared dead.
	Since time.Time
}

// New returns the service.
func New(cfg Config, deps Deps) *Service { return &Service{cfg: cfg, deps: deps} }

// Current returns the claim. It reports whether this process may act as leader now, by its clock.
func (s *Service) Current() (Claim, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claim, s.leading && s.validLocked(s.deps.Clock.Now())
}

// validLocked reports whether the lease still holds at now, less the margin. It needs s.mu.
func (s *Service) validLocked(now time.Time) bool {
	return now.Sub(s.confirmed) < s.cfg.TTL-s.cfg.Margin
}

// Leader returns the leader that was seen last. Its holder is empty if there was none, or if that was
// longer ago than a lease lasts: while the store does not answer, nobody can renew one.
func (s *Service) Leader() ports.Leadership {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deps.Clock.Now().Sub(s.seen) >= s.cfg.TTL {
		return ports.Leadership{}
	}
	return s.leader
}

// Tick acquires or renews the lease when that is due. elected reports whether this call began a
// leadership.
func (s *Service) Tick(ctx context.Context) (elected bool, err error) {
	sent := s.deps.Clock.Now()
	s.mu.Lock()
	leading, epoch := s.leading, s.claim.Epoch
	due := !leading || sent.Sub(s.confirmed) >= s.cfg.Renew
	s.mu.Unlock()
	if !due {
		return false, nil
	}
	if leading {
		return false, s.renew(ctx, sent, epoch)
	}
	l, held, err := s.deps.Lease.Acquire(ctx, s.cfg.Holder, s.cfg.TTL)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader, s.seen = l, sent
	if !held {
		return false, nil
	}
	s.leading, s.confirmed, s.claim = true, sent, Claim{Epoch: l.Epoch, Since: sent}
	s.deps.Observer.Leader(true, l.Epoch)
	s.deps.Log.Info("elected leader", "holder", s.cfg.Holder, "epoch", l.Epoch)
	return true, nil
}

func (s *Service) renew(ctx context.Context, sent time.Time, epoch int64) error {
	err := s.deps.Lease.Renew(ctx, s.cfg.Holder, epoch, s.cfg.TTL)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case domain.IsCode(err, domain.CodeFenced):
		s.lostLocked(ctx, slog.LevelWarn, "another coordinator took over")
		return nil
	case err != nil:
		return err
	}
	if !s.validLocked(sent) {
		s.claim.Since = sent
		s.deps.Log.Warn("leadership had lapsed and is confirmed again", "epoch", epoch)
	}
	s.confirmed, s.seen = sent, sent
	return nil
}

// lostLocked ends the leadership. It needs s.mu. level is that of the log line: what was asked for is
// no warning.
func (s *Service) lostLocked(ctx context.Context, level slog.Level, why string) {
	s.leading = false
	s.leader = ports.Leadership{}
	s.deps.Observer.Leader(false, s.claim.Epoch)
	s.deps.Log.Log(ctx, level, "no longer leader", "epoch", s.claim.Epoch, "reason", why)
}

// StepDown gives up leadership at once. The next Tick of another coordinator acquires it. It does
// nothing unless this coordinator leads.
func (s *Service) StepDown(ctx context.Context) error {
	s.mu.Lock()
	leading, epoch := s.leading, s.claim.Epoch
	if leading {
		s.lostLocked(ctx, slog.LevelInfo, "stepped down")
	}
	s.mu.Unlock()
	if !leading {
		return nil
	}
	return s.deps.Lease.Release(ctx, s.cfg.Holder, epoch)
}
