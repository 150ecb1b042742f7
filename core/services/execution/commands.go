package execution

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Handle executes commands. Commands are hints: a command for another session or for a generation
// that is not held is ignored.
func (a *Agent) Handle(commands ...ports.Command) {
	a.coming.Add(int64(len(commands)))
	for _, c := range commands {
		a.handle(c)
		a.coming.Add(-1)
	}
}

func (a *Agent) handle(c ports.Command) {
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
		a.deps.Log.Warn("unknown command ignored", "kind", string(c.Kind))
	}
}

// assign starts a run for an assignment, or declines it.
func (a *Agent) assign(as *ports.Assignment) {
	needed := domain.NeededCapability(as.Type, as.Input)
	a.mu.Lock()
	defer a.mu.Unlock()
	key := as.Run()
	if !a.live || a.runs[key] != nil {
		return // repeated
	}
	if a.ended.has(key) {
		return // late: the run has ended here, or was told to stop
	}
	if older := a.newest[key.WorkloadID]; older != nil {
		if older.key.Generation > key.Generation {
			return // late
		}
		a.abandonLocked(older, ports.ErrFenced)
	}
	switch {
	case a.draining:
		a.declineLocked(as, "worker is draining")
		return
	case a.cfg.Types[as.Type] == nil:
		a.declineLocked(as, "worker does not offer type "+as.Type)
		return
	case needed != "" && !slices.Contains(a.cfg.Capabilities, needed):
		a.declineLocked(as, "worker does not offer "+needed)
		return
	case a.active >= a.cfg.Slots:
		a.declineLocked(as, "worker is full")
		a.hurry() // the coordinator does not know which runs take the slots
		return
	case !a.holding.Allows(&as.Resources, as.Devices):
		a.declineLocked(as, "what it reserves is taken on the worker")
		a.hurry() // the coordinator does not know which runs hold it
		return
	}
	r := &run{
		agent: a, key: key, session: a.session, assignment: *as, state: ports.RunStarting,
		sequence: as.CheckpointSequence, resumable: as.CheckpointSequence > 0, accepted: a.deps.Clock.Now(),
	}
	if ms := as.TimeoutMS; ms > 0 { // restoring and preparing count, too
		r.deadline = r.accepted.Add(time.Duration(ms) * time.Millisecond)
	}
	r.log = a.about(as)
	r.ctx, r.cancel = context.WithCancelCause(ports.WithOrigin(a.base, as.Origin()))
	a.runs[key], a.newest[key.WorkloadID] = r, r
	a.active++
	a.holding.Take(&as.Resources, as.Devices, 1)
	a.counts.started[as.Type]++
	a.postLocked(r, ports.Report{Event: domain.EventStart})
	a.deps.Spawn(func() { a.execute(r) })
}

// declineLocked declines an assignment for good. If the same assignment comes again, there may be
// room, but the workload may run elsewhere by then.
func (a *Agent) declineLocked(as *ports.Assignment, why string) {
	a.ended.add(as.Run())
	a.about(as).Info("assignment declined", "reason", why)
	if len(a.outbox) >= outboxLimit {
		return
	}
	a.outbox = append(a.outbox, outgoing{report: ports.Report{
		ID: a.deps.IDs.New(""), WorkloadID: as.WorkloadID, Generation: as.Generation, Event: domain.EventDecline, Reason: why,
	}})
	a.nudge()
}
