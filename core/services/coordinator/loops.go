package coordinator

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

const (
	// scheduleInterval is the polling that finishes all work when every wake-up is lost.
	scheduleInterval = time.Second
	// sweepInterval is how late an expired lease is noticed at most.
	sweepInterval = 500 * time.Millisecond
	// foldInterval is how long changes of the counts gather before they are folded.
	foldInterval = time.Second
	// liveInterval is how late a stream of live updates notices what the bus did not tell.
	liveInterval = 2 * time.Second
	// leaderInterval is the time between two looks at leadership, which itself decides whether a
	// renewal is due.
	leaderInterval = 250 * time.Millisecond
	// valuesInterval is how late the values of large checkpoints that are not used any more are deleted.
	valuesInterval = 5 * time.Second
	// maxRest bounds how long submissions and free slots gather for the next scheduling cycle.
	maxRest = 10 * time.Millisecond
	// errorPause keeps a scheduler that fails from spinning.
	errorPause = 100 * time.Millisecond
)

// MinLeaderTTL is the shortest lease of a leader: it leaves two tries to renew it.
const MinLeaderTTL = 4 * leaderInterval

// Loop is one of the loops that a coordinator runs. Its rounds never overlap; those of different
// loops may.
type Loop struct {
	// Name is what the loop does, for logs.
	Name string
	// Tick makes one round.
	Tick func(ctx context.Context) (Round, error)
	// WokenBy reports whether a wake-up for that reason brings the next round at once; nil means
	// that none does.
	WokenBy func(reason string) bool
}

// Round is what a round of a loop says about what comes next. It is valid with an error too.
type Round struct {
	// Next is how long until the next round, unless something wakes the loop before.
	Next time.Duration
	// Rest is how long nothing wakes the loop: what would have woken it gathers for the next round.
	Rest time.Duration
	// Wake is the reason to wake the loops of this coordinator for; empty means not to.
	Wake string
}

// wakeElected is why the loops of a coordinator are woken when it has become the leader.
const wakeElected = "leader elected"

// Loops returns the loops: leadership, scheduling, sweeps, counts, retention, live updates, deletions
// and, where large checkpoints are kept, the deletion of their values, in this order.
func (c *Coordinator) Loops() []Loop {
	loops := []Loop{
		{Name: "leader lease", Tick: c.lead, WokenBy: func(reason string) bool {
			return reason == ports.WakeSteppedDown
		}},
		{Name: "scheduling", Tick: c.schedule, WokenBy: func(reason string) bool {
			// While every slot is taken, another submission is no reason for another cycle.
			return reason != ports.WakeSubmit || !c.Scheduler.Full()
		}},
		{Name: "health sweeps", Tick: c.sweep, WokenBy: wakesSweep},
		{Name: "counts", Tick: c.fold},
		{Name: "retention", Tick: c.purge},
		{Name: "live updates", Tick: c.lookForMissed},
		{Name: "deletions", Tick: c.erase, WokenBy: func(reason string) bool {
			return reason == ports.WakeCustomerDeleted || reason == wakeElected
		}},
	}
	if c.large {
		loops = append(loops, Loop{Name: "deletion of large checkpoints", Tick: c.deleteValues})
	}
	return loops
}

// lead acquires or renews leadership.
func (c *Coordinator) lead(ctx context.Context) (Round, error) {
	r := Round{Next: leaderInterval}
	elected, err := c.Leadership.Tick(ctx)
	if elected {
		r.Wake = wakeElected
	}
	return r, err
}

// schedule places what waits. The next round is due when delayed work becomes eligible. It rests as
// long as it has taken. So under load fewer cycles place more workloads each, and an idle system
// places what is submitted at once.
func (c *Coordinator) schedule(ctx context.Context) (r Round, err error) {
	begin := c.clock.Now()
	defer func() { r.Rest = max(min(c.clock.Now().Sub(begin), maxRest, r.Next), 0) }()
	if _, err := c.Scheduler.Tick(ctx); err != nil {
		return Round{Next: errorPause}, err
	}
	due, ok, err := c.Scheduler.NextDue(ctx)
	if err != nil || !ok {
		return Round{Next: scheduleInterval}, nil
	}
	return Round{Next: min(due+time.Millisecond, scheduleInterval)}, nil
}

// sweep takes work away from workers that cannot do it.
func (c *Coordinator) sweep(ctx context.Context) (Round, error) {
	return Round{Next: sweepInterval}, c.Health.Tick(ctx)
}

// fold folds the changes of the counts.
func (c *Coordinator) fold(ctx context.Context) (Round, error) {
	more, err := c.Statistics.Fold(ctx)
	if more {
		return Round{}, err
	}
	return Round{Next: foldInterval}, err
}

// purge removes what has been kept for its time.
func (c *Coordinator) purge(ctx context.Context) (Round, error) {
	next, err := c.Retention.Tick(ctx)
	return Round{Next: next}, err
}

// lookForMissed wakes the streams of live updates that missed something.
func (c *Coordinator) lookForMissed(ctx context.Context) (Round, error) {
	return Round{Next: liveInterval}, c.Live.Tick(ctx)
}

// erase removes customers that are being deleted.
func (c *Coordinator) erase(ctx context.Context) (Round, error) {
	next, err := c.Erasure.Tick(ctx)
	return Round{Next: next}, err
}

// deleteValues removes the values of large checkpoints that are not used any more.
func (c *Coordinator) deleteValues(ctx context.Context) (Round, error) {
	if _, leading := c.Leadership.Current(); !leading {
		return Round{Next: valuesInterval}, nil
	}
	return Round{Next: valuesInterval}, c.Checkpoints.Sweep(ctx)
}

// wakesSweep reports whether work may have lost its worker: one has left, or came back in another
// process.
func wakesSweep(reason string) bool {
	switch reason {
	case wakeElected, ports.WakeWorkerRegistered, ports.WakeWorkerLeft, ports.WakeWorkerDied, ports.WakeWorkerRemoved:
		return true
	}
	return false
}
