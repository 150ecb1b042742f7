package execution

import (
	"context"
	"errors"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// A stopping run is one that was told to end and has not returned. It keeps its slot and stays in
// the inventory, in later sessions too, until its handler returns, because nothing can end a
// goroutine from outside.

// stop ends a run at once, without a report: this worker may no longer report on it.
func (a *Agent) stop(r *run, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.abandonLocked(r, cause)
}

// abandonLocked is stop with a.mu held.
func (a *Agent) abandonLocked(r *run, cause error) {
	if r.abandoned {
		return
	}
	r.abandoned = true
	r.log.Debug("run stopped", "cause", cause)
	a.dropReportsLocked(r)
	if r.state == ports.RunReporting {
		a.removeLocked(r)
		return
	}
	a.cancelRunLocked(r, cause)
}

// cancelRunLocked ends the context of a run. The agent's mu is held.
func (a *Agent) cancelRunLocked(r *run, cause error) {
	if r.state != ports.RunReporting {
		r.state = ports.RunStopping
	}
	if r.cancelledAt.IsZero() {
		r.cancelledAt = a.deps.Clock.Now()
	}
	r.cancel(cause)
}

// halt makes a run save a checkpoint and stop. It is reported as paused or released.
func (a *Agent) halt(r *run, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.abandoned || r.halting != nil || r.state == ports.RunReporting || r.state == ports.RunStopping {
		return
	}
	r.halting, r.haltBy = cause, a.deps.Clock.Now().Add(a.cfg.StopGrace+a.lease)
	a.deps.Spawn(func() {
		defer a.withLock(func() { a.cancelRunLocked(r, cause) })
		_ = a.pull(r) // if it fails, the last durable checkpoint remains
	})
}

// preempt makes a run save a checkpoint, and stops it only if that is durable: a run that cannot
// save continues. A pause or a drain that comes meanwhile takes effect as usual.
func (a *Agent) preempt(r *run, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.abandoned || r.halting != nil || r.preempting || r.state != ports.RunRunning {
		return
	}
	r.preempting = true
	a.deps.Spawn(func() {
		err := errNoReturn
		defer a.withLock(func() {
			saved := err == nil || errors.Is(err, ports.ErrNoCheckpoint) && r.resumable // it has saved one itself
			r.preempting = false
			if !saved || r.abandoned || r.halting != nil || r.state != ports.RunRunning {
				return
			}
			r.halting, r.preemptedFor = ports.ErrPreempted, why
			a.cancelRunLocked(r, ports.ErrPreempted)
		})
		err = a.pull(r)
	})
}

// withLock calls f with a.mu held.
func (a *Agent) withLock(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// noteStuckLocked marks a run that ignores the end of its context. The log tells it, and the
// inventory, where the coordinator counts it. The agent's mu is held.
func (a *Agent) noteStuckLocked(r *run) {
	r.stuck = true
	r.log.Error("run ignores the end of its context; its slot stays taken until it returns", "workload_type",
		r.assignment.Type, "cause", context.Cause(r.ctx))
	a.hurry()
}

// letGoLocked tells the coordinator that a stopped run has returned, so that its slot is free at
// once and not only after the next inventory. The answer does not matter: the session no longer
// holds the run, or the run ends anyway. The agent's mu is held.
func (a *Agent) letGoLocked(r *run) {
	if !a.live || len(a.outbox) >= outboxLimit {
		return
	}
	a.outbox = append(a.outbox, outgoing{report: ports.Report{
		ID: a.deps.IDs.New(""), WorkloadID: r.key.WorkloadID, Generation: r.key.Generation,
		Event: domain.EventRelease, Reason: "the run was stopped",
	}})
	a.nudge()
}

// cancelAll ends the contexts of all runs.
func (a *Agent) cancelAll(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.allLocked() {
		a.cancelRunLocked(r, cause)
	}
}

// patience returns how long the runs that were told to end may still take to return.
func (a *Agent) patience() (longest time.Duration) {
	now := a.deps.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.runs {
		if r.state != ports.RunReporting {
			longest = max(longest, r.graceLeftLocked(now))
		}
	}
	return longest
}
