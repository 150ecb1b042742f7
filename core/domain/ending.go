package domain

import "time"

// A run is ending when it is over for the store, but its handler has not returned on the worker.
// The API or the leader ended it, or the worker reported its end before the handler returned.
//
// An ending run keeps its slot, its resources and its anti rules until the worker lets go of it or
// the session ends. Otherwise the slot of a handler that ignores its cancellation would be given
// away, and the worker would decline whatever is assigned to it, again and again.

// Events about ending runs. They come from a worker's inventory. They do not change the workload
// and are not audited, so the transition table has no row for them.
const (
	// EventLinger: the worker still runs a workload that its session no longer holds.
	EventLinger Event = "linger"
	// EventLetGo: the worker no longer runs it.
	EventLetGo Event = "let_go"
)

// inventories reports whether the event comes from the inventory of a worker.
func (e Event) inventories() bool { return e == EventLinger || e == EventLetGo }

// Ending describes an ending run.
type Ending struct {
	WorkloadID WorkloadID
	CustomerID CustomerID
	Generation int64
	WorkerID   WorkerID
	SessionID  SessionID
	Lane       LaneID
	// Devices are what the run still holds of the worker's devices.
	Devices []DeviceShare
	// AssignedAt is when it was assigned, EndedAt when it began to end.
	AssignedAt, EndedAt time.Time
	// FoundAt is when the run was found in the worker's inventory although the store no longer
	// counted it for the session; zero if it did. A plan made before that does not know the run.
	FoundAt time.Time
}

// Run identifies the run.
func (e *Ending) Run() RunID { return RunID{e.WorkloadID, e.Generation} }

// Hands says what a transition changes about ending runs.
type Hands int

// The changes. Result.Ending describes the run.
const (
	HandsSame Hands = iota // nothing changes
	HandsKeep              // the run begins to end
	HandsFree              // the worker has let go of the run
)

// hands returns what a transition changes about ending runs. before is the workload's state before
// the transition.
func hands(w *Workload, before *State, t *Transition, out Outcome, now time.Time) (Hands, Ending) {
	e := Ending{
		WorkloadID: w.ID, CustomerID: w.CustomerID, Generation: t.Generation, WorkerID: t.WorkerID,
		SessionID: t.SessionID, Lane: w.Lane, AssignedAt: now, EndedAt: now,
	}
	r := ruleOf[t.Event]
	switch {
	case t.Event == EventLinger && out == OutcomeApplied:
		e.FoundAt, e.Devices = now, t.Devices
		return HandsKeep, e
	case t.Event == EventLetGo && out == OutcomeApplied:
		return HandsFree, e
	case r == nil || !r.Ends:
	case out == OutcomeApplied && before.Status.Held():
		e.Generation, e.AssignedAt = before.Generation, before.ScheduledAt
		e.WorkerID, e.SessionID, e.Devices = before.WorkerID, before.SessionID, before.Devices
		if t.lingers(r) {
			return HandsKeep, e
		}
	case out != OutcomeApplied && r.Source == FromWorker && !t.StillRunning && t.Generation > 0:
		// The last report of a run that was over before. So its handler has returned.
		return HandsFree, e
	}
	return HandsSame, Ending{}
}

// lingers reports whether the worker may still run what the transition has ended. A lost run is not
// run any more: its worker is gone, or says that it does not run it.
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
		return OutcomeIllegal // the session holds the workload: its run is not over
	}
	return OutcomeApplied
}

// Decline remembers that a worker declined a workload, or did not take it in time.
type Decline struct {
	WorkerID WorkerID  `json:"worker_id"`
	Count    int       `json:"count"` // number of declines in a row
	Until    time.Time `json:"until"` // when the worker may be asked again
}

const (
	// DeclinePause is the pause before a worker is asked again to take what it declined. Each
	// further pause is twice as long, up to DeclinePauseLimit. So a worker that is full in a way
	// that the store cannot see is not asked once a second for ever. Other workers are asked at
	// once.
	DeclinePause = time.Second
	// DeclinePauseLimit is the longest pause.
	DeclinePauseLimit = time.Minute
	// declinesLimit is how many workers are remembered for a workload. When more have declined it,
	// the workload waits for the pause of the last one.
	declinesLimit = 16
)

// decline remembers that a worker declined the workload.
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

// Declined reports whether the worker declined the workload and must not be asked again yet.
func (c *Candidate) Declined(by WorkerID, now time.Time) bool {
	for i := range c.Declines {
		if c.Declines[i].WorkerID == by && now.Before(c.Declines[i].Until) {
			return true
		}
	}
	return false
}
