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
	// TTL is the lease; Renew the time between renewals; Margin how long before the lease's end, by this process's own
	// clock, the leader stops acting.
	TTL, Renew, Margin time.Duration
}

// Service holds the claim. Tick is called by one loop; the rest is safe for concurrent use.
type Service struct {
	cfg      Config
	lease    ports.LeaderLease
	clock    ports.Clock
	observer ports.Observer
	log      *slog.Logger

	mu    sync.Mutex
	claim Claim
	// confirmed is when the last acquisition or renewal that was answered had been sent.
	confirmed time.Time
	leading   bool
	leader    ports.Leadership
}

// Claim is a leadership in force.
type Claim struct {
	Epoch int64
	// Since is when it began, or when it was confirmed again after it had lapsed by this process's clock: from then
	// on workers get one full lease before any is declared dead.
	Since time.Time
}

// New returns the service.
func New(cfg Config, lease ports.LeaderLease, clock ports.Clock, observer ports.Observer, log *slog.Logger) *Service {
	return &Service{cfg: cfg, lease: lease, clock: clock, observer: observer, log: log}
}

// Current returns the claim, if this process may act as leader right now by its own clock.
func (s *Service) Current() (Claim, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claim, s.leading && s.valid(s.clock.Now())
}

func (s *Service) valid(now time.Time) bool { return now.Sub(s.confirmed) < s.cfg.TTL-s.cfg.Margin }

// Leader returns who was seen leading last; the holder is empty when nobody was.
func (s *Service) Leader() ports.Leadership {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader
}

// Tick acquires or renews when due. elected is true when this call began a leadership.
func (s *Service) Tick(ctx context.Context) (elected bool, err error) {
	sent := s.clock.Now()
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
	l, held, err := s.lease.Acquire(ctx, s.cfg.Holder, s.cfg.TTL)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader = l
	if !held {
		return false, nil
	}
	s.leading, s.confirmed, s.claim = true, sent, Claim{Epoch: l.Epoch, Since: sent}
	s.observer.Leader(true, l.Epoch)
	s.log.Info("elected leader", "holder", s.cfg.Holder, "epoch", l.Epoch)
	return true, nil
}

func (s *Service) renew(ctx context.Context, sent time.Time, epoch int64) error {
	err := s.lease.Renew(ctx, s.cfg.Holder, epoch, s.cfg.TTL)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case domain.IsCode(err, domain.CodeFenced):
		s.lost("another coordinator took over")
		return nil
	case err != nil:
		return err
	}
	if !s.valid(sent) {
		s.claim.Since = sent
		s.log.Warn("leadership had lapsed and is confirmed again", "epoch", epoch)
	}
	s.confirmed = sent
	return nil
}

func (s *Service) lost(why string) {
	s.leading = false
	s.leader = ports.Leadership{}
	s.observer.Leader(false, s.claim.Epoch)
	s.log.Warn("no longer leader", "epoch", s.claim.Epoch, "reason", why)
}

// StepDown gives leadership away at once; another coordinator's next Tick gets it. Not leading: nothing happens.
func (s *Service) StepDown(ctx context.Context) error {
	s.mu.Lock()
	leading, epoch := s.leading, s.claim.Epoch
	if leading {
		s.lost("stepped down")
	}
	s.mu.Unlock()
	if !leading {
		return nil
	}
	return s.lease.Release(ctx, s.cfg.Holder, epoch)
}
