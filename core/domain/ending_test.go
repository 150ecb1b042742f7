package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// handsOf executes one transition and tells what changes about ending runs.
func handsOf(w domain.Workload, tr domain.Transition) (domain.Hands, domain.Ending) {
	tr.CustomerID = w.CustomerID
	live := &domain.Tally{
		Workers: map[domain.WorkerID]*domain.Worker{"w1": {ID: "w1", SessionID: "s1", Status: domain.WorkerHealthy}},
	}
	r, _, _ := domain.Execute(&w, &tr, live, epoch0)
	return r.Hands, r.Ending
}

func TestEnding_RunThatItsWorkerDidNotEnd_IsKept(t *testing.T) {
	for _, e := range []domain.Event{domain.EventCancel, domain.EventTimeout, domain.EventUnassign} {
		for _, s := range []domain.Status{domain.StatusScheduled, domain.StatusRunning} {
			w := in(s)
			w.ScheduledAt = epoch0.Add(-time.Minute)
			if out, _, _ := domain.Decide(&w, new(event(e)), epoch0); out != domain.OutcomeApplied {
				continue
			}
			h, ending := handsOf(w, event(e))
			assert.Equal(t, domain.HandsKeep, h, "%s of a %s run", e, s)
			assert.Equal(t, domain.Ending{
				WorkloadID: "wl_1", CustomerID: "cust_a", Generation: 3, WorkerID: "w1", SessionID: "s1",
				AssignedAt: epoch0.Add(-time.Minute), EndedAt: epoch0,
			}, ending)
		}
	}
	for _, s := range []domain.Status{domain.StatusPending, domain.StatusPaused, domain.StatusRedistributing} {
		h, _ := handsOf(in(s), event(domain.EventCancel))
		assert.Equal(t, domain.HandsSame, h, "nobody has a %s workload in its hands", s)
	}
}

func TestEnding_RunThatItsWorkerEnded_IsKeptOnlyWhileItsHandlerRuns(t *testing.T) {
	for _, e := range []domain.Event{
		domain.EventComplete, domain.EventFail, domain.EventRelease, domain.EventPaused, domain.EventDecline,
	} {
		w := in(domain.StatusRunning)
		if e == domain.EventDecline {
			w = in(domain.StatusScheduled)
		}
		tr := event(e)
		h, _ := handsOf(w, tr)
		assert.Equal(t, domain.HandsSame, h, e)
		tr.StillRunning = true
		h, _ = handsOf(w, tr)
		assert.Equal(t, domain.HandsKeep, h, e)
	}
	for _, loss := range []domain.Loss{
		domain.LossExpired, domain.LossReplaced, domain.LossRemoved, domain.LossMissing,
	} {
		tr := event(domain.EventLose)
		tr.Loss = loss
		h, _ := handsOf(in(domain.StatusRunning), tr)
		assert.Equal(t, domain.HandsSame, h, "%s: there is nobody who has it", loss)
	}
}

func TestEnding_LastReportOfARunThatWasEnded_LetsGo(t *testing.T) {
	w := in(domain.StatusCancelled)
	for _, e := range []domain.Event{domain.EventComplete, domain.EventFail, domain.EventRelease, domain.EventDecline} {
		h, ending := handsOf(w, event(e))
		assert.Equal(t, domain.HandsFree, h, e)
		assert.Equal(t, domain.SessionID("s1"), ending.SessionID)
		assert.Equal(t, int64(3), ending.Generation)
		tr := event(e)
		tr.StillRunning = true
		h, _ = handsOf(w, tr)
		assert.Equal(t, domain.HandsSame, h, e)
	}
	h, _ := handsOf(w, event(domain.EventProgress))
	assert.Equal(t, domain.HandsSame, h)
}

func TestEnding_Inventory_KeepsAndLetsGoWhatIsNotHeld(t *testing.T) {
	linger, letGo := event(domain.EventLinger), event(domain.EventLetGo)
	linger.WorkerID = "w1"
	for _, s := range domain.Statuses() {
		w := in(s)
		before := w.Clone()
		outcome := func(tr domain.Transition) domain.Outcome {
			r, audited, changed := domain.Execute(&w, &tr, nil, epoch0)
			require.False(t, changed)
			require.Empty(t, audited.Type)
			require.Equal(t, before, w, "nothing of the workload changes")
			return r.Outcome
		}
		if s.Held() {
			assert.Equal(t, domain.OutcomeIllegal, outcome(linger), s)
			assert.Equal(t, domain.OutcomeIllegal, outcome(letGo), s)
		} else {
			assert.Equal(t, domain.OutcomeApplied, outcome(linger), s)
			h, _ := handsOf(w, linger)
			assert.Equal(t, domain.HandsKeep, h)
			h, _ = handsOf(w, letGo)
			assert.Equal(t, domain.HandsFree, h)
		}
		early := linger
		early.Generation = 4
		assert.Equal(t, domain.OutcomeFenced, outcome(early), "a generation that nobody has been given")
	}
	w := in(domain.StatusRunning)
	w.Generation, w.SessionID = 4, "s2"
	h, _ := handsOf(w, linger)
	assert.Equal(t, domain.HandsKeep, h, "an earlier run, while another session holds the workload")
}

func TestTally_RunThatIsEnding_KeepsItsSlotButNotItsCustomersPlace(t *testing.T) {
	y := &domain.Tally{
		MaxConcurrent: map[domain.CustomerID]int{"cust_a": 1}, Running: map[domain.CustomerID]int{"cust_a": 1},
		Workers: map[domain.WorkerID]*domain.Worker{
			"w1": {ID: "w1", SessionID: "s1", Status: domain.WorkerHealthy, Slots: 1},
		},
		Held: map[domain.SessionID]int{"s1": 1},
	}
	running, next := in(domain.StatusRunning), in(domain.StatusPending)
	next.ID = "wl_2"
	assign := event(domain.EventAssign)
	assign.WorkloadID, assign.WorkerID, assign.SessionID = "wl_2", "w1", "s1"
	stop := event(domain.EventCancel)
	stop.CustomerID = "cust_a"
	r, _, _ := domain.Execute(&running, &stop, y, epoch0)
	require.Equal(t, domain.OutcomeApplied, r.Outcome)
	r, _, _ = domain.Execute(&next, &assign, y, epoch0)
	assert.Equal(t, domain.OutcomeRefused, r.Outcome)
	assert.Equal(t, "all 1 slots of the worker are taken", r.Reason)
	assert.Zero(t, y.Running["cust_a"])
}
