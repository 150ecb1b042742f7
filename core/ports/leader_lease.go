package ports

import (
	"context"
	"time"
)

// LeaderLease elects one leader among coordinators. Time is the store's.
type LeaderLease interface {
	// Acquire takes the lease when it is free or expired, with the next epoch, and returns held =
	// true. When holder has it already, it is renewed at its epoch. Otherwise held is false and
	// Leadership tells who has it. Of N racers exactly one gets it. Epochs never repeat and never
	// fall, releases included.
	Acquire(ctx context.Context, holder string, ttl time.Duration) (l Leadership, held bool, err error)
	// Renew extends the lease. CodeFenced when holder does not have it at that epoch any more. A
	// lease past its end that nobody else took is renewed.
	Renew(ctx context.Context, holder string, epoch int64, ttl time.Duration) error
	// Release gives the lease up; the next Acquire succeeds at once. Not holding it is a success.
	Release(ctx context.Context, holder string, epoch int64) error
}

// Leadership identifies the leader.
type Leadership struct {
	Holder string
	Epoch  int64
}
