package execution

import (
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

// Tick does what is due: it ends the session with its lease, ends runs at their timeout, takes
// checkpoints, and marks runs that ignore their end. It must be called regularly; it is as precise
// as the calls are frequent.
func (a *Agent) Tick() {
	a.CheckLease()
	now := a.deps.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.allLocked() {
		a.tickRunLocked(r, now)
	}
	if len(a.moved) > 0 || len(a.outbox) > 0 {
		a.nudge()
	}
	if len(a.logged) > 0 {
		a.nudgeLines()
	}
}

func (a *Agent) tickRunLocked(r *run, now time.Time) {
	switch {
	case r.state == ports.RunReporting:
	case !r.cancelledAt.IsZero():
		if !r.stuck && r.graceLeftLocked(now) < 0 {
			a.noteStuckLocked(r)
		}
	case !r.haltBy.IsZero() && !now.Before(r.haltBy):
		a.cancelRunLocked(r, r.halting) // its checkpoint takes too long
	case !r.deadline.IsZero() && !now.Before(r.deadline):
		a.cancelRunLocked(r, ports.ErrTimeout)
	case !r.nextPull.IsZero() && !now.Before(r.nextPull) && !r.pulling && r.state == ports.RunRunning:
		r.nextPull = now.Add(time.Duration(r.assignment.CheckpointIntervalMS) * time.Millisecond)
		a.spawnPullLocked(r)
	}
}
