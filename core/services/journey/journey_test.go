package journey_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

func TestWorkload_WithoutFaults_IsPlacedRunAndFinished(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 2)
	ids := []domain.WorkloadID{w.submit(), w.submit(), w.submit()}
	w.tick()
	wk.poll()
	require.Len(t, wk.held, 2, "as many as it has slots")
	require.Equal(t, domain.OutcomeApplied, wk.report(ids[0], domain.EventComplete))
	w.tick()
	wk.poll()
	require.Len(t, wk.held, 3)
	require.Equal(t, domain.StatusCompleted, w.get(ids[0]).Status)
}

func TestAssignment_WhenLost_IsSentAgainAndThenPlacedElsewhere(t *testing.T) {
	w := newWorld(t)
	deaf := w.worker("deaf", 1)
	id := w.submit()
	w.tick()
	take := func() []ports.Command {
		cs, err := w.b.Plane.Poll(t.Context(), deaf.ref, 0)
		require.NoError(t, err)
		return cs
	}
	require.Len(t, take(), 1)
	w.pass(11*time.Second, deaf)
	require.Len(t, take(), 1, "sent again after two heartbeats, 10 s")
	other := w.worker("other", 1)
	w.pass(10*time.Second, deaf, other)
	assert.Equal(t, []ports.CommandKind{ports.CommandDrop}, kinds(take()), "taken back after one lease, 20 s")
	w.pass(2*time.Second, deaf, other)
	got := w.get(id)
	require.Equal(t, int64(2), got.Generation)
	require.Zero(t, got.RetryCount)
	require.Zero(t, got.RedistributionCount)
}

func kinds(cs []ports.Command) []ports.CommandKind {
	var out []ports.CommandKind
	for _, c := range cs {
		if c.Kind != ports.CommandAssign {
			out = append(out, c.Kind)
		}
	}
	return out
}

func TestWorker_WhenItFallsSilent_LosesItsWorkAfterItsLease(t *testing.T) {
	w := newWorld(t)
	w.tick()
	w.pass(lease)
	silent := w.worker("silent", 1)
	id := w.submit()
	w.tick()
	silent.poll()
	heir := w.worker("heir", 1)
	w.pass(lease-time.Second, heir)
	require.Equal(t, domain.StatusRunning, w.get(id).Status)
	w.pass(3*time.Second, heir)
	heir.poll()
	got := w.get(id)
	require.Equal(t, domain.StatusRunning, got.Status)
	require.Equal(t, domain.WorkerID("heir"), got.WorkerID)
	require.Equal(t, 1, w.observer.counts["worker_expired"])
	require.Equal(t, domain.OutcomeFenced, silent.report(id, domain.EventComplete), "the silent one wakes up")
	_, err := w.a.Plane.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: silent.ref})
	require.True(t, domain.IsCode(err, domain.CodeFenced))
}

func TestFailover_ForOneLease_DeclaresNoWorkerDead(t *testing.T) {
	w := newWorld(t)
	w.tick() // a leads
	wk := w.worker("w", 1)
	id := w.submit()
	w.tick()
	wk.poll()
	// a dies: nobody ticks it any more; the worker's heartbeats get lost with it.
	only := func(d time.Duration) {
		for range int(d / time.Second) {
			w.clock.now = w.clock.now.Add(time.Second)
			_, err := w.b.Leadership.Tick(t.Context())
			require.NoError(t, err)
			require.NoError(t, w.b.Health.Tick(t.Context()))
		}
	}
	only(10 * time.Second)
	_, leads := w.b.Leadership.Current()
	require.True(t, leads, "takeover within 10 s")
	only(lease - 5*time.Second) // more than a lease since the last heartbeat
	require.Equal(t, domain.StatusRunning, w.get(id).Status)
	wk.beat()
	only(lease - time.Second)
	require.Equal(t, domain.StatusRunning, w.get(id).Status, "its heartbeat counts")
	only(3 * time.Second)
	require.Equal(t, domain.StatusRedistributing, w.get(id).Status)
}

func TestScheduler_WhenItsEpochIsStale_PlacesNothing(t *testing.T) {
	w := newWorld(t)
	w.tick() // a leads
	w.worker("w", 1)
	require.NoError(t, w.stores.Leader.Release(t.Context(), "a", 1))
	_, held, err := w.stores.Leader.Acquire(t.Context(), "b", ttl)
	require.NoError(t, err)
	require.True(t, held)
	id := w.submit()
	_, err = w.a.Scheduler.Tick(t.Context()) // believes that it leads
	require.True(t, domain.IsCode(err, domain.CodeFenced))
	require.Equal(t, domain.StatusPending, w.get(id).Status)
}

func TestRun_PastItsDeadline_IsEndedByTheLeaderIfTheWorkerDoesNot(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 1)
	limit := 30 * time.Second
	id := w.submit(func(r *lifecycle.SubmitRequest) { r.Timeout = &limit })
	w.tick()
	wk.poll()
	w.pass(limit+14*time.Second, wk)
	require.Equal(t, domain.StatusRunning, w.get(id).Status)
	w.pass(2*time.Second, wk)
	got := w.get(id)
	require.Equal(t, 1, got.RetryCount)
	require.Equal(t, domain.FailureTimeout, got.Failure.Type)
	require.Contains(t, wk.poll(), ports.CommandDrop)
}

func TestRetry_AfterItsBackoff_RunsAgain(t *testing.T) {
	whateverTheClock(t, func(t *testing.T, skewed func(*setup)) { retries(t, newWorld(t, skewed)) })
}

func retries(t *testing.T, w *world) {
	t.Helper()
	wk := w.worker("w", 1)
	id := w.submit()
	w.tick()
	wk.poll()
	require.Equal(t, domain.OutcomeApplied, wk.report(id, domain.EventFail))
	delete(wk.held, id)
	w.tick()
	require.Equal(t, domain.StatusPending, w.get(id).Status, "its backoff is kept")
	due, ok, err := w.a.Scheduler.NextDue(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, 3750*time.Millisecond, due)
	w.pass(4*time.Second, wk)
	wk.poll()
	require.Equal(t, domain.StatusRunning, w.get(id).Status)
}

func TestCancel_RunningWorkload_ReachesItsWorkerAtOnceAndWithItsHeartbeat(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 1)
	id := w.submit()
	w.tick()
	wk.poll()
	_, err := w.a.Lifecycle.Cancel(t.Context(), acme, id, domain.Actor{}, "", "")
	require.NoError(t, err)
	require.Equal(t, []ports.CommandKind{ports.CommandCancel}, wk.poll())
	require.Equal(t, []ports.CommandKind{ports.CommandCancel}, wk.beat())
	require.Equal(t, domain.OutcomeFenced, wk.report(id, domain.EventComplete))
}

func TestPause_RunningWorkload_IsConfirmedByItsWorkerOrStands(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 1)
	id := w.submit()
	_, _, err := w.a.Lifecycle.Pause(t.Context(), acme, id, domain.Actor{}, "")
	require.True(t, domain.IsCode(err, domain.CodeInvalidState), "only what runs can be paused")
	w.tick()
	wk.poll()
	_, confirmed, err := w.a.Lifecycle.Pause(t.Context(), acme, id, domain.Actor{}, "")
	require.NoError(t, err)
	require.False(t, confirmed)
	require.Equal(t, []ports.CommandKind{ports.CommandPause}, wk.poll())
	require.Equal(t, []ports.CommandKind{ports.CommandPause}, wk.beat(), "a lost command costs one heartbeat")
	require.Equal(t, domain.OutcomeApplied, wk.report(id, domain.EventPaused))
	_, confirmed, err = w.a.Lifecycle.Pause(t.Context(), acme, id, domain.Actor{}, "")
	require.NoError(t, err)
	require.True(t, confirmed)
	_, err = w.b.Lifecycle.Resume(t.Context(), acme, id, domain.Actor{}, "")
	require.NoError(t, err)
	w.tick()
	require.Equal(t, int64(2), w.get(id).Generation)
}

func TestCheckpoint_RunningWorkload_TellsItsWorkerOnce(t *testing.T) {
	w := newWorld(t)
	wk, other := w.worker("w", 1), w.worker("other", 1)
	id := w.submit()
	ask := func() error {
		_, err := w.a.Lifecycle.Checkpoint(t.Context(), acme, id)
		return err
	}
	refused := func(status domain.Status) {
		t.Helper()
		var e *domain.Error
		require.ErrorAs(t, ask(), &e)
		require.Equal(t, domain.CodeInvalidState, e.Code)
		require.Equal(t, string(status), e.Details["status"])
	}
	refused(domain.StatusPending)
	w.tick()
	refused(domain.StatusScheduled)
	wk.poll()
	if other.poll(); len(wk.held) == 0 {
		wk, other = other, wk
	}
	require.NoError(t, ask())
	require.Equal(t, []ports.CommandKind{ports.CommandCheckpoint}, wk.poll())
	require.Empty(t, wk.poll())
	require.Empty(t, wk.beat(), "it is a hint")
	require.Empty(t, other.poll())
	_, err := w.a.Lifecycle.Checkpoint(t.Context(), "cust_rival", id)
	require.True(t, domain.IsCode(err, domain.CodeNotFound))
	require.Equal(t, domain.OutcomeApplied, wk.report(id, domain.EventComplete))
	refused(domain.StatusCompleted)
}

func TestQueue_HigherTier_GoesFirstAndABlockedCustomerDelaysNobody(t *testing.T) {
	w := newWorld(t)
	for id, tier := range map[domain.CustomerID]domain.Tier{
		"cust_free": domain.TierFree, "cust_top": domain.TierEnterprise,
	} {
		_, err := w.a.Tenancy.CreateCustomer(t.Context(), domain.Customer{
			ID: id, Name: "N", Tier: tier, Overrides: domain.Limits{MaxConcurrent: 2, MaxQueueDepth: 100},
		}, domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
	}
	w.worker("w", 5)
	submit := func(c domain.CustomerID, n int) {
		for range n {
			_, err := w.a.Lifecycle.Submit(t.Context(), domain.Principal{CustomerID: c},
				lifecycle.SubmitRequest{Type: "t", Input: "{}"})
			require.NoError(t, err)
		}
	}
	submit("cust_free", 20)
	submit(acme, 2)
	submit("cust_top", 20)
	w.tick()
	for c, want := range map[domain.CustomerID]int{"cust_top": 2, acme: 2, "cust_free": 1} {
		u, err := w.a.Statistics.Usage(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, want, u.Running, c)
	}
}

func TestLanes_AsManyOfOneCustomerAsAreConsidered_ArePlacedInQueueOrder(t *testing.T) {
	w := newWorld(t)
	limits := domain.LimitsPatch{MaxQueueDepth: domain.To(10_000), MaxConcurrent: domain.To(10_000)}
	_, err := w.a.Tenancy.UpdateCustomer(t.Context(), acme, domain.CustomerPatch{Limits: limits},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	teller := w.worker("teller", 1)
	require.NoError(t, w.a.Plane.RemoveWorker(t.Context(), teller.ref.WorkerID, domain.Admin{KeyID: "key_admin"}))
	var want []domain.WorkloadID
	for n := range 3000 {
		w.clock.now = w.clock.now.Add(time.Millisecond)
		want = append(want, w.submit(func(r *lifecycle.SubmitRequest) {
			if n%3 == 0 { // a third in small lanes, the rest in one big one
				r.Affinity.Soft.WorkerID = domain.WorkerID("x" + strconv.Itoa(n/3%(domain.LanesOfCustomer-1)))
			}
		}))
	}
	w.worker("big", 2500)
	w.tick()
	for i, id := range want {
		require.Equal(t, i < 2500, w.get(id).Status == domain.StatusScheduled, "%d of %d", i, len(want))
	}
}

func TestLanes_MoreOfOneCustomerThanAreConsidered_AreAllPlaced(t *testing.T) {
	w := newWorld(t)
	limits := domain.LimitsPatch{MaxQueueDepth: domain.To(10_000), MaxConcurrent: domain.To(10_000)}
	_, err := w.a.Tenancy.UpdateCustomer(t.Context(), acme, domain.CustomerPatch{Limits: limits},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	teller := w.worker("teller", 1)
	require.NoError(t, w.a.Plane.RemoveWorker(t.Context(), teller.ref.WorkerID, domain.Admin{KeyID: "key_admin"}))
	var ids []domain.WorkloadID
	for n := range 1500 {
		ids = append(ids, w.submit(func(r *lifecycle.SubmitRequest) {
			r.Affinity.Soft.WorkerID = domain.WorkerID("x" + strconv.Itoa(n))
		}))
	}
	stuck := w.submit(func(r *lifecycle.SubmitRequest) { r.Affinity.Hard.WorkerTags = map[string]string{"gpu": "yes"} })
	theirs := w.other(domain.TierFree)
	last := theirs()
	p, err := w.b.Insight.Explain(t.Context(), acme, ids[1499])
	require.NoError(t, err)
	require.Equal(t, `no worker offers type "t" yet`, p.Reasons[0].Message,
		"what is set aside is explained all the same")
	wk := w.worker("big", 2500)
	w.tick()
	for i, id := range ids {
		require.Equal(t, domain.StatusScheduled, w.get(id).Status, "%d", i)
	}
	require.Equal(t, domain.StatusScheduled, w.status(rival, last))
	w.pass(15*time.Second, wk)
	require.Contains(t, w.get(stuck).Reason, "no worker can run it", "what is left is marked")
}

func TestWait_WhenTheWorkloadEnds_ReturnsAtOnce(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 1)
	id := w.submit()
	w.tick()
	wk.poll()
	got := make(chan domain.Workload, 1)
	go func() {
		wl, _ := w.a.Lifecycle.Wait(context.Background(), acme, id, time.Hour)
		got <- wl
	}()
	wk.report(id, domain.EventComplete)
	select {
	case wl := <-got:
		require.Equal(t, domain.StatusCompleted, wl.Status)
	case <-time.After(time.Minute):
		require.Fail(t, "still waiting")
	}
}
