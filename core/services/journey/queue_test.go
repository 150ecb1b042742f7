package journey_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

const rival = domain.CustomerID("cust_rival")

func priority(n int) func(*lifecycle.SubmitRequest) {
	return func(r *lifecycle.SubmitRequest) { r.Priority = &n }
}

func onGPU(r *lifecycle.SubmitRequest) {
	r.Affinity.Hard.WorkerTags = map[string]string{"gpu": "yes"}
}

// other onboards a second customer and returns how it submits.
func (w *world) other(tier domain.Tier) func(change ...func(*lifecycle.SubmitRequest)) domain.WorkloadID {
	w.Helper()
	_, err := w.a.Tenancy.CreateCustomer(w.Context(), domain.Customer{ID: rival, Name: "Rival", Tier: tier},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(w, err)
	return func(change ...func(*lifecycle.SubmitRequest)) domain.WorkloadID {
		req := lifecycle.SubmitRequest{Type: "t", Input: "{}"}
		for _, c := range change {
			c(&req)
		}
		wl, err := w.a.Lifecycle.Submit(w.Context(), domain.Principal{Role: domain.RoleCustomer, CustomerID: rival},
			req)
		require.NoError(w, err)
		return wl.ID
	}
}

func (w *world) status(c domain.CustomerID, id domain.WorkloadID) domain.Status {
	w.Helper()
	wl, err := w.a.Lifecycle.Get(w.Context(), c, id)
	require.NoError(w, err)
	return wl.Status
}

func TestSuspendedCustomer_WhatWaits_IsPassedOverUntilReactivated(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 3)
	theirs := w.other(domain.TierEnterprise)
	runs := theirs()
	w.tick()
	wk.poll()
	require.Equal(t, domain.StatusRunning, w.status(rival, runs))
	waits := theirs(priority(20))
	_, err := w.a.Tenancy.SuspendCustomer(t.Context(), rival, domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	own := w.submit()
	w.tick()
	wk.poll()
	assert.Equal(t, domain.StatusPending, w.status(rival, waits), "nothing new is placed")
	assert.Equal(t, domain.StatusRunning, w.status(rival, runs), "what runs goes on")
	assert.Equal(t, domain.StatusRunning, w.get(own).Status, "another customer's turn comes")
	_, err = w.a.Tenancy.ReactivateCustomer(t.Context(), rival, domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	w.tick()
	assert.Equal(t, domain.StatusScheduled, w.status(rival, waits))
}

func TestTier_WhenChanged_CountsForWaitingWorkloads(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 1)
	theirs := w.other(domain.TierFree)
	blocker := w.submit()
	w.tick()
	wk.poll()
	first := w.submit(priority(20)) // premium: 20 x 50
	second := theirs(priority(20))  // free: 20 x 1
	tier := domain.TierEnterprise
	_, err := w.a.Tenancy.UpdateCustomer(t.Context(), rival, domain.CustomerPatch{Tier: &tier},
		domain.Admin{KeyID: "key_admin"}) // 20 x 100
	require.NoError(t, err)
	wk.report(blocker, domain.EventComplete)
	w.tick()
	assert.Equal(t, domain.StatusScheduled, w.status(rival, second))
	assert.Equal(t, domain.StatusPending, w.status(acme, first))
}

func TestLimit_WhenRaised_WakesTheLeaderAndIsUsedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.worker("w", 5)
	limit := func(n int) {
		_, err := w.a.Tenancy.UpdateCustomer(t.Context(), acme,
			domain.CustomerPatch{Limits: domain.LimitsPatch{MaxConcurrent: domain.To(n)}}, domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
	}
	limit(1)
	for range 4 {
		w.submit()
	}
	w.tick()
	running := func() int {
		u, err := w.a.Statistics.Usage(t.Context(), acme)
		require.NoError(t, err)
		return u.Running
	}
	require.Equal(t, 1, running())
	woken := make(chan string, 10)
	sub, err := w.notifier.Wakes(t.Context(), func(reason string) { woken <- reason })
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Close()) }()
	limit(3)
	require.Equal(t, "customer changed", <-woken)
	w.tick()
	require.Equal(t, 3, running())
	limit(1)
	w.tick()
	require.Equal(t, 3, running(), "what runs above a lowered limit goes on")
}

func TestScheduler_WhenEverySlotIsTaken_KnowsIt(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 1)
	id := w.submit()
	w.tick()
	assert.False(t, w.a.Scheduler.Full(), "one was free")
	wk.poll()
	w.tick()
	assert.True(t, w.a.Scheduler.Full())
	wk.report(id, domain.EventComplete)
	w.tick()
	assert.False(t, w.a.Scheduler.Full())
}

func TestReview_WorkloadThatNoWorkerCanRun_IsMarkedOnce(t *testing.T) {
	whateverTheClock(t, func(t *testing.T, skewed func(*setup)) { marksOnce(t, newWorld(t, skewed)) })
}

func marksOnce(t *testing.T, w *world) {
	t.Helper()
	wk := w.worker("w", 5)
	id := w.submit(onGPU)
	w.pass(9*time.Second, wk)
	assert.Empty(t, w.get(id).Reason, "a worker may only be starting again")
	w.pass(30*time.Second, wk)
	const why = "no worker can run it: none has the tags it must have"
	assert.Equal(t, why, w.get(id).Reason)
	marked := func() (n int) {
		trail, err := w.a.Lifecycle.ReadAudit(t.Context(), acme, id, 0, 100)
		require.NoError(t, err)
		for _, e := range trail {
			if e.Type == domain.AuditUnplaceable {
				n++
				assert.Equal(t, why, e.Reason)
			}
		}
		return n
	}
	assert.Equal(t, 1, marked())
	require.NoError(t, w.a.Leadership.StepDown(t.Context()))
	w.pass(20*time.Second, wk)
	assert.Equal(t, 1, marked(), "the next leader finds it marked")
	_, err := w.b.Plane.Register(t.Context(), domain.Registration{
		WorkerID: "gpu", SessionID: "gpu", Capabilities: []string{"t"}, Slots: 1, Tags: map[string]string{"gpu": "yes"},
	})
	require.NoError(t, err)
	w.tick()
	assert.Equal(t, domain.StatusScheduled, w.get(id).Status)
	assert.Empty(t, w.get(id).Reason)
}

func preemptive(s *setup) { s.cfg.Preemption = true }

// busy lets a free customer's workload run on the only worker until it has saved a checkpoint, and
// a premium one wait.
func busy(t *testing.T, checkpoint bool, change ...func(*setup)) (w *world, wk *agent, low, high domain.WorkloadID) {
	t.Helper()
	w = newWorld(t, change...)
	theirs := w.other(domain.TierFree)
	wk = w.worker("w", 1)
	low = theirs()
	w.tick()
	wk.poll()
	if checkpoint {
		a, err := w.a.Plane.SaveCheckpoint(t.Context(), wk.ref, ports.CheckpointUpload{
			WorkloadID: low, Generation: 1, Sequence: 1, Data: []byte("x"),
		})
		require.NoError(t, err)
		require.Equal(t, domain.OutcomeApplied, a.Outcome)
	}
	w.pass(10*time.Second, wk)
	high = w.submit()
	return w, wk, low, high
}

func TestPreemption_HigherTier_GetsTheSlotOfALowerOneThatHasSaved(t *testing.T) {
	whateverTheClock(t, func(t *testing.T, skewed func(*setup)) { preempts(t, skewed) })
}

func preempts(t *testing.T, skewed func(*setup)) {
	t.Helper()
	w, wk, low, high := busy(t, true, preemptive, skewed)
	w.pass(4*time.Second, wk)
	require.Empty(t, wk.poll(), "not at once: a slot may get free by itself")
	w.pass(3*time.Second, wk)
	require.Equal(t, []ports.CommandKind{ports.CommandPreempt}, wk.poll())
	w.pass(5*time.Second, wk)
	require.Empty(t, wk.poll(), "asked once")
	require.Equal(t, 1, w.observer.counts["preempted"])
	require.Equal(t, domain.StatusRunning, w.status(rival, low), "it goes on until its checkpoint is durable")

	delay := domain.PreemptionDelay.Milliseconds()
	as, err := w.b.Plane.Report(t.Context(), wk.ref, []ports.Report{{
		WorkloadID: low, Generation: 1, Event: domain.EventRelease, Reason: "preempted", RetryAfterMS: &delay,
	}})
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeApplied, as[0].Outcome)
	delete(wk.held, low)
	w.tick()
	assert.Equal(t, domain.StatusScheduled, w.status(acme, high))
	wl, err := w.a.Lifecycle.Get(t.Context(), rival, low)
	require.NoError(t, err)
	assert.Equal(t, domain.StatusRedistributing, wl.Status)
	assert.Zero(t, wl.RetryCount)
	assert.Zero(t, wl.RedistributionCount, "it counts neither as failure nor as loss")
	wk.poll()
	require.Equal(t, domain.OutcomeApplied, wk.report(high, domain.EventComplete))
	delete(wk.held, high)
	w.pass(6*time.Second, wk)
	wk.poll()
	assert.Equal(t, domain.StatusRunning, w.status(rival, low), "and continues")
}

func TestPreemption_BesideManyThatHaveSavedNothing_FindsTheOneThatHas(t *testing.T) {
	w := newWorld(t, preemptive)
	theirs := w.other(domain.TierFree)
	_, err := w.a.Tenancy.UpdateCustomer(t.Context(), rival, domain.CustomerPatch{
		Limits: domain.LimitsPatch{MaxConcurrent: domain.To(100)},
	}, domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	wk := w.worker("w", 46)
	id := theirs()
	w.tick()
	wk.poll()
	_, err = w.a.Plane.SaveCheckpoint(t.Context(), wk.ref, ports.CheckpointUpload{
		WorkloadID: id, Generation: 1, Sequence: 1, Data: []byte("x"),
	})
	require.NoError(t, err)
	w.pass(time.Second, wk)
	for range 45 {
		theirs()
	}
	w.tick()
	wk.poll()
	w.pass(10*time.Second, wk)
	w.submit()
	w.pass(2*time.Minute, wk)
	assert.NotZero(t, w.observer.counts["preempted"])
}

func TestPreemption_ForACustomerThatMayRunOneMore_AsksOnce(t *testing.T) {
	w := newWorld(t, preemptive)
	theirs := w.other(domain.TierFree)
	wk := w.worker("w", 2)
	for range 2 {
		id := theirs()
		w.tick()
		wk.poll()
		_, err := w.a.Plane.SaveCheckpoint(t.Context(), wk.ref, ports.CheckpointUpload{
			WorkloadID: id, Generation: 1, Sequence: 1, Data: []byte("x"),
		})
		require.NoError(t, err)
	}
	_, err := w.a.Tenancy.UpdateCustomer(t.Context(), acme, domain.CustomerPatch{
		Limits: domain.LimitsPatch{MaxConcurrent: domain.To(1)},
	}, domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	w.pass(10*time.Second, wk)
	w.submit()
	w.pass(3*time.Second, wk)
	w.submit()
	w.pass(20*time.Second, wk)
	assert.Equal(t, 1, w.observer.counts["preempted"])
}

func TestPreemption_WorkloadThatIsNotPreemptible_IsNotAsked(t *testing.T) {
	t.Run("preemption is off by default", func(t *testing.T) {
		w, wk, _, _ := busy(t, true)
		w.pass(30*time.Second, wk)
		assert.Empty(t, wk.poll())
	})
	t.Run("it has saved nothing yet", func(t *testing.T) {
		w, wk, _, _ := busy(t, false, preemptive)
		w.pass(30*time.Second, wk)
		assert.Empty(t, wk.poll())
	})
	t.Run("its customer has opted out", func(t *testing.T) {
		w, wk, _, _ := busy(t, true, preemptive)
		_, err := w.a.Tenancy.UpdateCustomer(t.Context(), rival, domain.CustomerPatch{NoPreemption: new(true)},
			domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
		w.pass(30*time.Second, wk)
		assert.Empty(t, wk.poll())
	})
}

func TestExplain_WaitingWorkload_NamesTheReasonAndTheStart(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 1)
	explain := func(id domain.WorkloadID) (codes []placement.ReasonCode, position int, start time.Duration) {
		p, err := w.b.Insight.Explain(t.Context(), acme, id)
		require.NoError(t, err)
		for _, r := range p.Reasons {
			codes = append(codes, r.Code)
		}
		if !p.Start.IsZero() {
			start = p.Start.Sub(w.clock.now)
		}
		return codes, p.Position, start
	}
	// One runs for 10 s after the other: that is the throughput.
	for range 12 {
		id := w.submit()
		w.tick()
		wk.poll()
		w.pass(10*time.Second, wk)
		wk.report(id, domain.EventComplete)
		delete(wk.held, id)
	}
	running := w.submit()
	w.tick()
	wk.poll()
	var queue []domain.WorkloadID
	for range 6 {
		queue = append(queue, w.submit())
		w.clock.now = w.clock.now.Add(time.Millisecond)
	}
	urgent := w.submit(priority(11))
	codes, position, start := explain(queue[5])
	assert.Equal(t, []placement.ReasonCode{placement.ReasonFull}, codes)
	assert.Equal(t, 7, position)
	assert.InDelta(t, 70, start.Seconds(), 10)
	_, position, _ = explain(urgent)
	assert.Equal(t, 1, position, "of a higher priority")
	estimate, confidence := w.b.Insight.Estimate(t.Context(), new(w.get(queue[5])))
	assert.InDelta(t, 70, estimate.Sub(w.clock.now).Seconds(), 15)
	assert.Equal(t, placement.ConfidenceLow, confidence, "nothing had to wait while it was measured")

	later := w.submit(func(r *lifecycle.SubmitRequest) { r.RunAt = w.clock.now.Add(time.Hour) })
	codes, position, start = explain(later)
	assert.Equal(t, []placement.ReasonCode{placement.ReasonNotBefore, placement.ReasonFull}, codes)
	assert.Zero(t, position)
	assert.Equal(t, time.Hour, start)
	codes, _, start = explain(w.submit(onGPU))
	assert.Equal(t, []placement.ReasonCode{placement.ReasonMissingTag}, codes)
	assert.Zero(t, start, "nothing tells when")
	p, err := w.b.Insight.Explain(t.Context(), acme, running)
	require.NoError(t, err)
	assert.False(t, p.Waiting)
	_, err = w.b.Insight.Explain(t.Context(), rival, running)
	assert.True(t, domain.IsCode(err, domain.CodeNotFound), "another customer's does not exist")
}
