package bootstrap

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/adapters/system"
)

const (
	// netEvery is the polling that finishes all work when every wake-up is lost.
	netEvery = time.Second
	// leaderEvery is how often leadership is looked after; whether a renewal is due is leadership's to say.
	leaderEvery = 250 * time.Millisecond
	// maintainEvery is how often the storage is looked after.
	maintainEvery = 6 * time.Hour
	// errorPause keeps a loop that fails from spinning.
	errorPause = 100 * time.Millisecond
)

// leaderLoop acquires and renews leadership, and wakes the scheduler when it is won.
func (c *Core) leaderLoop(ctx context.Context, wake func()) {
	for {
		elected, err := c.Leadership.Tick(ctx)
		if err != nil && ctx.Err() == nil {
			c.Log.Error("leader lease", "error", err)
		}
		if elected {
			wake()
		}
		if system.Sleep(ctx, leaderEvery) != nil {
			return
		}
	}
}

// scheduleLoop runs the scheduler when woken, when delayed work becomes due, and every second as the net.
func (c *Core) scheduleLoop(ctx context.Context, woken <-chan struct{}) {
	for {
		wait := c.schedule(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-woken:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// schedule runs one tick and returns how long to wait for the next.
func (c *Core) schedule(ctx context.Context) time.Duration {
	if _, err := c.Scheduler.Tick(ctx); err != nil && ctx.Err() == nil {
		c.Log.Error("scheduling", "error", err)
		return errorPause
	}
	due, ok, err := c.Scheduler.NextDue(ctx)
	if err != nil || !ok {
		return netEvery
	}
	return min(due+time.Millisecond, netEvery)
}

// healthLoop sweeps when woken (a worker was removed or replaced) and every second.
func (c *Core) healthLoop(ctx context.Context, woken <-chan struct{}) {
	for {
		if err := c.Health.Tick(ctx); err != nil && ctx.Err() == nil {
			c.Log.Error("health sweeps", "error", err)
		}
		timer := time.NewTimer(netEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-woken:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// maintainLoop has the storage look after itself, at the start and now and then.
func (c *Core) maintainLoop(ctx context.Context, maintain func(context.Context) error) {
	for {
		pause := maintainEvery
		if err := maintain(ctx); err != nil && ctx.Err() == nil {
			c.Log.Error("maintenance of the storage", "error", err)
			pause = time.Minute
		}
		if system.Sleep(ctx, pause) != nil {
			return
		}
	}
}
