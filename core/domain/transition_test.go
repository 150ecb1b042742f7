package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// cell is what an event leads to in a state: a state and an audit event, or only an outcome.
type cell struct {
	to    domain.Status
	audit domain.AuditType
	out   domain.Outcome
}

func ok(to domain.Status, a domain.AuditType) cell { return cell{to, a, domain.OutcomeApplied} }

// table is the state machine of the design, written by hand: state by event, well guarded. What is
// not listed is illegal, or fenced if a worker or the leader says it of work that nobody holds.
var table = map[domain.Status]map[domain.Event]cell{
	domain.StatusPending: {
		domain.EventAssign:      ok(domain.StatusScheduled, domain.AuditScheduled),
		domain.EventUnplaceable: ok(domain.StatusPending, domain.AuditUnplaceable),
		domain.EventCancel:      ok(domain.StatusCancelled, domain.AuditCancelled),
	},
	domain.StatusRedistributing: {
		domain.EventAssign:      ok(domain.StatusScheduled, domain.AuditScheduled),
		domain.EventUnplaceable: ok(domain.StatusRedistributing, domain.AuditUnplaceable),
		domain.EventCancel:      ok(domain.StatusCancelled, domain.AuditCancelled),
	},
	domain.StatusScheduled: {
		domain.EventUnassign:       ok(domain.StatusPending, domain.AuditDeclined),
		domain.EventDecline:        ok(domain.StatusPending, domain.AuditDeclined),
		domain.EventStart:          ok(domain.StatusRunning, domain.AuditStarted),
		domain.EventSkipCheckpoint: ok(domain.StatusScheduled, domain.AuditCheckpointSkipped),
		domain.EventComplete:       ok(domain.StatusCompleted, domain.AuditCompleted),
		domain.EventFail:           ok(domain.StatusPending, domain.AuditRetried),
		domain.EventRelease:        ok(domain.StatusRedistributing, domain.AuditReleased),
		domain.EventLose:           ok(domain.StatusRedistributing, domain.AuditRedistributed),
		domain.EventCancel:         ok(domain.StatusCancelled, domain.AuditCancelled),
	},
	domain.StatusRunning: {
		domain.EventStart:          {out: domain.OutcomeAlready},
		domain.EventProgress:       ok(domain.StatusRunning, domain.AuditProgress),
		domain.EventLog:            ok(domain.StatusRunning, ""),
		domain.EventCheckpoint:     ok(domain.StatusRunning, domain.AuditCheckpoint),
		domain.EventSkipCheckpoint: ok(domain.StatusRunning, domain.AuditCheckpointSkipped),
		domain.EventComplete:       ok(domain.StatusCompleted, domain.AuditCompleted),
		domain.EventFail:           ok(domain.StatusPending, domain.AuditRetried),
		domain.EventPaused:         ok(domain.StatusPaused, domain.AuditPaused),
		domain.EventRelease:        ok(domain.StatusRedistributing, domain.AuditReleased),
		domain.EventTimeout:        ok(domain.StatusPending, domain.AuditRetried),
		domain.EventLose:           ok(domain.StatusRedistributing, domain.AuditRedistributed),
		domain.EventRequestPause:   ok(domain.StatusRunning, domain.AuditPauseRequested),
		domain.EventCancel:         ok(domain.StatusCancelled, domain.AuditCancelled),
	},
	domain.StatusPaused: {
		domain.EventRequestPause: {out: domain.OutcomeAlready},
		domain.EventResume:       ok(domain.StatusPending, domain.AuditResumed),
		domain.EventCancel:       ok(domain.StatusCancelled, domain.AuditCancelled),
	},
	domain.StatusCancelled: {},
	domain.StatusCompleted: {},
	domain.StatusFailed:    {},
}

func expected(s domain.Status, e domain.Event) cell {
	if c, listed := table[s][e]; listed {
		return c
	}
	r, _ := domain.RuleFor(e)
	if r.Source == domain.FromWorker && !s.Held() ||
		r.Source == domain.FromLeader && e != domain.EventAssign && e != domain.EventUnplaceable && !s.Held() {
		return cell{out: domain.OutcomeFenced}
	}
	return cell{out: domain.OutcomeIllegal}
}

func TestDecide_EveryEventInEveryState(t *testing.T) {
	require.Len(t, events(), 18, "an event was added: add its column")
	for _, s := range domain.Statuses() {
		for _, e := range events() {
			t.Run(string(s)+"/"+string(e), func(t *testing.T) {
				w, tr := in(s), event(e)
				now := epoch0.Add(time.Minute)
				out, next, audit := domain.Decide(&w, &tr, now)
				want := expected(s, e)
				if want.out == domain.OutcomeFenced && out == domain.OutcomeIllegal {
					// leader events find the session gone or the state wrong: both refuse
					want.out = domain.OutcomeIllegal
				}
				require.Equal(t, want.out, out)
				assert.Equal(t, in(s), w, "Decide changes nothing it was given")
				if out != domain.OutcomeApplied {
					return
				}
				assert.Equal(t, want.to, next.Status)
				assert.Equal(t, want.audit, audit.Type)
				assert.Equal(t, next.Status.Held(), next.WorkerID != "" && next.SessionID != "")
				if next.Status.Held() {
					assert.Equal(t, next.WorkerID, next.LastWorkerID)
				} else {
					assert.Equal(t, w.LastWorkerID, next.LastWorkerID)
				}
				assert.Equal(t, next.Status.Final(), !next.FinishedAt.IsZero())
				assert.GreaterOrEqual(t, next.Generation, w.Generation)
				if audit.Type != "" {
					assert.Equal(t, s, audit.From)
					assert.Equal(t, next.Status, audit.To)
					assert.Equal(t, now, audit.At)
					assert.Equal(t, w.CustomerID, audit.CustomerID)
				}
			})
		}
	}
}

func TestDecide_FinalState_NeverChanges(t *testing.T) {
	for _, s := range []domain.Status{domain.StatusCompleted, domain.StatusFailed, domain.StatusCancelled} {
		for _, e := range events() {
			for _, generation := range []int64{0, 2, 3, 4} {
				w, tr := in(s), event(e)
				tr.Generation = generation
				out, _, _ := domain.Decide(&w, &tr, epoch0)
				assert.NotEqual(t, domain.OutcomeApplied, out, "%s %s at generation %d", s, e, generation)
			}
		}
	}
}

func TestDecide_WorkerEvent_IsFencedByGenerationAndSession(t *testing.T) {
	for _, r := range domain.Rules() {
		if r.Source != domain.FromWorker {
			continue
		}
		for name, change := range map[string]func(*domain.Transition){
			"older generation": func(t *domain.Transition) { t.Generation = 2 },
			"newer generation": func(t *domain.Transition) { t.Generation = 4 },
			"no generation":    func(t *domain.Transition) { t.Generation = 0 },
			"other session":    func(t *domain.Transition) { t.SessionID = "s9" },
			"no session":       func(t *domain.Transition) { t.SessionID = "" },
		} {
			t.Run(string(r.Event)+"/"+name, func(t *testing.T) {
				w, tr := in(r.From[0]), event(r.Event)
				change(&tr)
				out, _, _ := domain.Decide(&w, &tr, epoch0)
				assert.Equal(t, domain.OutcomeFenced, out)
			})
		}
	}
}

func TestDecide_LeaderEvent_IsFencedByTheGenerationItDecidedOn(t *testing.T) {
	for _, r := range domain.Rules() {
		if r.Source != domain.FromLeader {
			continue
		}
		for _, delta := range []int64{-1, 1} {
			w, tr := in(r.From[0]), event(r.Event)
			tr.Generation += delta
			out, _, _ := domain.Decide(&w, &tr, epoch0)
			assert.Equal(t, domain.OutcomeFenced, out, "%s %+d", r.Event, delta)
		}
	}
}

func TestDecide_RepeatedTransition_AnswersAlready(t *testing.T) {
	for _, e := range []domain.Event{
		domain.EventUnassign, domain.EventDecline, domain.EventStart, domain.EventComplete, domain.EventFail,
		domain.EventPaused, domain.EventRelease, domain.EventTimeout, domain.EventLose, domain.EventCheckpoint,
	} {
		t.Run(string(e), func(t *testing.T) {
			r, _ := domain.RuleFor(e)
			w := in(r.From[0])
			outs := apply(&w, epoch0, event(e), event(e))
			assert.Equal(t, []domain.Outcome{domain.OutcomeApplied, domain.OutcomeAlready}, outs)
			if w.Status.Waiting() {
				assign := event(domain.EventAssign)
				assert.Equal(t, domain.OutcomeApplied, apply(&w, epoch0.Add(time.Hour), assign)[0])
				assert.Equal(t, domain.OutcomeAlready, apply(&w, epoch0, assign)[0], "the assignment itself, repeated")
				if r.Ends {
					assert.Equal(t, domain.OutcomeAlready, apply(&w, epoch0, event(e))[0],
						"repeated behind the next assignment")
				}
			}
		})
	}
}

func TestDecide_CancelOfACancelledWorkload_RepeatsOnlyItsOwnRequest(t *testing.T) {
	request := func(r string) domain.Transition {
		tr := event(domain.EventCancel)
		tr.Request = r
		return tr
	}
	w := in(domain.StatusRunning)
	outs := apply(&w, epoch0, request("r"), request("r"), request("s"), request(""))
	assert.Equal(t, []domain.Outcome{
		domain.OutcomeApplied, domain.OutcomeAlready, domain.OutcomeIllegal, domain.OutcomeIllegal,
	}, outs)
	kept := epoch0.Add(domain.IdempotencyRetention)
	assert.Equal(t, domain.OutcomeAlready, apply(&w, kept.Add(-time.Second), request("r"))[0])
	assert.Equal(t, domain.OutcomeIllegal, apply(&w, kept, request("r"))[0], "the key is forgotten")

	unnamed := in(domain.StatusRunning)
	outs = apply(&unnamed, epoch0, request(""), request(""))
	assert.Equal(t, []domain.Outcome{domain.OutcomeApplied, domain.OutcomeIllegal}, outs)
}

func TestRequestID_DiffersByEachPart(t *testing.T) {
	ids := map[string]bool{}
	for _, parts := range [][]string{
		{"k", "a", "b"}, {"k", "ab"}, {"k", "a", "b", ""}, {"ka", "b"}, {"k", "", "ab"}, {"l", "a", "b"},
	} {
		ids[domain.RequestID(parts[0], parts[1:]...)] = true
	}
	assert.Len(t, ids, 6)
	once, again := domain.RequestID("k", "a"), domain.RequestID("k", "a")
	assert.Equal(t, once, again)
}

func TestDecide_EndReportedAgainAfterACancel_AnswersAlready(t *testing.T) {
	w := in(domain.StatusRunning)
	outs := apply(&w, epoch0, event(domain.EventFail), event(domain.EventCancel), event(domain.EventFail))
	assert.Equal(t, []domain.Outcome{domain.OutcomeApplied, domain.OutcomeApplied, domain.OutcomeAlready}, outs)
	assert.Equal(t, domain.StatusCancelled, w.Status)
}

func TestDecide_ProgressAfterTheEnd_DependsOnWhoEndedTheRun(t *testing.T) {
	own := in(domain.StatusRunning)
	assert.Equal(t, domain.OutcomeAlready,
		apply(&own, epoch0, event(domain.EventComplete), event(domain.EventProgress))[1])
	for _, e := range []domain.Event{domain.EventLose, domain.EventCancel, domain.EventTimeout} {
		w := in(domain.StatusRunning)
		assert.Equal(t, domain.OutcomeFenced, apply(&w, epoch0, event(e), event(domain.EventProgress))[1], e)
	}
}

func TestDecide_TwoEnds_FirstWins(t *testing.T) {
	ends := []domain.Event{
		domain.EventComplete, domain.EventFail, domain.EventLose, domain.EventCancel, domain.EventRelease,
	}
	for _, first := range ends {
		for _, second := range ends {
			if first == second || second == domain.EventCancel {
				continue
			}
			w := in(domain.StatusRunning)
			outs := apply(&w, epoch0, event(first), event(second))
			assert.Equal(t, domain.OutcomeApplied, outs[0])
			assert.False(t, outs[1].OK(), "%s then %s: %s", first, second, outs[1])
		}
	}
}
