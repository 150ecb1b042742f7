package domain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// death takes a running workload from a session, at a time, and has it run elsewhere from then on.
func death(t *testing.T, w *domain.Workload, at time.Time, change func(tr *domain.Transition)) {
	t.Helper()
	tr := event(domain.EventLose)
	tr.Generation, tr.SessionID, tr.Loss = w.Generation, w.SessionID, domain.LossDied
	if change != nil {
		change(&tr)
	}
	require.Equal(t, domain.OutcomeApplied, apply(w, at, tr)[0])
	if !w.Status.Final() {
		w.Generation++
		w.Status, w.StartedAt = domain.StatusRunning, at
		w.WorkerID, w.SessionID = "w1", domain.SessionID(fmt.Sprint("s", w.Generation))
	}
}

func TestPoison_LossesThatAreNoDeaths_NeverCount(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(tr *domain.Transition)
		counts bool
	}{
		{"certified", nil, true},
		{"lease expired without a supervisor", func(tr *domain.Transition) { tr.Loss = domain.LossExpired }, true},
		{"lease expired, excused", func(tr *domain.Transition) { tr.Loss, tr.Excused = domain.LossExpired, true },
			false},
		{"replaced", func(tr *domain.Transition) { tr.Loss = domain.LossReplaced }, false},
		{"removed", func(tr *domain.Transition) { tr.Loss = domain.LossRemoved }, false},
		{"deregistered", func(tr *domain.Transition) { tr.Loss = domain.LossLeft }, false},
		{"no longer held", func(tr *domain.Transition) { tr.Loss = domain.LossMissing }, false},
		{"shared by suspects", func(tr *domain.Transition) { tr.Excused = true }, false},
	} {
		w := in(domain.StatusRunning)
		for range 3 {
			death(t, &w, epoch0, c.change)
		}
		assert.Equal(t, c.counts, w.Status == domain.StatusFailed, c.name)
		if c.counts {
			assert.Equal(t, domain.FailurePoison, w.Failure.Type)
		}
	}
}

func TestEndedSession_Excused_OnlyWhenItsProcessLivesOrWouldHaveBeenCertified(t *testing.T) {
	for _, c := range []struct {
		loss                 domain.Loss
		supervised, returned bool
		want                 bool
	}{
		{domain.LossExpired, true, false, true},
		{domain.LossExpired, false, true, true},
		{domain.LossExpired, false, false, false},
		{domain.LossDied, true, true, false}, // a certificate is proof
	} {
		e := domain.EndedSession{Loss: c.loss, Supervised: c.supervised, Returned: c.returned}
		assert.Equal(t, c.want, e.Excused(), "%+v", c)
	}
}

func TestSuspect_TwoDeathsInARow_UntilACheckpointOrFiveMinutes(t *testing.T) {
	w := in(domain.StatusRunning)
	death(t, &w, epoch0, nil)
	assert.False(t, w.Suspect())
	death(t, &w, epoch0.Add(time.Minute), nil)
	require.True(t, w.Suspect())
	assert.Equal(t, epoch0.Add(time.Minute), w.SuspectSince)
	assert.Equal(t, epoch0.Add(6*time.Minute), w.SuspectUntil())
	saved := w.Clone()
	tr := event(domain.EventCheckpoint)
	tr.Generation, tr.SessionID = saved.Generation, saved.SessionID
	require.Equal(t, domain.OutcomeApplied, apply(&saved, epoch0.Add(2*time.Minute), tr)[0])
	assert.False(t, saved.Suspect())
	assert.Zero(t, saved.SuspectUntil())
	death(t, &w, epoch0.Add(7*time.Minute), nil)
	assert.Equal(t, domain.StatusRunning, w.Status, "it ran for more than five minutes")
	assert.Equal(t, 1, w.LossStreak)
}

func TestSuspect_WhenItPauses_IsNoneAnyMore(t *testing.T) {
	w := in(domain.StatusRunning)
	for range 2 {
		death(t, &w, epoch0, nil)
	}
	require.True(t, w.Suspect())
	paused := event(domain.EventPaused)
	paused.Generation, paused.SessionID = w.Generation, w.SessionID
	require.Equal(t, domain.OutcomeApplied, apply(&w, epoch0.Add(time.Minute), paused)[0])
	assert.False(t, w.Suspect(), "its run has ended well")
	assert.Empty(t, w.Deaths)
}

func TestSuspect_WhenItWasPausedAfterADeath_WaitsAnewForAWorkerOfItsOwn(t *testing.T) {
	w := in(domain.StatusRunning)
	death(t, &w, epoch0, nil)
	w.PauseRequested = true
	lose := event(domain.EventLose)
	lose.Generation, lose.SessionID, lose.Loss = w.Generation, w.SessionID, domain.LossDied
	require.Equal(t, domain.OutcomeApplied, apply(&w, epoch0.Add(time.Second), lose)[0])
	require.Equal(t, domain.StatusPaused, w.Status)
	require.True(t, w.Suspect())
	resumed := epoch0.Add(time.Hour)
	require.Equal(t, domain.OutcomeApplied, apply(&w, resumed, event(domain.EventResume))[0])
	assert.Equal(t, resumed, w.SuspectSince)
}

func TestDeaths_SessionThatReturned_IsTakenBack(t *testing.T) {
	w := in(domain.StatusRunning)
	for n := range 8 { // a process that fences itself each time, and registers again
		death(t, &w, epoch0, func(tr *domain.Transition) { tr.Loss, tr.Returned = domain.LossExpired, w.Deaths })
		require.Equal(t, domain.StatusRunning, w.Status, "%d", n)
		require.Equal(t, 1, w.LossStreak)
	}
}

func TestTally_SecondSuspectOnAWorker_IsRefusedForAMinute(t *testing.T) {
	y := func() *domain.Tally {
		return &domain.Tally{
			MaxConcurrent: map[domain.CustomerID]int{"cust_a": 9}, Running: map[domain.CustomerID]int{},
			Workers: map[domain.WorkerID]*domain.Worker{
				"w2": {ID: "w2", SessionID: "s2", Status: domain.WorkerHealthy, Slots: 9},
			},
			Held: map[domain.SessionID]int{}, Suspects: map[domain.SessionID]int{},
		}
	}
	suspect := func() domain.Workload {
		w := in(domain.StatusPending)
		w.LossStreak, w.Deaths, w.SuspectSince = 2, []domain.SessionID{"a", "b"}, epoch0
		return w
	}
	tally, assign := y(), event(domain.EventAssign)
	first, second, third, plain := suspect(), suspect(), suspect(), in(domain.StatusPending)
	outcome := func(w *domain.Workload, at time.Time) domain.Outcome {
		r, _, _ := domain.Execute(w, &assign, tally, at)
		return r.Outcome
	}
	assert.Equal(t, domain.OutcomeApplied, outcome(&first, epoch0))
	assert.Equal(t, domain.OutcomeRefused, outcome(&second, epoch0))
	assert.Equal(t, domain.OutcomeApplied, outcome(&plain, epoch0))
	assert.Equal(t, domain.OutcomeApplied, outcome(&third, epoch0.Add(domain.SuspectPatience)))
}
