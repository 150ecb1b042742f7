package domain

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Decisions on workers and their sessions. Each is a pure function of what a store knows. Stores
// read what the decision needs, under locks that keep it true until the commit, and execute the
// WorkerChange that they get.

// SessionStatus is the relation of a session to its worker.
type SessionStatus int

// The relations.
const (
	// SessionCurrent: the session is the current one of its worker, and live.
	SessionCurrent SessionStatus = iota
	// SessionOver: the worker was declared dead, has left or was removed. Its process may
	// register anew.
	SessionOver
	// SessionReplaced: another session owns the worker id and is live. The process must end.
	SessionReplaced
)

// SessionStatus returns the relation of a session to the worker. A nil worker does not exist.
func (w *Worker) SessionStatus(id SessionID) SessionStatus {
	switch {
	case w == nil || !w.Live():
		return SessionOver
	case w.SessionID != id:
		return SessionReplaced
	}
	return SessionCurrent
}

// Holds reports whether the session is the worker's current one, so that it may hold work and
// report on it.
func (w *Worker) Holds(id SessionID) bool { return w.SessionStatus(id) == SessionCurrent }

// EndedSession is the record of a session that has ended. Such a session never starts again.
type EndedSession struct {
	ID        SessionID
	WorkerID  WorkerID
	ProcessID string
	Loss      Loss
	// Supervised reports whether a supervisor would have certified the death of its process.
	Supervised bool
	// Returned reports whether its process has registered again since, so that it is alive.
	Returned bool
	At       time.Time
}

// WorkerChange is what a decision changes about a worker. A store executes all of it in one
// transaction.
type WorkerChange struct {
	// Worker is the worker after the change, to be stored; before it, if Removed.
	Worker Worker
	// Removed reports whether the worker is deleted.
	Removed bool
	// Ended is the session that the change ends; its ID is empty when none ends.
	Ended EndedSession
	// Returned are the ended sessions whose process turned out to be alive.
	Returned []SessionID
	// Events are the audit events, in order.
	Events []AuditEvent
	// Act is the event of the administrator who asked for the change; its Action is empty if nobody
	// did.
	Act AdminEvent
}

// KnownSessions is the stored data that a registration may conflict with.
type KnownSessions struct {
	// Worker is the worker with the id of the registration; nil when there is none.
	Worker *Worker
	// Ended are the ended sessions that the registration may name: see Registration.Names.
	Ended []EndedSession
	// Died reports whether the process was certified dead, by a certificate with the digest of the
	// registration.
	Died bool
}

// Names reports whether an ended session matters to the registration: it has the same id, or is
// of the same process.
func (r *Registration) Names(e *EndedSession) bool {
	return e.ID == r.SessionID || r.sameProcess(e.ID, e.ProcessID)
}

// sameProcess reports whether the registration comes from the process that had the session.
func (r *Registration) sameProcess(session SessionID, process string) bool {
	return r.PreviousSessionID == session && session != "" || r.ProcessID == process && process != ""
}

// Decide decides on a registration at the store's time now. A repeated one renews the lease. Any
// other starts a session, unless the session has ended or the process has died (CodeFenced), or
// another process holds the id and its lease still runs (CodeConflict with the detail
// "lease_left_ms").
func (r *Registration) Decide(known KnownSessions, now time.Time, lease time.Duration) (WorkerChange, error) {
	if slices.ContainsFunc(known.Ended, func(e EndedSession) bool { return e.ID == r.SessionID }) {
		return WorkerChange{}, NewError(CodeFenced, "session %s has ended", r.SessionID)
	}
	if known.Died {
		return WorkerChange{}, NewError(CodeFenced, "process %s has died", r.ProcessID)
	}
	old := known.Worker
	if old.Holds(r.SessionID) {
		return WorkerChange{Worker: old.renewed(now, lease)}, nil
	}
	var c WorkerChange
	if old != nil && old.Live() {
		loss, err := r.displace(old, now)
		if err != nil {
			return WorkerChange{}, err
		}
		c.Ended = old.ended(loss, now)
		if loss == LossExpired {
			c.Events = old.expiry(now)
		}
	}
	c.Worker = r.worker(now, lease)
	self := c.Worker.self()
	c.Events = append(c.Events, c.Worker.event(AuditWorkerJoined, self, "", now))
	if r.Draining {
		c.Events = append(c.Events, c.Worker.event(AuditWorkerDraining, self, "", now))
	}
	for _, e := range known.Ended {
		// A certificate is proof: who registers in the name of the dead is somebody else.
		if r.sameProcess(e.ID, e.ProcessID) && !e.Returned && e.Loss != LossDied {
			c.Returned = append(c.Returned, e.ID)
		}
	}
	return c, nil
}

// displace tells how the live session of old ends when the registration takes its place.
func (r *Registration) displace(old *Worker, now time.Time) (Loss, error) {
	switch {
	case r.TakeOver, r.sameProcess(old.SessionID, old.ProcessID):
		return LossReplaced, nil
	case old.LeaseEnded(now):
		return LossExpired, nil
	}
	left := old.LeaseUntil.Sub(now)
	return "", NewError(CodeConflict, "another process is registered as worker %s and its lease runs for another %s: "+
		"each worker needs an id of its own, and take_over replaces the other process", r.WorkerID,
		left.Round(time.Millisecond)).
		With("lease_left_ms", max(left.Milliseconds(), 1))
}

// worker is the worker that the registration makes.
func (r *Registration) worker(now time.Time, lease time.Duration) Worker {
	own := r.Clone()
	return Worker{
		ID: own.WorkerID, SessionID: own.SessionID, Status: own.Status(), Version: own.Version,
		Capabilities: own.Capabilities, Slots: own.Slots, Resources: own.Resources, Tags: own.Tags,
		ProcessID: own.ProcessID, CertificateDigest: own.CertificateDigest,
		RegisteredAt: now, HeartbeatAt: now, LeaseUntil: now.Add(lease),
	}
}

// Heartbeat decides on the heartbeat of a session; draining is the worker's own word that it
// takes no new work. A session that is not current changes nothing. A lease that has ended is
// renewed as long as nobody has declared the worker dead.
func (w *Worker) Heartbeat(
	id SessionID, draining bool, now time.Time, lease time.Duration,
) (SessionStatus, WorkerChange) {
	if st := w.SessionStatus(id); st != SessionCurrent {
		return st, WorkerChange{}
	}
	c := WorkerChange{Worker: w.renewed(now, lease)}
	if draining && w.Status == WorkerHealthy {
		c.Worker.Status = WorkerDraining
		c.Events = []AuditEvent{w.event(AuditWorkerDraining, w.self(), "", now)}
	}
	return SessionCurrent, c
}

// LeaseEnded reports whether the session may be declared dead at that time.
func (w *Worker) LeaseEnded(now time.Time) bool { return !now.Before(w.LeaseUntil) }

// Expire declares a worker DEAD. The caller has found that it is live and its lease has ended.
func (w *Worker) Expire(now time.Time) WorkerChange {
	c := WorkerChange{Worker: *w, Ended: w.ended(LossExpired, now), Events: w.expiry(now)}
	c.Worker.Status = WorkerDead
	return c
}

// Remove deletes a worker because an operator asked for it.
func (w *Worker) Remove(by Admin, now time.Time) WorkerChange {
	c := WorkerChange{
		Worker: *w, Removed: true, Events: []AuditEvent{w.event(AuditWorkerRemoved, by.Actor(), "", now)},
		Act: w.acted(ActionWorkerRemoved, by, nil, now),
	}
	if w.Live() {
		c.Ended = w.ended(LossRemoved, now)
	}
	return c
}

// Outdated reports whether a worker is DEAD and was last heard of longer ago than age.
func (w *Worker) Outdated(age time.Duration, now time.Time) bool {
	return !w.Live() && now.Sub(w.HeartbeatAt) > age
}

// Purge deletes a worker that is outdated.
func (w *Worker) Purge(now time.Time) WorkerChange {
	event := w.event(
		AuditWorkerRemoved, Actor{Kind: ActorCoordinator}, "dead for longer than dead workers are kept", now,
	)
	return WorkerChange{Worker: *w, Removed: true, Events: []AuditEvent{event}}
}

// Drain stops new work for a worker. It changes nothing if the worker drains already.
// CodeInvalidState if it is DEAD.
func (w *Worker) Drain(by Admin, now time.Time) (WorkerChange, error) {
	return w.turn(WorkerDraining, ActionWorkerDrained, AuditWorkerDraining, by, now)
}

// Undrain reverts Drain. It changes nothing if the worker is healthy. CodeInvalidState if it is
// DEAD.
func (w *Worker) Undrain(by Admin, now time.Time) (WorkerChange, error) {
	return w.turn(WorkerHealthy, ActionWorkerUndrained, AuditWorkerUndrained, by, now)
}

// turn gives a live worker another status.
func (w *Worker) turn(
	to WorkerStatus, action AdminAction, event AuditType, by Admin, now time.Time,
) (WorkerChange, error) {
	c := WorkerChange{Worker: *w}
	if !w.Live() {
		done := strings.TrimPrefix(string(action), "worker.")
		return c, NewError(CodeInvalidState, "a worker that is DEAD cannot be %s", done).
			With("status", string(w.Status))
	}
	if w.Status != to {
		c.Worker.Status = to
		c.Events = []AuditEvent{w.event(event, by.Actor(), "", now)}
	}
	c.Act = w.acted(action, by, &c.Worker, now)
	return c, nil
}

// Concerns reports whether e names the worker, or the process that registered it.
func (e SessionEnd) Concerns(w *Worker) bool {
	return e.WorkerID == w.ID || e.ProcessID == w.ProcessID && e.ProcessID != ""
}

// Decide decides which sessions end. known are the workers that e concerns, DEAD ones included.
// certified tells that the same certificate was presented before. CodeForbidden when the process
// is known and the secret is not its own. A certificate that is not refused is kept.
func (e SessionEnd) Decide(known []Worker, certified bool, now time.Time) ([]WorkerChange, error) {
	if e.Certificate() {
		return e.certify(known, certified, now)
	}
	for i := range known {
		if w := &known[i]; w.Holds(e.SessionID) {
			return []WorkerChange{{
				Worker: *w, Removed: true, Ended: w.ended(LossLeft, now),
				Events: []AuditEvent{w.event(AuditWorkerRemoved, e.Actor(), string(LossLeft), now)},
			}}, nil
		}
	}
	return nil, nil
}

func (e SessionEnd) certify(known []Worker, certified bool, now time.Time) ([]WorkerChange, error) {
	if certified {
		return nil, nil
	}
	digest := CertificateDigest(e.Secret)
	matching := slices.DeleteFunc(slices.Clone(known), func(w Worker) bool { return w.CertificateDigest != digest })
	if len(known) > 0 && len(matching) == 0 {
		return nil, NewError(CodeForbidden, "the secret is not that of process %s", e.ProcessID)
	}
	slices.SortFunc(matching, func(a, b Worker) int { return cmp.Compare(a.ID, b.ID) })
	var changes []WorkerChange
	for i := range matching {
		w := &matching[i]
		if !w.Live() {
			continue
		}
		c := WorkerChange{
			Worker: *w, Ended: w.ended(LossDied, now),
			Events: []AuditEvent{w.event(AuditWorkerDead, e.Actor(), string(LossDied), now)},
		}
		c.Worker.Status = WorkerDead
		changes = append(changes, c)
	}
	return changes, nil
}

func (w *Worker) renewed(now time.Time, lease time.Duration) Worker {
	next := *w
	next.HeartbeatAt, next.LeaseUntil = now, now.Add(lease)
	return next
}

// ended is the end of the worker's session.
func (w *Worker) ended(loss Loss, now time.Time) EndedSession {
	return EndedSession{
		ID: w.SessionID, WorkerID: w.ID, ProcessID: w.ProcessID, Loss: loss, Supervised: w.CertificateDigest != "",
		At: now,
	}
}

// expiry are the audit events of a lease that has ended.
func (w *Worker) expiry(now time.Time) []AuditEvent {
	system := Actor{Kind: ActorCoordinator}
	return []AuditEvent{
		w.event(AuditHeartbeatMissed, system, "last heartbeat at "+w.HeartbeatAt.Format(time.RFC3339Nano), now),
		w.event(AuditWorkerDead, system, string(LossExpired), now),
	}
}

func (w *Worker) event(t AuditType, actor Actor, reason string, now time.Time) AuditEvent {
	return AuditEvent{Type: t, Actor: actor, WorkerID: w.ID, Reason: reason, At: now}
}

// self is the worker as an actor.
func (w *Worker) self() Actor { return Actor{Kind: ActorWorker, ID: string(w.ID)} }
