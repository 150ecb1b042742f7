package bootstrap

import (
	"context"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/adapters/system"
)

const (
	// netEvery is the polling that finishes all work when every wake-up is lost.
	netEvery = time.Second
	// healthEvery is how late an expired lease is noticed at most.
	healthEvery = 500 * time.Millisecond
	// leaderEvery is how often leadership is looked after; whether a renewal is due is leadership's to say.
	leaderEvery = 250 * time.Millisecond
	// maintainEvery is how often the storage is looked after.
	maintainEvery = 10 * time.Minute
	// errorPause keeps a loop that fails from spinning.
	errorPause = 100 * time.Millisecond
)

// trouble logs what goes wrong again and again: the first time, and when it is over.
type trouble struct {
	what  string
	log   *slog.Logger
	since time.Time
	times int
}

// note takes the outcome of one round.
func (t *trouble) note(err error) {
	switch {
	case err == nil && t.times > 0:
		t.log.Info(t.what+" works again", "failures", t.times, "after", time.Since(t.since).Round(time.Millisecond).String())
		*t = trouble{what: t.what, log: t.log}
	case err == nil:
	case t.times == 0:
		t.since, t.times = time.Now(), 1
		t.log.Error(t.what+" failed", "error", err)
	default:
		t.times++
	}
}

// leaderLoop acquires and renews leadership, at once when woken (the leader has stepped down), and wakes the scheduler when
// it is won.
func (c *Core) leaderLoop(ctx context.Context, woken <-chan struct{}, wake func()) {
	t := trouble{what: "leader lease", log: c.Log}
	for {
		elected, err := c.Leadership.Tick(ctx)
		if ctx.Err() == nil {
			t.note(err)
		}
		if elected {
			wake()
		}
		timer := time.NewTimer(leaderEvery)
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

// scheduleLoop runs the scheduler when woken, when delayed work becomes due, and every second as the net.
func (c *Core) scheduleLoop(ctx context.Context, woken <-chan struct{}) {
	t := trouble{what: "scheduling", log: c.Log}
	for {
		wait := c.schedule(ctx, &t)
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
func (c *Core) schedule(ctx context.Context, t *trouble) time.Duration {
	_, err := c.Scheduler.Tick(ctx)
	if ctx.Err() == nil {
		t.note(err)
	}
	if err != nil {
		return errorPause
	}
	due, ok, err := c.Scheduler.NextDue(ctx)
	if err != nil || !ok {
		return netEvery
	}
	return min(due+time.Millisecond, netEvery)
}

// healthLoop sweeps when woken (a worker has died, left, was removed or replaced) and every half second.
func (c *Core) healthLoop(ctx context.Context, woken <-chan struct{}) {
	t := trouble{what: "health sweeps", log: c.Log}
	for {
		err := c.Health.Tick(ctx)
		if ctx.Err() == nil {
			t.note(err)
		}
		timer := time.NewTimer(healthEvery)
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
