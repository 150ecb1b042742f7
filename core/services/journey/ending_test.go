package journey_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

func TestStuckRun_CancelIgnored_KeepsItsSlotVisiblyAndNothingIsSentThere(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 1)
	stuck := w.submit()
	w.tick()
	wk.poll()
	w.pass(10*time.Second, wk)
	_, err := w.a.Lifecycle.Cancel(t.Context(), acme, stuck, domain.Actor{Kind: domain.ActorUser, ID: "key_1"}, "", "")
	require.NoError(t, err)
	next := w.submit()
	w.pass(25*time.Second, wk) // its inventory has the run all the time
	require.Equal(t, domain.StatusPending, w.get(next).Status)
	assert.Zero(t, w.get(next).Generation, "it was never assigned, nor declined")
	p, err := w.b.Insight.Explain(t.Context(), acme, next)
	require.NoError(t, err)
	require.Len(t, p.Reasons, 1)
	assert.Equal(t, "1 worker with a slot kept by a run that refuses to end", p.Reasons[0].Message)
	views, err := w.a.Plane.ListWorkers(t.Context())
	require.NoError(t, err)
	assert.Empty(t, views[0].Held)
	require.Len(t, views[0].Ending, 1)
	assert.Equal(t, stuck, views[0].Ending[0].WorkloadID)
	assert.Equal(t, 25*time.Second, views[0].Ending[0].EndingFor)

	other := w.worker("other", 1)
	w.tick()
	assert.Equal(t, domain.WorkerID("other"), w.get(next).WorkerID, "another free worker takes it at once")
	other.poll()
	last := w.submit()
	delete(wk.held, stuck) // its handler returns
	w.pass(5*time.Second, wk, other)
	w.tick()
	assert.Equal(t, domain.WorkerID("w"), w.get(last).WorkerID)
}

func TestDeclinedWork_AnotherWorkerIsFree_GoesThereAtOnce(t *testing.T) {
	w := newWorld(t)
	wk := w.worker("w", 1)
	id := w.submit()
	decline := func() {
		cs, err := w.b.Plane.Poll(t.Context(), wk.ref, 0)
		require.NoError(t, err)
		require.Len(t, cs, 1)
		as, err := w.b.Plane.Report(t.Context(), wk.ref, []ports.Report{
			{WorkloadID: id, Generation: cs[0].Generation, Event: domain.EventDecline, Reason: "worker is full"},
		})
		require.NoError(t, err)
		require.Equal(t, domain.OutcomeApplied, as[0].Outcome)
	}
	w.tick()
	declined := 0
	for range 60 {
		if w.get(id).Status == domain.StatusScheduled {
			decline()
			declined++
		}
		w.pass(time.Second)
		wk.beat()
	}
	assert.Equal(t, 6, declined, "after 0, 1, 3, 7, 15, 31 seconds, not each second")
	w.tick()
	p, err := w.b.Insight.Explain(t.Context(), acme, id)
	require.NoError(t, err)
	assert.Equal(t, "1 worker that declined it a moment ago", p.Reasons[0].Message)
	w.worker("other", 1)
	w.tick()
	assert.Equal(t, domain.WorkerID("other"), w.get(id).WorkerID)
}

// A run that ends on one worker while its workload runs on another one gives nothing up.
func TestPreemption_BesideAStuckRun_AsksOneThatRuns(t *testing.T) {
	w := newWorld(t, preemptive)
	theirs := w.other(domain.TierFree)
	wk := w.worker("w", 2)
	var ids []domain.WorkloadID
	for range 2 {
		ids = append(ids, theirs())
		w.tick()
		wk.poll()
		w.pass(time.Second, wk)
		_, err := w.a.Plane.SaveCheckpoint(t.Context(), wk.ref, ports.CheckpointUpload{
			WorkloadID: ids[len(ids)-1], Generation: 1, Sequence: 1, Data: []byte("x"),
		})
		require.NoError(t, err)
	}
	runs, stuck := ids[0], ids[1]
	as, err := w.b.Plane.Report(t.Context(), wk.ref, []ports.Report{{
		WorkloadID: stuck, Generation: 1, Event: domain.EventRelease, Reason: "stopped", StillRunning: true,
	}})
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeApplied, as[0].Outcome)
	other := w.worker("other", 1)
	w.tick()
	other.poll()
	require.Contains(t, other.held, stuck)
	w.pass(15*time.Second, wk, other)
	w.submit(func(r *lifecycle.SubmitRequest) { r.Affinity.Hard.WorkerID = "w" })
	var asked []domain.WorkloadID
	for range 20 {
		w.pass(time.Second)
		wk.beat()
		other.beat()
		cs, err := w.b.Plane.Poll(t.Context(), wk.ref, 0)
		require.NoError(t, err)
		for _, c := range cs {
			if c.Kind == ports.CommandPreempt {
				asked = append(asked, c.WorkloadID)
			}
		}
	}
	assert.Equal(t, []domain.WorkloadID{runs}, asked)
}

func TestPreemption_OfARunThatDoesNotRelease_AsksAnotherOneNext(t *testing.T) {
	w := newWorld(t, preemptive)
	theirs := w.other(domain.TierFree)
	wk := w.worker("w", 2)
	for range 2 {
		id := theirs()
		w.tick()
		wk.poll()
		w.pass(time.Second, wk)
		_, err := w.a.Plane.SaveCheckpoint(t.Context(), wk.ref, ports.CheckpointUpload{
			WorkloadID: id, Generation: 1, Sequence: 1, Data: []byte("x"),
		})
		require.NoError(t, err)
	}
	w.pass(10*time.Second, wk)
	w.submit()
	asked := map[domain.WorkloadID]bool{}
	for range 150 {
		w.pass(time.Second)
		wk.beat()
		cs, err := w.b.Plane.Poll(t.Context(), wk.ref, 0)
		require.NoError(t, err)
		for _, c := range cs {
			asked[c.WorkloadID] = true
		}
	}
	assert.Len(t, asked, 2)
}
