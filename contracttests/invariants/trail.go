// Package invariants checks that a stored workload and its audit trail fit together and are a legal
// history, whatever failed meanwhile. The simulation, the crash points and the chaos runner use it.
// Each violation begins with the number of the invariant in docs/DOMAIN.md.
package invariants

import (
	"fmt"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
)

// step is the effect of an audit event on the state of a workload.
type step struct{ from, to []domain.Status }

var (
	waiting = []domain.Status{domain.StatusPending, domain.StatusRedistributing}
	held    = []domain.Status{domain.StatusScheduled, domain.StatusRunning}
	running = []domain.Status{domain.StatusRunning}
	open    = []domain.Status{domain.StatusPending, domain.StatusScheduled, domain.StatusRunning, domain.StatusPaused,
		domain.StatusRedistributing}
)

func one(s domain.Status) []domain.Status { return []domain.Status{s} }

// steps is the state machine as the audit trail shows it. It repeats domain.Rules on purpose, so
// that it does not share their mistakes.
var steps = map[domain.AuditType]step{
	domain.AuditCreated:           {one(""), one(domain.StatusPending)},
	domain.AuditScheduled:         {waiting, one(domain.StatusScheduled)},
	domain.AuditUnplaceable:       {waiting, waiting},
	domain.AuditDeclined:          {one(domain.StatusScheduled), one(domain.StatusPending)},
	domain.AuditStarted:           {one(domain.StatusScheduled), running},
	domain.AuditProgress:          {running, running},
	domain.AuditCheckpoint:        {running, running},
	domain.AuditCheckpointSkipped: {held, held},
	domain.AuditPauseRequested:    {running, running},
	domain.AuditPaused:            {held, one(domain.StatusPaused)},
	domain.AuditResumed:           {one(domain.StatusPaused), one(domain.StatusPending)},
	domain.AuditRetried:           {held, one(domain.StatusPending)},
	domain.AuditFailed:            {held, one(domain.StatusFailed)},
	domain.AuditCompleted:         {held, one(domain.StatusCompleted)},
	domain.AuditCancelled:         {open, one(domain.StatusCancelled)},
	domain.AuditRedistributed:     {held, one(domain.StatusRedistributing)},
	domain.AuditReleased:          {held, one(domain.StatusRedistributing)},
}

// story is the state of a workload after the events so far.
type story struct {
	w                       *domain.Workload
	broken                  []string
	status                  domain.Status
	generation, checkpoints int64
	outcomes, retries       int
	losses                  int // since the last checkpoint
	lastID                  int64
	pauseAsked              bool
}

// Trail checks a workload against its whole audit trail, oldest event first.
func Trail(w *domain.Workload, trail []domain.AuditEvent) []string {
	s := &story{w: w}
	for i := range trail {
		s.tell(&trail[i])
	}
	if len(trail) == 0 {
		s.fail("I7", "has no audit trail")
	}
	if s.status != w.Status || s.generation != w.Generation {
		s.fail("I7", "is %s at generation %d, its trail ends with %s at %d", w.Status, w.Generation, s.status, s.generation)
	}
	if s.checkpoints != w.CheckpointSequence {
		s.fail("I9", "has checkpoint %d, its trail %d", w.CheckpointSequence, s.checkpoints)
	}
	if s.retries != w.RetryCount || s.retries > w.Run.MaxRetries {
		s.fail("I10", "was retried %d times of %d, counted are %d", s.retries, w.Run.MaxRetries, w.RetryCount)
	}
	if s.losses != w.RedistributionCount || s.losses > domain.MaxRedistributions+1 {
		s.fail("I10", "lost %d workers since its last checkpoint, counted are %d", s.losses, w.RedistributionCount)
	}
	if w.Status.Held() != (w.SessionID != "") || w.Status.Held() != (w.WorkerID != "") {
		s.fail("I5", "is %s with worker %q and session %q", w.Status, w.WorkerID, w.SessionID)
	}
	if final := w.Status.Final(); final && s.outcomes != 1 || !final && s.outcomes != 0 {
		s.fail("I1", "is %s with %d outcomes", w.Status, s.outcomes)
	}
	return s.broken
}

func (s *story) fail(invariant, format string, args ...any) {
	s.broken = append(s.broken, fmt.Sprintf("%s: %s ", invariant, s.w.ID)+fmt.Sprintf(format, args...))
}

func (s *story) tell(e *domain.AuditEvent) {
	legal, known := steps[e.Type]
	switch {
	case !known:
		s.fail("I7", "has an event %q", e.Type)
	case s.status.Final():
		s.fail("I4", "was %s, then came %s", s.status, e.Type)
	case e.From != s.status:
		s.fail("I7", "%s from %s follows %s", e.Type, e.From, s.status)
	case !slices.Contains(legal.from, e.From) || !slices.Contains(legal.to, e.To):
		s.fail("I4", "%s from %s to %s", e.Type, e.From, e.To)
	case e.ID <= s.lastID:
		s.fail("I7", "event %d follows %d", e.ID, s.lastID)
	case e.WorkloadID != s.w.ID || e.CustomerID != s.w.CustomerID:
		s.fail("I12", "has an event of %s of customer %s", e.WorkloadID, e.CustomerID)
	}
	want := s.generation
	if e.Type == domain.AuditScheduled {
		want++
	}
	if e.Generation != want {
		s.fail("I2", "%s at generation %d, expected %d", e.Type, e.Generation, want)
	}
	switch e.Type {
	case domain.AuditCheckpoint:
		s.losses = 0
		if s.checkpoints++; e.CheckpointSequence != s.checkpoints {
			s.fail("I9", "checkpoint %d follows %d", e.CheckpointSequence, s.checkpoints-1)
		}
	case domain.AuditCheckpointSkipped:
		if e.From != e.To || e.CheckpointSequence >= s.checkpoints {
			s.fail("I9", "%s to %d of %d made %s %s", e.Type, e.CheckpointSequence, s.checkpoints, e.From, e.To)
		}
	case domain.AuditCreated:
		s.checkpoints = e.CheckpointSequence // one that it continues from
	case domain.AuditPauseRequested:
		s.pauseAsked = true
	case domain.AuditRetried:
		s.retries++
	case domain.AuditPaused:
		switch e.Reason {
		case domain.PausedAfterFailure: // that spends a retry as well
			s.retries++
		case domain.PausedAfterLoss:
			s.losses++
		}
	case domain.AuditRedistributed:
		s.losses++
	case domain.AuditFailed:
		if f := s.w.Failure; f != nil && (f.Type == domain.FailurePoison || f.Type == domain.FailureWorkerLost) {
			s.losses++
		}
	default:
	}
	if e.Type == domain.AuditUnplaceable && e.From != e.To {
		s.fail("I4", "%s made %s %s", e.Type, e.From, e.To)
	}
	if s.pauseAsked && slices.Contains(waiting, e.To) && e.From != domain.StatusPaused {
		s.fail("rule 5", "a pause was requested, but %s made it %s", e.Type, e.To)
	}
	s.pauseAsked = s.pauseAsked && e.To == domain.StatusRunning
	if e.To.Final() {
		s.outcomes++
	}
	s.status, s.generation, s.lastID = e.To, e.Generation, e.ID
}
