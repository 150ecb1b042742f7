package memory

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// leadership is the leader's lease. The epoch survives releases, so that it never repeats.
type leadership struct {
	holder string
	epoch  int64
	until  time.Time
}

// checkEpochLocked returns CodeFenced unless epoch is the current leader's.
func (s *Store) checkEpochLocked(epoch int64) error {
	current := s.leader.epoch
	if s.leader.holder == "" {
		current = 0
	}
	return domain.CheckEpoch(epoch, current)
}

type leaderLease struct{ s *Store }

// Acquire implements ports.LeaderLease.
func (l leaderLease) Acquire(ctx context.Context, holder string, ttl time.Duration) (ports.Leadership, bool, error) {
	if err := ctx.Err(); err != nil {
		return ports.Leadership{}, false, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	cur, now := &l.s.leader, l.s.now()
	if cur.holder != "" && cur.until.After(now) {
		if cur.holder == holder {
			cur.until = now.Add(ttl)
		}
		return ports.Leadership{Holder: cur.holder, Epoch: cur.epoch}, cur.holder == holder, nil
	}
	*cur = leadership{holder: holder, epoch: cur.epoch + 1, until: now.Add(ttl)}
	return ports.Leadership{Holder: holder, Epoch: cur.epoch}, true, nil
}

// Renew implements ports.LeaderLease.
func (l leaderLease) Renew(ctx context.Context, holder string, epoch int64, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.leader.holder != holder {
		return domain.NewError(domain.CodeFenced, "the leader lease is held by another coordinator")
	}
	if err := l.s.checkEpochLocked(epoch); err != nil {
		return err
	}
	l.s.leader.until = l.s.now().Add(ttl)
	return nil
}

// Release implements ports.LeaderLease.
func (l leaderLease) Release(ctx context.Context, holder string, epoch int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.leader.holder == holder && l.s.leader.epoch == epoch {
		l.s.leader.holder = ""
	}
	return nil
}
