package domain

import (
	"fmt"
	"time"
)

// Tally is what a store counts for the limits while it executes a batch. Execute keeps it up to
// date from one transition to the next.
type Tally struct {
	// MaxConcurrent are the entitlements of the customers in force.
	MaxConcurrent map[CustomerID]int
	// Running counts the SCHEDULED and RUNNING workloads of the customers.
	Running map[CustomerID]int
	// Workers are the workers that are to get workloads, and those that report on workloads they
	// hold.
	Workers map[WorkerID]*Worker
	// Held counts the slots that the sessions of the workers to get workloads use: what they hold,
	// and the runs that are ending.
	Held map[SessionID]int
	// Holdings are what these sessions have and hold. Sessions that get no workload that reserves
	// resources may be missing.
	Holdings map[SessionID]*Holding
	// Suspects counts the suspects among them.
	Suspects map[SessionID]int
	// FoundAt is when the latest run was found in the inventory of the session's worker; see
	// Ending.FoundAt.
	FoundAt map[SessionID]time.Time
}

// refusal returns why a legal assignment is not possible now, empty if it is possible.
func (y *Tally) refusal(w *Workload, t *Transition, now time.Time) string {
	if limit := y.MaxConcurrent[w.CustomerID]; y.Running[w.CustomerID] >= limit {
		return fmt.Sprintf("customer at its limit of %d running workloads", limit)
	}
	wk := y.Workers[t.WorkerID]
	if !wk.Holds(t.SessionID) || wk.Status != WorkerHealthy {
		return "worker session is not healthy"
	}
	if y.Held[t.SessionID] >= wk.Slots {
		return fmt.Sprintf("all %d slots of the worker are taken", wk.Slots)
	}
	if !w.Run.Resources.IsZero() || len(t.Devices) > 0 {
		if why := y.Holdings[t.SessionID].refusal(&w.Run.Resources, t.Devices); why != "" {
			return why
		}
	}
	if y.FoundAt[t.SessionID].After(t.FoundAt) {
		return "the worker still has a run that was not known when this was planned"
	}
	if w.Suspect() && y.Suspects[t.SessionID] > 0 && AvoidsSuspects(w.SuspectSince, now) {
		return "another workload under which workers died is on the worker"
	}
	return ""
}

// live reports whether the session that reports on w is its worker's current session and not DEAD. A
// report that names another worker than w's is not from that session.
func (y *Tally) live(w *Workload, t *Transition) bool {
	return y != nil && (t.WorkerID == "" || t.WorkerID == w.WorkerID) && y.Workers[w.WorkerID].Holds(t.SessionID)
}

// move counts a transition from w's state to next. A run that is ending keeps its slot.
func (y *Tally) move(w *Workload, next *State, h Hands) {
	if y == nil || y.Running == nil {
		return
	}
	if w.Status.Held() {
		y.Running[w.CustomerID]--
		if h != HandsKeep {
			y.Held[w.SessionID]--
			if o := y.Holdings[w.SessionID]; o != nil {
				o.Return(&w.Run.Resources, w.Devices, 1)
			}
		}
	}
	if next.Status.Held() {
		y.Running[w.CustomerID]++
		y.Held[next.SessionID]++
		if o := y.Holdings[next.SessionID]; o != nil {
			o.Take(&w.Run.Resources, next.Devices, 1)
		}
		if next.Suspect() && !w.Status.Held() && y.Suspects != nil {
			y.Suspects[next.SessionID]++
		}
	}
}

// Execute executes one transition of a batch. Every store calls it. It decides the transition,
// checks an assignment against the tally, and returns the answer. w is nil when there is no such
// workload.
//
// If changed, w holds the new state. The store writes it together with event, unless the Type of
// the event is empty. If the transition is applied, the store also keeps its Lines, even when
// nothing changed. y may be nil when the batch has neither assignments nor reports of workers.
func Execute(w *Workload, t *Transition, y *Tally, now time.Time) (res Result, event AuditEvent, changed bool) {
	if w == nil || !t.mayTouch(w) {
		return Result{Outcome: OutcomeNotFound, WorkloadID: t.WorkloadID}, AuditEvent{}, false
	}
	res = Result{
		WorkloadID: w.ID, CustomerID: w.CustomerID, Type: w.Type, CreatedAt: w.CreatedAt,
		Origin: w.Origin, From: w.Status, FromAt: w.UpdatedAt, FromWorkerID: w.WorkerID, FromSessionID: w.SessionID,
	}
	if t.Event.inventories() {
		res.Outcome, res.State = handle(w, t), w.State.Clone()
		res.Hands, res.Ending = hands(w, &w.State, t, res.Outcome, now)
		return res, AuditEvent{}, false
	}
	out, next, event := Decide(w, t, now)
	if out == OutcomeApplied && t.Event == EventAssign {
		if res.Reason = y.refusal(w, t, now); res.Reason != "" {
			out = OutcomeRefused
		}
	}
	if out == OutcomeApplied && t.Reported() && !y.live(w, t) {
		out = OutcomeFenced // the session is over: the leader is about to take back what it held
	}
	res.Hands, res.Ending = hands(w, &w.State, t, out, now)
	if changed = out == OutcomeApplied && t.Event != EventLog; changed {
		y.move(w, &next, res.Hands)
		w.State = next.Clone()
	}
	res.Outcome, res.State = out, w.State.Clone()
	if t.Event == EventAssign && out.OK() {
		res.Assigned = new(w.Clone())
	}
	return res, event, changed
}

// mayTouch reports whether the transition may act on the workload. The API acts for a customer and
// must name it. Workers and the leader are fenced by the generation and may leave the customer out.
// A customer that is named must be the workload's.
func (t *Transition) mayTouch(w *Workload) bool {
	if r := ruleOf[t.Event]; t.CustomerID == "" && (t.Event.inventories() || r != nil && r.Source != FromAPI) {
		return true
	}
	return t.CustomerID == w.CustomerID
}
