package domain

import (
	"slices"
	"time"
)

// MaxRedistributions is how many workers a workload may lose without a new checkpoint in between
// (rule 7 of docs/DOMAIN.md).
const MaxRedistributions = 10

// Reasons of a workload that was to pause when its run ended for another reason. The failure still
// spends a retry, and the loss still counts.
const (
	PausedAfterFailure = "run failed; a pause was asked for"
	PausedAfterLoss    = "worker lost; a pause was asked for"
)

// Decide executes one transition on a workload. It is pure: the same arguments give the same answer
// in every adapter. It returns the outcome. Only with OutcomeApplied it also returns the next state
// and the audit event, whose Type is empty when the event is not audited. The caller must have
// matched the workload id and the customer. Execute checks the limits and the session.
func Decide(w *Workload, t *Transition, now time.Time) (Outcome, State, AuditEvent) {
	r := ruleOf[t.Event]
	if r == nil {
		return OutcomeIllegal, State{}, AuditEvent{}
	}
	if out := guard(w, t, r, now); out != OutcomeApplied {
		return out, State{}, AuditEvent{}
	}
	next := w.State
	next.UpdatedAt = now
	next.Reason = t.Reason
	next.Resumed = false
	audit := AuditEvent{
		WorkloadID: w.ID, CustomerID: w.CustomerID, Actor: t.Actor.bare(), From: w.Status,
		Generation: w.Generation, WorkerID: w.WorkerID, Reason: t.Reason, At: now,
	}
	effect(w, t, now, &next, &audit)
	if r.Ends && w.Status.Held() {
		if w.Status == StatusRunning {
			next.Executed += max(now.Sub(w.StartedAt), 0)
		}
		next.WorkerID, next.SessionID, next.Devices = "", "", nil
		next.Deadline = time.Time{}
		next.EndedGeneration, next.EndedEvent = w.Generation, t.Event
		audit.Used = t.Used
	}
	if next.Status != StatusRunning {
		next.PauseRequested = false
	}
	if next.Status.Final() {
		next.FinishedAt = now
	}
	audit.To, audit.ProgressPercent = next.Status, next.ProgressPercent
	return OutcomeApplied, next, audit
}

// guard returns OutcomeApplied if the event may be applied, otherwise the answer.
func guard(w *Workload, t *Transition, r *Rule, now time.Time) Outcome {
	if repeated(w, t, r, now) {
		return OutcomeAlready
	}
	switch r.Source {
	case FromWorker:
		if t.Generation != w.Generation || !w.Status.Held() || t.SessionID != w.SessionID {
			return OutcomeFenced
		}
	case FromLeader:
		want := w.Generation
		if t.Event == EventAssign {
			want++
		} else if t.SessionID != "" && t.SessionID != w.SessionID {
			return OutcomeFenced
		}
		if t.Generation != want {
			return OutcomeFenced
		}
	case FromAPI:
	}
	if !slices.Contains(r.From, w.Status) {
		return OutcomeIllegal
	}
	if t.Event == EventAssign && now.Before(w.NotBefore) {
		return OutcomeIllegal
	}
	if t.Event == EventCheckpoint && t.CheckpointSequence != w.CheckpointSequence+1 {
		return OutcomeIllegal
	}
	return OutcomeApplied
}

// repeated reports whether the transition has been applied before (rule 3 of docs/DOMAIN.md). That
// happens when the answer to a commit was lost, or when a message arrived twice. A cancel is
// repeated only by its own request, as long as idempotency keys are kept: who cancels what somebody
// else has cancelled is told so.
func repeated(w *Workload, t *Transition, r *Rule, now time.Time) bool {
	switch {
	case t.Event == EventCancel:
		return w.Status == StatusCancelled && t.Request != "" && t.Request == w.CancelRequest &&
			now.Sub(w.FinishedAt) < IdempotencyRetention
	case t.Event == EventRequestPause:
		return w.Status == StatusPaused || w.Status == StatusRunning && w.PauseRequested
	case t.Event == EventResume:
		return w.Status == StatusPending && w.Resumed
	case t.Event == EventUnplaceable:
		return w.Status.Waiting() && t.Generation == w.Generation && w.Reason == t.Reason
	case t.Event == EventSkipCheckpoint:
		return w.Status.Held() && t.Generation == w.Generation && t.SessionID == w.SessionID &&
			t.Reason != "" && w.Reason == t.Reason
	case t.Event == EventAssign:
		return w.Status.Held() && t.Generation == w.Generation && t.SessionID == w.SessionID
	case t.Event == EventStart:
		return t.Generation > 0 && t.Generation == w.StartedGeneration
	case t.Event == EventCheckpoint:
		return t.Generation == w.CheckpointGeneration && t.CheckpointSequence == w.CheckpointSequence
	case r.Ends:
		return t.Generation > 0 && t.Generation == w.EndedGeneration && t.Event == w.EndedEvent
	}
	// Progress or log lines that arrive again after the end that their own worker reported.
	return t.Generation > 0 && t.Generation == w.EndedGeneration && reportedByWorker(w.EndedEvent)
}

// reportedByWorker reports whether the event comes from the worker that holds the workload.
func reportedByWorker(e Event) bool {
	r := ruleOf[e]
	return r != nil && r.Source == FromWorker
}

// effect computes what the event changes. Decide itself ends the run.
func effect(w *Workload, t *Transition, now time.Time, next *State, audit *AuditEvent) {
	switch t.Event {
	case EventAssign:
		next.Status, next.Generation = StatusScheduled, t.Generation
		next.WorkerID, next.SessionID, next.Devices = t.WorkerID, t.SessionID, t.Devices
		next.LastWorkerID = t.WorkerID
		next.ScheduledAt = now
		next.NotBefore = time.Time{}
		audit.Type, audit.Generation, audit.WorkerID = AuditScheduled, t.Generation, t.WorkerID
	case EventUnassign, EventDecline:
		next.Status = StatusPending
		next.decline(w.WorkerID, now)
		audit.Type = AuditDeclined
	case EventStart:
		next.Status = StatusRunning
		next.StartedAt, next.StartedGeneration = now, w.Generation
		next.Declines = nil
		if w.Run.Timeout > 0 {
			next.Deadline = now.Add(w.Run.Timeout)
		}
		audit.Type = AuditStarted
	case EventProgress:
		next.progress(t, audit)
		next.stillToPause(w)
		audit.Type = AuditProgress
	case EventLog:
		next.Reason, next.UpdatedAt = w.Reason, w.UpdatedAt
	case EventCheckpoint:
		next.progress(t, audit)
		next.stillToPause(w)
		next.CheckpointSequence, next.CheckpointGeneration = t.CheckpointSequence, w.Generation
		next.RedistributionCount = 0
		next.setDeaths(nil, now)
		audit.Type, audit.CheckpointSequence = AuditCheckpoint, t.CheckpointSequence
	case EventSkipCheckpoint:
		audit.Type, audit.CheckpointSequence = AuditCheckpointSkipped, t.CheckpointSequence
	case EventComplete:
		next.Status, next.Result, next.Failure = StatusCompleted, t.Result, nil
		next.ProgressPercent = 100
		next.setDeaths(nil, now)
		audit.Type = AuditCompleted
	case EventFail:
		next.fail(w, t, t.Failure, now, audit)
	case EventTimeout:
		f := &Failure{Type: FailureTimeout, Message: "timed out after " + w.Run.Timeout.String()}
		next.fail(w, t, f, now, audit)
	case EventPaused:
		next.Status = StatusPaused
		next.stillToPause(w)
		next.setDeaths(nil, now)
		audit.Type, audit.CheckpointSequence, audit.Reason = AuditPaused, w.CheckpointSequence, next.Reason
	case EventRelease:
		next.Status = StatusRedistributing
		next.setDeaths(nil, now)
		if t.RetryAfter != nil {
			next.NotBefore = now.Add(min(max(*t.RetryAfter, 0), MaxRetryAfter))
		}
		audit.Type, audit.CheckpointSequence = AuditReleased, w.CheckpointSequence
		next.pauseInstead(w, audit, "worker drained; a pause was asked for")
	case EventLose:
		next.lose(w, t, now, audit)
	case EventUnplaceable:
		next.Resumed, next.UpdatedAt = w.Resumed, w.UpdatedAt // it still waits, as before
		audit.Type = AuditUnplaceable
	case EventRequestPause:
		next.PauseRequested = true
		audit.Type = AuditPauseRequested
	case EventResume:
		next.Status, next.Resumed = StatusPending, true
		if w.Suspect() {
			next.SuspectSince = now // it waits anew for a worker of its own
		}
		audit.Type = AuditResumed
	case EventCancel:
		next.Status, next.CancelRequest = StatusCancelled, t.Request
		audit.Type = AuditCancelled
	case EventLinger, EventLetGo: // Execute handles them: they change the slot of a run, not the workload
	}
}

// progress takes over the progress that the transition brings.
func (s *State) progress(t *Transition, audit *AuditEvent) {
	if t.Percent != nil {
		s.ProgressPercent = min(max(*t.Percent, 0), 100)
		s.ProgressMessage, audit.ProgressMessage = t.Message, t.Message
	}
}

// stillToPause keeps why a pause was asked for, while the run goes on and when it has paused: the
// reason is that of whoever asked, not of the worker.
func (s *State) stillToPause(w *Workload) {
	if w.PauseRequested && w.Reason != "" {
		s.Reason = w.Reason
	}
}

// ReasonByWorker reports whether Reason may be the words of a worker, and so of the workload.
func (s *State) ReasonByWorker() bool {
	switch s.Status {
	case StatusRunning, StatusCompleted:
		return true
	case StatusPaused:
		return s.EndedEvent == EventPaused
	case StatusPending, StatusRedistributing:
		return !s.Resumed && (s.EndedEvent == EventDecline || s.EndedEvent == EventRelease)
	default:
		return false
	}
}

// fail spends a retry. When none is left, the workload has failed.
func (s *State) fail(w *Workload, t *Transition, f *Failure, now time.Time, audit *AuditEvent) {
	if f == nil {
		f = &Failure{Type: FailureError, Message: "failed without saying why"}
	}
	kept := *f
	s.Failure = &kept
	s.setDeaths(nil, now)
	if s.Reason == "" {
		s.Reason = f.Type + ": " + f.Message
	}
	audit.Reason = s.Reason
	if f.Permanent || w.RetryCount >= w.Run.MaxRetries {
		s.Status = StatusFailed
		audit.Type = AuditFailed
		return
	}
	s.RetryCount++
	s.Status = StatusPending
	s.NotBefore = now.Add(retryDelay(w, t))
	audit.Type = AuditRetried
	s.pauseInstead(w, audit, PausedAfterFailure)
}

// lose counts a lost worker. When too many were lost, the workload has failed. A requested pause
// still happens (rule 5 of docs/DOMAIN.md).
func (s *State) lose(w *Workload, t *Transition, now time.Time, audit *AuditEvent) {
	s.RedistributionCount++
	s.die(w, t, now)
	if s.Reason == "" {
		s.Reason = string(t.Loss)
	}
	audit.Reason, audit.CheckpointSequence = s.Reason, w.CheckpointSequence
	switch {
	case s.LossStreak >= MaxLossStreak:
		s.Status, audit.Type = StatusFailed, AuditFailed
		s.Failure = &Failure{FailurePoison, "quarantined: its workers died three times in a row", true}
		s.Reason = s.Failure.Message
	case s.RedistributionCount > MaxRedistributions:
		s.Status, audit.Type = StatusFailed, AuditFailed
		s.Failure = &Failure{FailureWorkerLost, "lost too many workers without a new checkpoint", true}
		s.Reason = s.Failure.Message
	default:
		s.Status, audit.Type = StatusRedistributing, AuditRedistributed
		s.pauseInstead(w, audit, PausedAfterLoss)
	}
}

// pauseInstead pauses the workload if a pause was requested before the run ended for another
// reason.
func (s *State) pauseInstead(w *Workload, audit *AuditEvent, why string) {
	if !w.PauseRequested {
		return
	}
	s.Status, s.Reason, s.NotBefore = StatusPaused, why, time.Time{}
	audit.Type, audit.Reason = AuditPaused, why
	audit.CheckpointSequence = w.CheckpointSequence
}
