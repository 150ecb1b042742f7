package domain

import "time"

// Event is what happens to a workload.
type Event string

// The events, each with the party that may cause it.
const (
	EventAssign     Event = "assign"     // leader: a session gets the workload, at a new generation
	EventUnassign   Event = "unassign"   // leader: the worker did not take the assignment in time
	EventDecline    Event = "decline"    // worker: it is full or draining, or does not know the type
	EventStart      Event = "start"      // worker: the run begins
	EventProgress   Event = "progress"   // worker: how far the run is
	EventLog        Event = "log"        // worker: log lines; fenced, but changes and audits nothing
	EventCheckpoint Event = "checkpoint" // worker: a checkpoint was saved
	// EventSkipCheckpoint: the newest checkpoint cannot be read. The coordinator says so for the run
	// that asked for it, under its session; it sets the reason only.
	EventSkipCheckpoint Event = "skip_checkpoint"
	EventComplete       Event = "complete"      // worker: the run has succeeded
	EventFail           Event = "fail"          // worker: the run has failed
	EventPaused         Event = "paused"        // worker: the requested pause has happened
	EventRelease        Event = "release"       // worker: it gives the workload back, because it drains or makes room
	EventTimeout        Event = "timeout"       // leader: the run ignored its deadline
	EventLose           Event = "lose"          // leader: the session is gone or no longer holds the workload
	EventUnplaceable    Event = "unplaceable"   // leader: no worker can run it; sets the reason only
	EventRequestPause   Event = "request_pause" // API: the run is to pause
	EventResume         Event = "resume"        // API: a paused workload may be placed again
	EventCancel         Event = "cancel"        // API: end it for good
)

// Source is the party that may cause an event. It determines the guard.
type Source int

// The sources.
const (
	// FromAPI events carry no generation. They act on the workload as it is.
	FromAPI Source = iota
	// FromWorker events carry a session and a generation, and are fenced by them. The session must
	// be live.
	FromWorker
	// FromLeader events carry the generation that the leader decided on. The batch carries its
	// epoch.
	FromLeader
)

// Rule is one row of the transition table.
type Rule struct {
	Event  Event
	Source Source
	// From lists the states in which the event is legal.
	From []Status
	// To lists the states that it may lead to. If there are several, the retries that are left and
	// a requested pause decide; see Decide.
	To []Status
	// Ends reports whether the event ends a run, so that no worker holds the workload afterwards.
	Ends bool
}

var (
	held     = []Status{StatusScheduled, StatusRunning}
	running  = []Status{StatusRunning}
	nonFinal = []Status{StatusPending, StatusScheduled, StatusRunning, StatusPaused, StatusRedistributing}
	waiting  = []Status{StatusPending, StatusRedistributing}
	failures = []Status{StatusPending, StatusFailed, StatusPaused}
)

// rules is the state machine. Decide interprets it, and nothing else decides what is legal.
var rules = []Rule{
	{EventAssign, FromLeader, waiting, []Status{StatusScheduled}, false},
	{EventUnassign, FromLeader, []Status{StatusScheduled}, []Status{StatusPending}, true},
	{EventDecline, FromWorker, []Status{StatusScheduled}, []Status{StatusPending}, true},
	{EventStart, FromWorker, []Status{StatusScheduled}, []Status{StatusRunning}, false},
	{EventProgress, FromWorker, running, []Status{StatusRunning}, false},
	{EventLog, FromWorker, running, []Status{StatusRunning}, false},
	{EventCheckpoint, FromWorker, running, []Status{StatusRunning}, false},
	{EventSkipCheckpoint, FromWorker, held, held, false},
	{EventComplete, FromWorker, held, []Status{StatusCompleted}, true},
	{EventFail, FromWorker, held, failures, true},
	{EventPaused, FromWorker, running, []Status{StatusPaused}, true},
	{EventRelease, FromWorker, held, []Status{StatusRedistributing, StatusPaused}, true},
	{EventTimeout, FromLeader, running, failures, true},
	{EventLose, FromLeader, held, []Status{StatusRedistributing, StatusFailed, StatusPaused}, true},
	{EventUnplaceable, FromLeader, waiting, waiting, false},
	{EventRequestPause, FromAPI, running, []Status{StatusRunning}, false},
	{EventResume, FromAPI, []Status{StatusPaused}, []Status{StatusPending}, false},
	{EventCancel, FromAPI, nonFinal, []Status{StatusCancelled}, true},
}

var ruleOf = func() map[Event]*Rule {
	m := make(map[Event]*Rule, len(rules))
	for i := range rules {
		m[rules[i].Event] = &rules[i]
	}
	return m
}()

// Rules returns a copy of the transition table.
func Rules() []Rule { return append([]Rule(nil), rules...) }

// RuleFor returns the row of the event. It reports false for an unknown event.
func RuleFor(e Event) (Rule, bool) {
	r, ok := ruleOf[e]
	if !ok {
		return Rule{}, false
	}
	return *r, true
}

// Transition is one conditional change of one workload: the event, its guard and its data.
type Transition struct {
	WorkloadID WorkloadID
	// CustomerID, when set, must be the workload's customer. Otherwise the workload is not found.
	CustomerID CustomerID
	Event      Event
	// Generation is the generation that the event belongs to, or the one that assign creates.
	// Events FromAPI do not use it.
	Generation int64
	// SessionID is the holder's session for events FromWorker and for lose (empty: any), and the
	// new holder's session for assign.
	SessionID SessionID
	// WorkerID is the new holder for assign. For what a worker reports it is the worker, which saves
	// the store from looking for it; it may be left out.
	WorkerID WorkerID
	// Devices are, for assign, what the run gets of the worker's devices. For linger they are what
	// the worker says that the run holds.
	Devices []DeviceShare
	// FoundAt is, for assign, the latest Occupancy.FoundAt of the session that the plan knew. When
	// a run was found since, the assignment is refused: the plan did not look whether both may run
	// there.
	FoundAt time.Time
	Actor   Actor
	Reason  string
	// Request identifies the API request that a cancel belongs to; see RequestID. Only the same
	// request repeats the cancel. Another one finds the workload CANCELLED.
	Request string

	// Percent and Message belong to progress and checkpoint. A nil Percent leaves the progress as
	// it is.
	Percent *float64
	Message string
	// CheckpointSequence is the sequence of the checkpoint that is being saved.
	CheckpointSequence int64

	// Result belongs to complete.
	Result JSON

	// Failure belongs to fail. Timeout sets its own.
	Failure *Failure
	// RetryAfter is the delay before the next assignment. With fail it is what the workload asked
	// for (nil: backoff). With release it is how long a preempted workload waits (nil: not at all).
	RetryAfter *time.Duration
	// Jitter in [0,1) scales the backoff. The caller draws it, so that Decide stays pure.
	Jitter float64

	// Loss says how the session was lost. It belongs to lose, as do Excused and Returned.
	Loss Loss
	// Excused reports that the loss is not counted as a death: see EndedSession.Excused. It is also
	// set when the session held another suspect, because either could have killed the worker.
	Excused bool
	// Returned are the sessions among State.Deaths whose processes have registered again. So they
	// did not die.
	Returned []SessionID

	// Lines are the log lines that the run wrote before this event. If the event is applied, the
	// store keeps them in the same transaction, and sets their workload, customer, generation and
	// number.
	Lines []LogLine
	// StillRunning reports, with an event that ends a run, that the handler of the run has not
	// returned. Its slot is not free yet.
	StillRunning bool
	// Used is what the run has used, with an event that ends it.
	Used Consumption
}

// Loss is how a worker was lost.
type Loss string

// The losses.
const (
	// LossExpired: the process died, froze or lost its connection. It counts as a death unless it
	// is excused.
	LossExpired Loss = "worker lease expired"
	// LossReplaced: another session of the worker took its place. It does not count as a death.
	LossReplaced Loss = "worker restarted"
	// LossDied: the worker's supervisor certified its death. It counts as a death.
	LossDied Loss = "worker died"
	// LossRemoved: an operator removed the worker. It does not count as a death.
	LossRemoved Loss = "worker removed"
	// LossMissing: the worker says that it does not hold the workload. It does not count as a
	// death.
	LossMissing Loss = "worker no longer holds it"
	// LossLeft: the worker deregistered. It does not count as a death.
	LossLeft Loss = "worker left"
)

// Batch is a set of transitions that a store executes in order in one transaction.
type Batch struct {
	// Epoch is the leader's epoch. The store checks it in the same transaction. It must be set (>
	// 0) when the batch NeedsEpoch.
	Epoch       int64
	Transitions []Transition
}

// NeedsEpoch reports whether the batch holds a transition that only the leader may make.
func (b Batch) NeedsEpoch() bool {
	for i := range b.Transitions {
		if b.Transitions[i].NeedsEpoch() {
			return true
		}
	}
	return false
}

// Check refuses a batch that holds both assignments and what inventories tell. What a session has
// in its hands is read before a batch, and its assignments must fit in that.
func (b Batch) Check() error {
	assigns, inventories := false, false
	for i := range b.Transitions {
		assigns = assigns || b.Transitions[i].Event == EventAssign
		inventories = inventories || b.Transitions[i].Event.inventories()
	}
	if assigns && inventories {
		return NewError(CodeInternal, "a batch holds assignments and inventory events")
	}
	return nil
}

// NeedsEpoch reports whether only the leader may make this transition. A lose with LossMissing is
// not one: the worker itself says that it does not hold the workload.
func (t *Transition) NeedsEpoch() bool {
	r := ruleOf[t.Event]
	return r != nil && r.Source == FromLeader && (t.Event != EventLose || t.Loss != LossMissing)
}

// Reported reports whether the transition comes from the worker that holds the workload.
func (t *Transition) Reported() bool { return reportedByWorker(t.Event) }

// Outcome is the answer to one transition.
type Outcome string

// The outcomes.
const (
	// OutcomeApplied: the workload was changed and the event audited.
	OutcomeApplied Outcome = "applied"
	// OutcomeAlready: this very transition was applied before. Nothing has changed.
	OutcomeAlready Outcome = "already"
	// OutcomeFenced: the generation or the session is no longer the workload's, or the session is
	// over.
	OutcomeFenced Outcome = "fenced"
	// OutcomeIllegal: the event is not possible in the current state.
	OutcomeIllegal Outcome = "illegal"
	// OutcomeNotFound: there is no such workload, or it belongs to another customer.
	OutcomeNotFound Outcome = "not_found"
	// OutcomeRefused: the store cannot take it; see Result.Reason. For an assignment this means
	// that the customer is at its running limit, the session is not HEALTHY, or the worker has no
	// free slot or too little of a resource.
	OutcomeRefused Outcome = "refused"
)

// OK reports whether the transition is done, now or before.
func (o Outcome) OK() bool { return o == OutcomeApplied || o == OutcomeAlready }

// Result is a store's answer to one transition.
type Result struct {
	Outcome    Outcome
	WorkloadID WorkloadID
	CustomerID CustomerID
	Type       string
	CreatedAt  time.Time
	Origin     Origin
	// From is the state before and FromAt when it was last written, FromWorkerID and FromSessionID
	// the holder before.
	From          Status
	FromAt        time.Time
	FromWorkerID  WorkerID
	FromSessionID SessionID
	// State is the state after the transition, zero when the workload was not found.
	State State
	// Assigned is the workload after an assignment, with all that its worker needs to know. It is
	// nil if the assignment is not done, and for other events.
	Assigned *Workload
	// Reason explains a refusal.
	Reason string
	// Hands says what changes about ending runs, and Ending for which run.
	Hands  Hands
	Ending Ending
}
