package domain

import "time"

// Event is what happens to a workload.
type Event string

// The events. Who may cause them stands in the table below.
const (
	EventAssign       Event = "assign"        // leader: a session gets it, at a new generation
	EventUnassign     Event = "unassign"      // leader: the assignment was not taken in time
	EventDecline      Event = "decline"       // worker: full, draining, unknown type
	EventStart        Event = "start"         // worker
	EventProgress     Event = "progress"      // worker
	EventLog          Event = "log"           // worker; checks the fence, changes nothing, is not audited
	EventCheckpoint   Event = "checkpoint"    // worker
	EventComplete     Event = "complete"      // worker
	EventFail         Event = "fail"          // worker
	EventPaused       Event = "paused"        // worker: the pause that was asked for has happened
	EventRelease      Event = "release"       // worker: draining, gives it back
	EventTimeout      Event = "timeout"       // leader: the backstop behind the worker's own timer
	EventLose         Event = "lose"          // leader: the session is gone or no longer holds it
	EventUnplaceable  Event = "unplaceable"   // leader: no worker there is could run it; says why, changes nothing else
	EventRequestPause Event = "request_pause" // API
	EventResume       Event = "resume"        // API
	EventCancel       Event = "cancel"        // API
)

// Source is which party may cause an event, and so which guard applies.
type Source int

// The sources.
const (
	// FromAPI events carry no generation: they act on the workload as it is.
	FromAPI Source = iota
	// FromWorker events carry session and generation and are fenced; the session must be live.
	FromWorker
	// FromLeader events carry the generation they decided on, and the leader's epoch with the batch.
	FromLeader
)

// Rule is one row of the transition table.
type Rule struct {
	Event  Event
	Source Source
	// From lists the states the event may find.
	From []Status
	// To lists the states it may lead to. Which one, where there are several, depends on budgets and on
	// a pause that was asked for; see Decide.
	To []Status
	// Ends tells that the event ends a run: the worker no longer holds the workload.
	Ends bool
}

var (
	held     = []Status{StatusScheduled, StatusRunning}
	running  = []Status{StatusRunning}
	nonFinal = []Status{StatusPending, StatusScheduled, StatusRunning, StatusPaused, StatusRedistributing}
	waiting  = []Status{StatusPending, StatusRedistributing}
	failures = []Status{StatusPending, StatusFailed, StatusPaused}
)

// rules is the state machine. Decide interprets it; nothing else decides what is legal.
var rules = []Rule{
	{EventAssign, FromLeader, waiting, []Status{StatusScheduled}, false},
	{EventUnassign, FromLeader, []Status{StatusScheduled}, []Status{StatusPending}, true},
	{EventDecline, FromWorker, []Status{StatusScheduled}, []Status{StatusPending}, true},
	{EventStart, FromWorker, []Status{StatusScheduled}, []Status{StatusRunning}, false},
	{EventProgress, FromWorker, running, []Status{StatusRunning}, false},
	{EventLog, FromWorker, running, []Status{StatusRunning}, false},
	{EventCheckpoint, FromWorker, running, []Status{StatusRunning}, false},
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

// RuleFor returns the row of an event.
func RuleFor(e Event) (Rule, bool) {
	r, ok := ruleOf[e]
	if !ok {
		return Rule{}, false
	}
	return *r, true
}

// Transition is one conditional change of one workload: the event, its guard, and what it brings.
type Transition struct {
	WorkloadID WorkloadID
	// CustomerID, when set, limits the transition to that customer's workloads: another's is not found.
	CustomerID CustomerID
	Event      Event
	// Generation is the generation the event belongs to; for assign, the one it creates. Unused FromAPI.
	Generation int64
	// SessionID is the holder's session for worker events and lose (empty: any), the new holder's for assign.
	SessionID SessionID
	// WorkerID is the new holder for assign.
	WorkerID WorkerID
	Actor    Actor
	Reason   string

	// Progress and checkpoint. A nil Percent leaves progress as it is.
	Percent *float64
	Message string
	// CheckpointSequence is the sequence being saved.
	CheckpointSequence int64

	// Complete.
	Result JSON

	// Fail, and timeout (which sets its own Failure).
	Failure *Failure
	// RetryAfter is the delay before the next assignment: what the workload asked for when it failed (nil: exponential backoff with
	// Jitter), or how long what was preempted stays back (nil: not at all).
	RetryAfter *time.Duration
	// Jitter in [0,1) scales the backoff. The caller draws it, so that deciding stays pure.
	Jitter float64

	// Loss says how the session was lost, for lose. Excused tells that it does not speak against the workload though it looks like a death
	// (see EndedSession.Excused), or that it shared its worker with another suspect. Returned are the sessions of State.Deaths that have returned
	// since: their processes live.
	Loss     Loss
	Excused  bool
	Returned []SessionID

	// Lines are what the run wrote up to this event. They are kept, in the same transaction, if the event is applied; the store
	// sets their workload, customer, generation and number.
	Lines []LogLine
	// StillRunning tells, with an event that ends a run, that the run's handler has not returned: its slot is not free.
	StillRunning bool
}

// Loss is how a worker was lost.
type Loss string

// The losses.
const (
	// LossExpired means that the process died, froze or was cut off; it counts towards quarantine unless it is excused.
	LossExpired Loss = "worker lease expired"
	// LossReplaced means that another session of the worker took its place. It does not speak against the workload.
	LossReplaced Loss = "worker restarted"
	// LossDied means that the worker's supervisor certified its death; it counts towards quarantine.
	LossDied Loss = "worker died"
	// LossRemoved, LossMissing and LossLeft, which means that the worker deregistered, do not speak against the workload.
	LossRemoved Loss = "worker removed"
	LossMissing Loss = "worker no longer holds it"
	LossLeft    Loss = "worker left"
)

// Batch is a set of transitions that a store executes in order in one transaction.
type Batch struct {
	// Epoch is the leader's epoch, checked in the same transaction. It must be set (> 0) when the
	// batch holds FromLeader events, except lose with LossMissing, which the worker itself attests.
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

// NeedsEpoch reports whether only the leader may make this transition.
func (t *Transition) NeedsEpoch() bool {
	r := ruleOf[t.Event]
	return r != nil && r.Source == FromLeader && (t.Event != EventLose || t.Loss != LossMissing)
}

// Reported reports whether a worker reports this transition.
func (t *Transition) Reported() bool { return reportedByWorker(t.Event) }

// Outcome is what became of one transition.
type Outcome string

// The outcomes.
const (
	// OutcomeApplied: changed and audited.
	OutcomeApplied Outcome = "applied"
	// OutcomeAlready: this very transition had been applied before; nothing changed.
	OutcomeAlready Outcome = "already"
	// OutcomeFenced: the guard names a generation or session that is no longer the workload's, or a session that is over.
	OutcomeFenced Outcome = "fenced"
	// OutcomeIllegal: the event is not possible in the current state.
	OutcomeIllegal Outcome = "illegal"
	// OutcomeNotFound: no such workload, or another customer's.
	OutcomeNotFound Outcome = "not_found"
	// OutcomeRefused: the store could not take it. An assignment: the customer is at its running limit,
	// the session is not HEALTHY, or the worker has no free slot. Anything else: see Result.Reason.
	OutcomeRefused Outcome = "refused"
)

// OK reports whether the caller may take the transition as done.
func (o Outcome) OK() bool { return o == OutcomeApplied || o == OutcomeAlready }

// Result is a store's answer to one transition.
type Result struct {
	Outcome    Outcome
	WorkloadID WorkloadID
	CustomerID CustomerID
	Type       string
	CreatedAt  time.Time
	// From is the state before, with the holder of that time.
	From          Status
	FromWorkerID  WorkerID
	FromSessionID SessionID
	// State is the state after (applied) or the current one. Zero when not found.
	State State
	// Reason explains a refusal.
	Reason string
	// Hands is what changes about ending runs, and Ending the run that it is about.
	Hands  Hands
	Ending Ending
}
