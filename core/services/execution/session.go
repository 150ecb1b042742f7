package execution

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// leaseMargin is the divisor of the lease that gives the margin: the worker fences itself a fifth
// of the lease before its end.
const leaseMargin = 5

var errNoSession = errors.New("no session")

func (a *Agent) registration(session domain.SessionID) domain.Registration {
	r := domain.Registration{
		WorkerID: a.cfg.WorkerID, SessionID: session, PreviousSessionID: a.previous,
		ProcessID: a.cfg.ProcessID, CertificateDigest: a.cfg.CertificateDigest, TakeOver: a.cfg.TakeOver &&
			a.previous == "", Draining: a.draining,
		Slots: a.cfg.Slots, Resources: a.cfg.Resources, Tags: a.cfg.Tags, Version: a.cfg.Version,
	}
	r.Capabilities = append(slices.Sorted(maps.Keys(a.cfg.Types)), a.cfg.Capabilities...)
	return r
}

// Connect registers a new session unless there is a live one. CodeConflict means that another
// process owns the worker id, and the worker must end. If runs of earlier sessions have not
// returned, Connect sends a heartbeat at once, so that the coordinator does not fill their slots.
func (a *Agent) Connect(ctx context.Context) error {
	occupied, err := a.register(ctx)
	if err != nil || !occupied {
		return err
	}
	_ = a.Beat(ctx) // if it fails, the next one says the same
	return nil
}

// register registers a session. occupied reports whether runs of earlier sessions still take slots.
func (a *Agent) register(ctx context.Context) (occupied bool, err error) {
	a.mu.Lock()
	if a.live {
		a.mu.Unlock()
		return false, nil
	}
	if a.next == "" {
		a.next = domain.SessionID(a.deps.IDs.New(domain.PrefixSession))
	}
	session := a.next
	r := a.registration(session)
	sent := a.deps.Clock.Now()
	a.mu.Unlock()
	grant, err := a.deps.Plane.Register(ctx, r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil || domain.IsCode(err, domain.CodeFenced) {
		a.next = "" // it has begun, or begun and ended
	}
	if err != nil {
		return false, err
	}
	a.session, a.previous, a.live, a.answered = session, session, true, sent
	a.lease = time.Duration(grant.LeaseMS) * time.Millisecond
	a.interval = time.Duration(grant.HeartbeatIntervalMS) * time.Millisecond
	a.deps.Log.Info("registered", "session_id", string(session), "lease", a.lease.String(), "slots", a.cfg.Slots)
	return len(a.runs) > 0, nil
}

// Session returns the session, the heartbeat interval, and whether the session is live.
func (a *Agent) Session() (ref ports.SessionRef, interval time.Duration, live bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return ports.SessionRef{WorkerID: a.cfg.WorkerID, SessionID: a.session}, a.interval, a.live
}

// ref returns the live session. ok is false if there is none or its lease is over; every run has
// been cancelled then.
func (a *Agent) ref() (ports.SessionRef, bool) {
	a.CheckLease()
	a.mu.Lock()
	defer a.mu.Unlock()
	return ports.SessionRef{WorkerID: a.cfg.WorkerID, SessionID: a.session}, a.live
}

// Beat sends one heartbeat and executes the commands in the answer.
func (a *Agent) Beat(ctx context.Context) error {
	ref, ok := a.ref()
	if !ok {
		return errNoSession
	}
	a.mu.Lock()
	a.beats++
	h := ports.Heartbeat{
		SessionRef: ref, Number: a.beats, Draining: a.leaving, Drained: a.draining &&
			!a.leaving, FreeSlots: max(a.cfg.Slots-a.active, 0),
	}
	var told []*run
	for _, r := range a.allLocked() { // runs of earlier sessions, too: they take slots of this one
		item := ports.InventoryItem{
			WorkloadID: r.key.WorkloadID, Generation: r.key.Generation, State: r.state, Devices: r.assignment.Devices,
		}
		if r.stuck && !r.stuckTold {
			item.Stuck = true
			told = append(told, r)
		}
		h.Inventory = append(h.Inventory, item)
	}
	sent := a.deps.Clock.Now()
	a.mu.Unlock()
	answer, err := a.deps.Plane.Heartbeat(ctx, h)
	if err != nil {
		a.sessionError(ref, err)
		return err
	}
	a.mu.Lock()
	for _, r := range told {
		r.stuckTold = true
	}
	if a.live && a.session == ref.SessionID && sent.After(a.answered) {
		a.answered = sent
		a.lease = time.Duration(answer.LeaseMS) * time.Millisecond
	}
	a.mu.Unlock()
	a.Handle(answer.Commands...)
	return nil
}

// CheckLease fences the worker if no heartbeat was answered for the lease less the margin. It comes
// before every effect outside of the process, so that a process that wakes up after a freeze first
// stops its runs.
func (a *Agent) CheckLease() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live && a.deps.Clock.Now().Sub(a.answered) >= a.lease-a.lease/leaseMargin {
		a.endSessionLocked("no heartbeat was answered within the lease")
	}
}

// endSessionLocked cancels every run and drops its reports. The agent's mu is held.
func (a *Agent) endSessionLocked(why string) {
	if !a.live {
		return
	}
	a.deps.Log.Warn("session over: stopping all runs", "session_id", string(a.session), "reason", why, "runs",
		len(a.runs))
	a.live = false
	a.outbox, a.moved, a.logged = nil, nil, nil
	clear(a.flights)
	for _, r := range a.allLocked() {
		a.abandonLocked(r, ports.ErrLeaseLost)
	}
}

// sessionError ends the session if err says that it is over, and reports whether it did.
func (a *Agent) sessionError(ref ports.SessionRef, err error) bool {
	if !domain.IsCode(err, domain.CodeFenced) && !domain.IsCode(err, domain.CodeConflict) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == ref.SessionID {
		a.endSessionLocked(err.Error())
	}
	return true
}

// Deregister ends the session. The caller has made sure that no run of the session is left.
func (a *Agent) Deregister(ctx context.Context) error {
	ref, ok := a.ref()
	if !ok {
		return nil // it has ended already
	}
	if err := a.deps.Plane.End(ctx, domain.SessionEnd{WorkerID: ref.WorkerID, SessionID: ref.SessionID}); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live = false
	a.deps.Log.Info("deregistered", "session_id", string(ref.SessionID))
	return nil
}
