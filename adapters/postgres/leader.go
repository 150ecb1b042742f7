package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type leaderLease struct{ s *Store }

func scanLeadership(row pgx.CollectableRow) (l ports.Leadership, err error) {
	return l, row.Scan(&l.Holder, &l.Epoch)
}

// Acquire implements ports.LeaderLease. The row's lock decides between racers: the second one
// finds the first one's lease.
func (l leaderLease) Acquire(ctx context.Context, holder string, ttl time.Duration) (ports.Leadership, bool, error) {
	mine, err := query(ctx, l.s.leases, scanLeadership, `UPDATE leader_lease SET holder = $1::text,
  epoch = CASE WHEN holder = $1::text AND lease_until > niyanta_now() THEN epoch ELSE epoch + 1 END,
  lease_until = niyanta_now() + $2::bigint * interval '1 microsecond'
 WHERE holder = '' OR lease_until <= niyanta_now() OR holder = $1::text
    RETURNING holder, epoch`, holder, ttl.Microseconds())
	if err != nil || len(mine) > 0 {
		return first(mine), len(mine) > 0, err
	}
	theirs, err := query(ctx, l.s.leases, scanLeadership, "SELECT holder, epoch FROM leader_lease")
	return first(theirs), false, err
}

func first(ls []ports.Leadership) ports.Leadership {
	if len(ls) == 0 {
		return ports.Leadership{}
	}
	return ls[0]
}

// Renew implements ports.LeaderLease.
func (l leaderLease) Renew(ctx context.Context, holder string, epoch int64, ttl time.Duration) error {
	n, err := exec(ctx, l.s.leases, `UPDATE leader_lease
    SET lease_until = niyanta_now() + $3::bigint * interval '1 microsecond'
 WHERE holder = $1::text AND epoch = $2::bigint`, holder, epoch, ttl.Microseconds())
	if err == nil && n == 0 {
		return domain.NewError(domain.CodeFenced, "the leader lease is held by another coordinator")
	}
	return err
}

// Release implements ports.LeaderLease.
func (l leaderLease) Release(ctx context.Context, holder string, epoch int64) error {
	_, err := exec(
		ctx, l.s.leases, "UPDATE leader_lease SET holder = '' WHERE holder = $1::text AND epoch = $2::bigint",
		holder, epoch,
	)
	return err
}
