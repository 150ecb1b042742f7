package execution

import (
	"context"
	"errors"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Handle does what a command says. Commands are hints: what is not for this session, or for a generation that is not held,
// is ignored.
func (a *Agent) Handle(c ports.Command) {
	ref, ok := a.ref()
	if !ok || c.SessionID != ref.SessionID {
		return
	}
	if c.Kind == ports.CommandDrain {
		a.Drain()
		return
	}
	if c.Kind == ports.CommandUndrain {
		a.Undrain()
		return
	}
	if c.Kind == ports.CommandAssign {
		if c.Assignment != nil {
			a.assign(c.Assignment)
		}
		return
	}
	a.mu.Lock()
	r := a.runs[c.Run()]
	a.mu.Unlock()
	if r == nil {
		return
	}
	switch c.Kind {
	case ports.CommandCancel:
		a.stop(r, ports.ErrCancelled)
	case ports.CommandDrop:
		a.stop(r, ports.ErrFenced)
	case ports.CommandPause:
		a.halt(r, ports.ErrPaused)
	case ports.CommandPreempt:
		a.preempt(r, c.Reason)
	case ports.CommandCheckpoint:
		a.checkpoint(r)
	case ports.CommandAssign, ports.CommandDrain, ports.CommandUndrain:
	default:
		a.log.Warn("unknown command ignored", "kind", string(c.Kind))
	}
}

// assign takes an assignment or declines it.
func (a *Agent) assign(as *ports.Assignment) {
	needed := domain.NeededCapability(as.Type, as.Input)
	a.mu.Lock()
	defer a.mu.Unlock()
	key := as.Run()
	if !a.live || a.runs[key] != nil {
		return // repeated
	}
	if a.ended.has(key) {
		return // late: it has run here already, or was told to stop
	}
	if older := a.newest[key.WorkloadID]; older != nil {
		if older.key.Generation > key.Generation {
			return // late
		}
		a.abandon(older, ports.ErrFenced)
	}
	switch {
	case a.draining:
		a.decline(as, "worker is draining")
		return
	case a.cfg.Types[as.Type] == nil:
		a.decline(as, "worker does not offer type "+as.Type)
		return
	case needed != "" && !slices.Contains(a.cfg.Capabilities, needed):
		a.decline(as, "worker does not offer "+needed)
		return
	case a.active >= a.cfg.Slots:
		a.decline(as, "worker is full")
		a.hurry() // the coordinator does not know what takes the slots
		return
	}
	r := &run{
		agent: a, key: key, session: a.session, assignment: *as, state: ports.RunStarting,
		sequence: as.CheckpointSequence, resumable: as.CheckpointSequence > 0, accepted: a.clock.Now(),
	}
	r.ctx, r.cancel = context.WithCancelCause(a.base)
	a.runs[key], a.newest[key.WorkloadID] = r, r
	a.active++
	a.post(r, ports.Report{Event: domain.EventStart})
	a.cfg.Spawn(func() { a.execute(r) })
}

// decline gives an assignment back, for good: told of it again, the worker may have room, but the workload may run elsewhere by then.
func (a *Agent) decline(as *ports.Assignment, why string) {
	a.ended.add(as.Run())
	a.log.Info("assignment declined", "workload_id", string(as.WorkloadID), "generation", as.Generation, "reason", why)
	if len(a.outbox) >= outboxMax {
		return
	}
	a.outbox = append(a.outbox, outgoing{report: ports.Report{
		ID: a.ids.New(""), WorkloadID: as.WorkloadID, Generation: as.Generation, Event: domain.EventDecline, Reason: why,
	}})
	a.nudge()
}

// stop ends a run at once, without a report: it is no longer this worker's to report on.
func (a *Agent) stop(r *run, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.abandon(r, cause)
}

// abandon is stop with a.mu held.
func (a *Agent) abandon(r *run, cause error) {
	if r.abandoned {
		return
	}
	r.abandoned = true
	r.note(a, "run stopped", cause)
	a.dropReports(r)
	if r.state == ports.RunReporting {
		a.remove(r)
		return
	}
	a.cancelRun(r, cause)
}

// cancelRun ends the context of a run; a.mu is held.
func (a *Agent) cancelRun(r *run, cause error) {
	if r.state != ports.RunReporting {
		r.state = ports.RunStopping
	}
	if r.cancelledAt.IsZero() {
		r.cancelledAt = a.clock.Now()
	}
	r.cancel(cause)
}

// checkpoint takes a checkpoint now. While one is being taken, another one follows it, however often it is asked for: what has changed
// since that one began is to be in it too.
func (a *Agent) checkpoint(r *run) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.pulling {
		r.pullAgain = true
		return
	}
	a.spawnPull(r)
}

// halt has a run checkpoint and then stop, to be reported as paused or released.
func (a *Agent) halt(r *run, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.abandoned || r.halting != nil || r.state == ports.RunReporting || r.state == ports.RunStopping {
		return
	}
	r.halting, r.haltBy = cause, a.clock.Now().Add(a.cfg.StopGrace+a.lease)
	a.cfg.Spawn(func() {
		defer a.locked(func() { a.cancelRun(r, cause) })
		_ = a.pull(r) // the last durable one stands
	})
}

// preempt has a run checkpoint, and make room only if that is durable: a run that cannot save goes on. A pause or a drain that comes
// meanwhile goes its own way.
func (a *Agent) preempt(r *run, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.abandoned || r.halting != nil || r.preempting || r.state != ports.RunRunning {
		return
	}
	r.preempting = true
	a.cfg.Spawn(func() {
		err := errNoReturn
		defer a.locked(func() {
			saved := err == nil || errors.Is(err, ports.ErrNoCheckpoint) && r.resumable // what it saved itself stands
			r.preempting = false
			if !saved || r.abandoned || r.halting != nil || r.state != ports.RunRunning {
				return
			}
			r.halting, r.preemptedFor = ports.ErrPreempted, why
			a.cancelRun(r, ports.ErrPreempted)
		})
		err = a.pull(r)
	})
}

// locked calls f with a.mu held.
func (a *Agent) locked(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// remove forgets a run; a.mu is held.
func (a *Agent) remove(r *run) {
	if a.runs[r.key] == r {
		delete(a.runs, r.key)
	}
	if a.newest[r.key.WorkloadID] == r {
		delete(a.newest, r.key.WorkloadID)
	}
	a.ended.add(r.key)
}
