package domain

import (
	"fmt"
	"time"
)

// Tally is what a store knows of limits when it executes a batch: who runs how much where. Execute keeps it
// current while it works through the batch.
type Tally struct {
	// MaxConcurrent and Running are the customers' limits in force and their SCHEDULED + RUNNING.
	MaxConcurrent map[CustomerID]int
	Running       map[CustomerID]int
	// Workers are the workers concerned: who is to hold, or holds and reports. Held counts what the sessions of the former hold, and
	// have not let go of.
	Workers map[WorkerID]*Worker
	Held    map[SessionID]int
	// Suspects counts the suspects among them.
	Suspects map[SessionID]int
}

// refusal says why an assignment that is legal for the workload is not possible now; empty when it is.
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
	if w.Suspect() && y.Suspects[t.SessionID] > 0 && AvoidsSuspects(w.SuspectSince, now) {
		return "another workload under which workers died is on the worker"
	}
	return ""
}

// live reports whether the session that reports on w is its worker's current one and not DEAD.
func (y *Tally) live(w *Workload, t *Transition) bool {
	return y != nil && y.Workers[w.WorkerID].Holds(t.SessionID)
}

// move counts a transition from w's state to next, where there is something to count with. What is ending keeps its slot.
func (y *Tally) move(w *Workload, next *State, h Hands) {
	if y == nil || y.Running == nil {
		return
	}
	if w.Status.Held() {
		y.Running[w.CustomerID]--
		if h != HandsKeep {
			y.Held[w.SessionID]--
		}
	}
	if next.Status.Held() {
		y.Running[w.CustomerID]++
		y.Held[next.SessionID]++
		if next.Suspect() && !w.Status.Held() && y.Suspects != nil {
			y.Suspects[next.SessionID]++
		}
	}
}

// Execute is what every store does with one transition of a batch: decide, ask the tally about an assignment, and
// answer. w is nil when there is no such workload. When changed, w holds the new state, to be written with
// event, which is audited unless its Type is empty. y may be nil when the batch holds neither assignments nor reports of workers.
// The Lines of a transition that is applied are the store's to keep, also when nothing changed.
func Execute(w *Workload, t *Transition, y *Tally, now time.Time) (res Result, event AuditEvent, changed bool) {
	if w == nil || !t.mayTouch(w) {
		return Result{Outcome: OutcomeNotFound, WorkloadID: t.WorkloadID}, AuditEvent{}, false
	}
	res = Result{
		WorkloadID: w.ID, CustomerID: w.CustomerID, Type: w.Type, CreatedAt: w.CreatedAt,
		From: w.Status, FromWorkerID: w.WorkerID, FromSessionID: w.SessionID,
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
		out = OutcomeFenced // the session is over, and what it held about to be taken back
	}
	res.Hands, res.Ending = hands(w, &w.State, t, out, now)
	if changed = out == OutcomeApplied && t.Event != EventLog; changed {
		y.move(w, &next, res.Hands)
		w.State = next.Clone()
	}
	res.Outcome, res.State = out, w.State.Clone()
	return res, event, changed
}

// mayTouch reports whether the transition is about this customer's workload. The API acts for a customer and
// always names it, so one that names none finds nothing. Workers and the leader act on what they hold or planned
// and are fenced by generation; the customer they name, if they do, must be right.
func (t *Transition) mayTouch(w *Workload) bool {
	if r := ruleOf[t.Event]; t.CustomerID == "" && (t.Event.inventories() || r != nil && r.Source != FromAPI) {
		return true
	}
	return t.CustomerID == w.CustomerID
}
