package domain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
)

func TestFail_WhenRetriesAreSpent_IsFinal(t *testing.T) {
	w := in(domain.StatusRunning)
	w.Run.MaxRetries = 2
	for n := range 3 {
		tr := event(domain.EventFail)
		tr.Generation = w.Generation
		now := epoch0.Add(time.Duration(n) * time.Hour)
		require.Equal(t, domain.OutcomeApplied, apply(&w, now, tr)[0])
		if n == 2 {
			break
		}
		require.Equal(t, domain.StatusPending, w.Status)
		assert.Equal(t, n+1, w.RetryCount)
		assert.Equal(t, now.Add(w.Run.Backoff.Delay(n, 0.5)), w.NotBefore)
		assign := event(domain.EventAssign)
		assign.Generation, assign.SessionID = w.Generation+1, "s1"
		assert.Equal(t, domain.OutcomeIllegal, apply(&w, w.NotBefore.Add(-1), assign)[0], "the backoff is kept")
		start := event(domain.EventStart)
		start.Generation = w.Generation + 1
		require.Equal(t, []domain.Outcome{domain.OutcomeApplied, domain.OutcomeApplied},
			apply(&w, w.NotBefore, assign, start))
	}
	assert.Equal(t, domain.StatusFailed, w.Status)
	assert.Equal(t, "boom", w.Failure.Message)
	assert.Equal(t, 2, w.RetryCount)
}

func TestFail_Permanent_IsNotRetried(t *testing.T) {
	w, tr := in(domain.StatusRunning), event(domain.EventFail)
	tr.Failure.Permanent = true
	apply(&w, epoch0, tr)
	assert.Equal(t, domain.StatusFailed, w.Status)
	assert.Zero(t, w.RetryCount)
}

func TestFail_WithRetryAfter_WaitsThatLong(t *testing.T) {
	for asked, kept := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, 42 * time.Second: 42 * time.Second, 1000 * time.Hour: domain.MaxRetryAfter,
	} {
		w, tr := in(domain.StatusRunning), event(domain.EventFail)
		tr.RetryAfter = &asked
		apply(&w, epoch0, tr)
		assert.Equal(t, epoch0.Add(kept), w.NotBefore)
	}
}

func TestTimeout_IsAFailureOfTypeTimeout(t *testing.T) {
	w := in(domain.StatusRunning)
	w.Run.MaxRetries = 0
	apply(&w, epoch0, event(domain.EventTimeout))
	assert.Equal(t, domain.StatusFailed, w.Status)
	assert.Equal(t, domain.FailureTimeout, w.Failure.Type)
}

func TestStart_SetsTheDeadlineOfItsRun(t *testing.T) {
	w := in(domain.StatusScheduled)
	apply(&w, epoch0, event(domain.EventStart))
	assert.Equal(t, epoch0.Add(time.Hour), w.Deadline)
	w = in(domain.StatusScheduled)
	w.Run.Timeout = 0
	apply(&w, epoch0, event(domain.EventStart))
	assert.Zero(t, w.Deadline)
}

// lose takes the workload from a running worker, n times.
func lose(t *testing.T, w *domain.Workload, n int, loss domain.Loss) {
	t.Helper()
	for range n {
		tr := event(domain.EventLose)
		tr.Generation, tr.Loss = w.Generation, loss
		require.Equal(t, domain.OutcomeApplied, apply(w, epoch0, tr)[0])
		if w.Status.Final() {
			return
		}
		w.Status, w.WorkerID, w.SessionID = domain.StatusRunning, "w1", "s1"
		w.Generation++
	}
}

func TestLose_ThreeDeathsInARow_Quarantines(t *testing.T) {
	w := in(domain.StatusRunning)
	lose(t, &w, 3, domain.LossExpired)
	require.Equal(t, domain.StatusFailed, w.Status)
	assert.Equal(t, domain.FailurePoison, w.Failure.Type)
	assert.Zero(t, w.RetryCount, "lost workers are not failures of the workload")
}

func TestLose_WorkersThatDidNotDie_NeverQuarantines(t *testing.T) {
	for _, loss := range []domain.Loss{domain.LossRemoved, domain.LossMissing} {
		w := in(domain.StatusRunning)
		lose(t, &w, domain.MaxRedistributions, loss)
		assert.Equal(t, domain.StatusRunning, w.Status)
		lose(t, &w, 1, loss)
		require.Equal(t, domain.StatusFailed, w.Status)
		assert.Equal(t, domain.FailureWorkerLost, w.Failure.Type)
	}
}

func TestCheckpoint_New_ResetsTheCountsOfLostWorkers(t *testing.T) {
	w := in(domain.StatusRunning)
	lose(t, &w, 2, domain.LossExpired)
	tr := event(domain.EventCheckpoint)
	tr.Generation = w.Generation
	require.Equal(t, domain.OutcomeApplied, apply(&w, epoch0, tr)[0])
	assert.Zero(t, w.RedistributionCount)
	lose(t, &w, 2, domain.LossExpired)
	assert.Equal(t, domain.StatusRunning, w.Status)
}

func TestRequestPause_WithAReason_KeepsItUntilTheWorkloadIsResumed(t *testing.T) {
	w := in(domain.StatusRunning)
	ask, said := event(domain.EventRequestPause), event(domain.EventPaused)
	ask.Reason, said.Reason = "the month is closed", "a worker's words"
	for _, tr := range []domain.Transition{ask, event(domain.EventProgress), event(domain.EventCheckpoint), said} {
		require.Equal(t, domain.OutcomeApplied, apply(&w, epoch0, tr)[0], tr.Event)
		assert.Equal(t, "the month is closed", w.Reason, tr.Event)
	}
	require.Equal(t, domain.StatusPaused, w.Status)
	apply(&w, epoch0, event(domain.EventResume))
	assert.Empty(t, w.Reason)

	w = in(domain.StatusRunning)
	_, _, audit := domain.Decide(&w, &said, epoch0)
	assert.Equal(t, "a worker's words", audit.Reason, "nobody gave another reason")
	apply(&w, epoch0, ask)
	_, _, audit = domain.Decide(&w, &said, epoch0)
	assert.Equal(t, "the month is closed", audit.Reason)
	apply(&w, epoch0, event(domain.EventComplete))
	assert.Empty(t, w.Reason, "it has not paused")
}

func TestRequestPause_WhenTheRunEndsOtherwise_StillPauses(t *testing.T) {
	for _, e := range []domain.Event{domain.EventLose, domain.EventRelease, domain.EventFail, domain.EventTimeout} {
		w := in(domain.StatusRunning)
		outs := apply(&w, epoch0, event(domain.EventRequestPause), event(e))
		require.Equal(t, []domain.Outcome{domain.OutcomeApplied, domain.OutcomeApplied}, outs, e)
		assert.Equal(t, domain.StatusPaused, w.Status, e)
		assert.False(t, w.PauseRequested)
		assert.Zero(t, w.NotBefore)
		assert.Equal(t, domain.OutcomeApplied, apply(&w, epoch0, event(domain.EventResume))[0])
	}
	w := in(domain.StatusRunning)
	apply(&w, epoch0, event(domain.EventRequestPause), event(domain.EventComplete))
	assert.Equal(t, domain.StatusCompleted, w.Status, "what finishes first is finished")
}

func TestRequestPause_Repeated_ChangesNothing(t *testing.T) {
	w := in(domain.StatusRunning)
	pause, resume := event(domain.EventRequestPause), event(domain.EventResume)
	assert.Equal(t, []domain.Outcome{"applied", "already", "applied", "already", "applied", "already"},
		apply(&w, epoch0, pause, pause, event(domain.EventPaused), pause, resume, resume))
	fresh := in(domain.StatusPending)
	assert.Equal(t, domain.OutcomeIllegal, apply(&fresh, epoch0, resume)[0])
}

func TestCheckpoint_SequenceThatDoesNotFollow_IsRefused(t *testing.T) {
	for seq, want := range map[int64]domain.Outcome{1: "illegal", 2: "illegal", 3: "applied", 4: "illegal"} {
		w, tr := in(domain.StatusRunning), event(domain.EventCheckpoint)
		tr.CheckpointSequence = seq
		assert.Equal(t, want, apply(&w, epoch0, tr)[0], seq)
	}
}

func TestProgress_OutOfBounds_IsClamped(t *testing.T) {
	w, tr := in(domain.StatusRunning), event(domain.EventProgress)
	for given, kept := range map[float64]float64{-1: 0, 50: 50, 1e9: 100} {
		tr.Percent = &given
		apply(&w, epoch0, tr)
		assert.InDelta(t, kept, w.ProgressPercent, 0)
	}
	before := w.ProgressPercent
	apply(&w, epoch0, event(domain.EventCheckpoint))
	assert.InDelta(t, before, w.ProgressPercent, 0)
}

func TestDecline_FromTheSameWorkerAgain_PausesThatWorkerForLonger(t *testing.T) {
	w := in(domain.StatusScheduled)
	now := epoch0
	for n := range 10 {
		require.Equal(t, []domain.Outcome{domain.OutcomeApplied}, apply(&w, now, event(domain.EventDecline)))
		assert.Zero(t, w.RetryCount)
		assert.Zero(t, w.NotBefore, "other workers are asked at once")
		c := domain.Candidate{Declines: w.Declines}
		pause := min(domain.DeclinePause<<n, domain.DeclinePauseLimit)
		assert.True(t, c.Declined("w1", now.Add(pause-1)), "%d: %s", n, pause)
		assert.False(t, c.Declined("w1", now.Add(pause)), "%d: %s", n, pause)
		assert.False(t, c.Declined("w2", now))
		now = now.Add(pause)
		w.Status, w.WorkerID, w.SessionID, w.EndedGeneration = domain.StatusScheduled, "w1", "s1", 0
	}
	w.WorkerID = "w2"
	apply(&w, now, event(domain.EventUnassign))
	require.Len(t, w.Declines, 2, "what was not taken in time counts alike")
	w = in(domain.StatusScheduled)
	w.Declines = []domain.Decline{{WorkerID: "w1", Count: 9, Until: epoch0.Add(time.Minute)}}
	apply(&w, epoch0, event(domain.EventStart))
	assert.Empty(t, w.Declines, "a start clears them")
}

func TestDecline_ByMoreWorkersThanAreRemembered_MakesTheWorkloadWait(t *testing.T) {
	w := in(domain.StatusScheduled)
	for n := range 40 {
		w.Status, w.WorkerID, w.SessionID = domain.StatusScheduled, domain.WorkerID(fmt.Sprint("w", n)), "s1"
		w.EndedGeneration = 0
		apply(&w, epoch0, event(domain.EventDecline))
	}
	assert.Len(t, w.Declines, 16)
	assert.Equal(t, epoch0.Add(domain.DeclinePause), w.NotBefore, "forty that decline are not asked in a circle")
}

func TestBackoff_Grows_UpToItsCapAndNeverZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attempt, jitter := rapid.IntRange(0, 5000).Draw(t, "attempt"), rapid.Float64Range(0, 0.999999).Draw(t, "jitter")
		b := domain.RetryBackoff{
			Initial: time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "initial")),
			Factor:  rapid.Float64Range(1, 100).Draw(t, "factor"), Max: 24 * time.Hour,
		}
		d, longer := b.Delay(attempt, jitter), b.Delay(attempt+1, jitter)
		assert.GreaterOrEqual(t, d, time.Millisecond)
		assert.LessOrEqual(t, d, b.Max)
		assert.GreaterOrEqual(t, d, min(b.Initial/2, b.Max))
		assert.GreaterOrEqual(t, longer, d)
	})
}

func TestDefaultBackoff_WithTheDefaultBudget_SpansFiveMinutes(t *testing.T) {
	b := domain.DefaultRetryBackoff()
	var least time.Duration
	for n := range domain.DefaultMaxRetries {
		least += b.Delay(n, 0)
	}
	assert.GreaterOrEqual(t, least, 5*time.Minute)
	want := []time.Duration{2500 * time.Millisecond, 3750 * time.Millisecond, 7500 * time.Millisecond, 5 * time.Minute}
	assert.Equal(t, want, []time.Duration{b.Delay(0, 0), b.Delay(0, 0.5), b.Delay(1, 0), b.Delay(5000, 0)},
		"half is fixed, half is random")
	assert.Equal(t, b.Delay(3, 0.25), domain.RetryBackoff{}.Delay(3, 0.25), "the zero one is the default")
}

// TestDecide_RandomTransitions_KeepTheInvariants throws random transitions, stale ones among them,
// at a workload and checks what must hold after each: see the invariants I1, I2, I4, I5, I7 and I9.
func TestDecide_RandomTransitions_KeepTheInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := in(domain.StatusPending)
		w.Generation, w.CheckpointSequence, w.CheckpointGeneration = 0, 0, 0
		now, last := epoch0, domain.StatusPending
		outcomes := map[int64]domain.Event{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "seconds")) * time.Second)
			tr := event(rapid.SampledFrom(events()).Draw(t, "event"))
			tr.Generation = w.Generation + rapid.SampledFrom([]int64{0, 0, 0, 1, -1}).Draw(t, "stale")
			sessions := []domain.SessionID{w.SessionID, w.SessionID, "s1", "s2"}
			tr.SessionID = rapid.SampledFrom(sessions).Draw(t, "session")
			if tr.Event == domain.EventAssign {
				tr.WorkerID, tr.SessionID = "w", rapid.SampledFrom([]domain.SessionID{"s1", "s2"}).Draw(t, "holder")
			}
			tr.CheckpointSequence = w.CheckpointSequence + rapid.SampledFrom([]int64{1, 1, 0, 2}).Draw(t, "sequence")
			before := w.Clone()
			out, next, audit := domain.Decide(&w, &tr, now)
			again, nextAgain, _ := domain.Decide(&w, &tr, now)
			require.Equal(t, before, w, "arguments stay as they are")
			require.Equal(t, out, again)
			require.Equal(t, next, nextAgain)
			if out != domain.OutcomeApplied {
				continue
			}
			require.Equal(t, domain.OutcomeApplied, expectedFrom(w.Status, tr.Event), "%s in %s", tr.Event, w.Status)
			require.False(t, w.Status.Final(), "final is final")
			require.GreaterOrEqual(t, next.Generation, w.Generation)
			require.GreaterOrEqual(t, next.CheckpointSequence, w.CheckpointSequence)
			require.Equal(t, next.Status.Held(), next.SessionID != "")
			require.Equal(t, next.Status.Held(), next.WorkerID != "")
			if audit.Type != "" {
				require.Equal(t, last, audit.From, "the audit is a connected path")
				last = audit.To
			}
			if r, _ := domain.RuleFor(tr.Event); r.Ends && w.Status.Held() {
				require.NotContains(t, outcomes, w.Generation, "one end per generation")
				outcomes[w.Generation] = tr.Event
			}
			w.State = next
		}
	})
}

// expectedFrom tells by the hand-written table whether an event may be applied in a state.
func expectedFrom(s domain.Status, e domain.Event) domain.Outcome {
	return expected(s, e).out
}

func TestUnplaceable_SameReasonAgain_ChangesNothing(t *testing.T) {
	w := in(domain.StatusPending)
	w.Resumed = true
	tr := event(domain.EventUnplaceable)
	assert.Equal(t, []domain.Outcome{domain.OutcomeApplied, domain.OutcomeAlready}, apply(&w, epoch0, tr, tr))
	assert.Equal(t, "no worker can run it", w.Reason)
	assert.True(t, w.Resumed, "a resume that is repeated is still told apart from one that is not possible")
	tr.Reason = "another"
	assert.Equal(t, []domain.Outcome{domain.OutcomeApplied}, apply(&w, epoch0, tr))
	tr.Generation--
	assert.Equal(t, []domain.Outcome{domain.OutcomeFenced}, apply(&w, epoch0, tr))
	assert.Equal(t, []domain.Outcome{domain.OutcomeApplied}, apply(&w, epoch0, event(domain.EventAssign)))
	assert.Empty(t, w.Reason, "placed after all")
}

func TestRelease_WithRetryAfter_WaitsThatLong(t *testing.T) {
	w := in(domain.StatusRunning)
	tr := event(domain.EventRelease)
	tr.RetryAfter = new(domain.PreemptionDelay)
	assert.Equal(t, []domain.Outcome{domain.OutcomeApplied}, apply(&w, epoch0, tr))
	assert.Equal(t, epoch0.Add(domain.PreemptionDelay), w.NotBefore)
	assert.Zero(t, w.RedistributionCount)
	assert.Zero(t, w.RetryCount)
	assert.Equal(t, []domain.Outcome{domain.OutcomeIllegal}, apply(&w, epoch0, event(domain.EventAssign)))
	assert.Equal(t, []domain.Outcome{domain.OutcomeApplied},
		apply(&w, epoch0.Add(domain.PreemptionDelay), event(domain.EventAssign)))
}
