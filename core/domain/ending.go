package domain

import "time"

// A run that was ended by the API or the leader, or whose worker reported its end before its handler had returned, is ending: the
// store no longer counts the workload as held, but the worker still has the run in its hands. An ending run keeps its slot, its
// resources and its place in anti rules until the worker lets go of it or its session ends. Otherwise the slot of a handler
// that ignores its cancellation would be given away, and what it was given to would be declined again and again.

// Events about ending runs. They come from a worker's inventory, change nothing of the workload and are not audited, so that
// they stand in no row of the transition table.
const (
	// EventLinger says that the worker has a run in its hands that its session no longer holds.
	EventLinger Event = "linger"
	// EventLetGo says that the worker no longer has a run in its hands.
	EventLetGo Event = "let_go"
)

// inventories reports whether the event comes from a worker's inventory.
func (e Event) inventories() bool { return e == EventLinger || e == EventLetGo }

// Ending is an ending run.
type Ending struct {
	WorkloadID WorkloadID
	CustomerID CustomerID
	Generation int64
	WorkerID   WorkerID
	SessionID  SessionID
	Lane       LaneID
	// AssignedAt is when it was assigned, EndedAt since when it is ending.
	AssignedAt, EndedAt time.Time
}

// Hands says what a transition changes about ending runs.
type Hands int

// The changes.
const (
	HandsSame Hands = iota
	// HandsKeep: the run is ending from now on, Result.Ending says which.
	HandsKeep
	// HandsFree: the worker has let go of the run, Result.Ending says which.
	HandsFree
)

// hands says what a transition on a workload, that was in state before, changes about ending runs.
func hands(w *Workload, before *State, t *Transition, out Outcome, now time.Time) (Hands, Ending) {
	e := Ending{
		WorkloadID: w.ID, CustomerID: w.CustomerID, Generation: t.Generation, WorkerID: t.WorkerID, SessionID: t.SessionID, Lane: w.Lane,
		AssignedAt: now, EndedAt: now,
	}
	r := ruleOf[t.Event]
	switch {
	case t.Event == EventLinger && out == OutcomeApplied:
		return HandsKeep, e
	case t.Event == EventLetGo && out == OutcomeApplied:
		return HandsFree, e
	case r == nil || !r.Ends:
	case out == OutcomeApplied && before.Status.Held():
		e.Generation, e.WorkerID, e.SessionID, e.AssignedAt = before.Generation, before.WorkerID, before.SessionID, before.ScheduledAt
		if t.lingers(r) {
			return HandsKeep, e
		}
	case out != OutcomeApplied && r.Source == FromWorker && !t.StillRunning && t.Generation > 0:
		// The last report of a run that had been ended, or reported as ended, before: its handler has returned.
		return HandsFree, e
	}
	return HandsSame, Ending{}
}

// lingers reports whether the worker may still have in its hands the run that the transition has ended. A lost run has no
// worker any more, or its worker's inventories say that it does not have it.
func (t *Transition) lingers(r *Rule) bool {
	if r.Source == FromWorker {
		return t.StillRunning
	}
	return t.Event != EventLose
}

// handle decides EventLinger and EventLetGo.
func handle(w *Workload, t *Transition) Outcome {
	switch {
	case t.Generation <= 0 || t.Generation > w.Generation || t.SessionID == "":
		return OutcomeFenced
	case w.Status.Held() && t.Generation == w.Generation && t.SessionID == w.SessionID:
		return OutcomeIllegal // it holds the run
	}
	return OutcomeApplied
}

// Decline is a worker that gave back an assignment of a workload, or did not take it in time, and when it may be asked again.
type Decline struct {
	WorkerID WorkerID  `json:"worker_id"`
	Count    int       `json:"count"` // in a row
	Until    time.Time `json:"until"`
}

// DeclinePause is the first pause before a worker is asked again to take what it declined; each further one is twice as long, up
// to DeclinePauseLimit. So a worker that is full in a way the store cannot see is not asked for ever, once a second. Other
// workers are asked at once.
const (
	DeclinePause      = time.Second
	DeclinePauseLimit = time.Minute
	// declinesLimit bounds how many workers are remembered for a workload. When that many have declined it, it waits.
	declinesLimit = 16
)

// decline notes that a worker gave the workload back.
func (s *State) decline(by WorkerID, now time.Time) {
	d := Decline{WorkerID: by, Count: 1}
	kept := make([]Decline, 0, len(s.Declines)+1)
	for _, old := range s.Declines {
		switch {
		case old.WorkerID == by:
			if now.Sub(old.Until) < DeclinePauseLimit {
				d.Count = old.Count + 1
			}
		case now.Sub(old.Until) < DeclinePauseLimit:
			kept = append(kept, old)
		}
	}
	pause := DeclinePauseLimit
	if d.Count < 7 { // 1 s << 6 is above the limit
		pause = min(DeclinePause<<(d.Count-1), DeclinePauseLimit)
	}
	d.Until = now.Add(pause)
	if len(kept) == declinesLimit {
		kept = kept[1:]
		s.NotBefore = now.Add(pause)
	}
	kept = append(kept, d)
	s.Declines = kept
}

// Declined reports whether a worker is not to be asked now to take what it declined.
func (c *Candidate) Declined(by WorkerID, now time.Time) bool {
	for i := range c.Declines {
		if c.Declines[i].WorkerID == by && now.Before(c.Declines[i].Until) {
			return true
		}
	}
	return false
}
