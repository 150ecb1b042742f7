package placement_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

func TestExplain_EachObstacle_IsCounted(t *testing.T) {
	gpu := worker(1, 1, "t")
	gpu.Tags = map[string]string{"gpu": "a100"}
	draining, dead := worker(5, 9, "t"), worker(6, 9, "t")
	draining.Status, dead.Status = domain.WorkerDraining, domain.WorkerDead
	s := placement.Snapshot{
		Workers:   []domain.Worker{gpu, worker(2, 1, "t"), worker(3, 1, "t"), worker(4, 1, "other"), draining, dead},
		Customers: entitlements(map[domain.CustomerID]int{"a": 1}),
		Occupancy: []domain.Occupancy{{SessionID: "s1", Lane: domain.Lane{CustomerID: "a", Type: "t"}, Count: 1}},
	}
	must := domain.Affinity{Hard: domain.AffinityTerms{WorkerTags: map[string]string{"gpu": "a100"}}}
	e := placement.NewExplainer(s)
	l := lane("a", "t", must).Lane
	assert.True(t, e.Placeable(&l), "the worker with the tag is only full")
	assert.True(t, e.AtLimit("a"))
	assert.Zero(t, e.Room(&l))
	assert.Equal(t, []placement.Reason{
		{Code: placement.ReasonCustomerLimit, Message: "customer at its limit of 1 running workloads"},
		{
			Code: placement.ReasonMissingTag, Workers: 2, Message: "2 workers without tag gpu=a100",
			WorkerIDs: named("w2", "w3"),
		},
		{Code: placement.ReasonDraining, Workers: 1, Message: "1 worker draining", WorkerIDs: named("w5")},
		{Code: placement.ReasonFull, Workers: 1, Message: "1 worker full", WorkerIDs: named("w1")},
		{Code: placement.ReasonMissingType, Workers: 1, Message: `1 worker not offering type "t"`, WorkerIDs: named("w4")},
	}, e.Explain(&l))

	e.Learn("a", domain.Customer{ID: "a", Tier: domain.TierFree, SuspendedAt: s.Now.Add(1)}.Entitlements())
	assert.True(t, e.AtLimit("a"))
	assert.Equal(t, placement.Reason{Code: placement.ReasonSuspended, Message: "customer is suspended"}, e.Explain(&l)[0])

	must.Hard.WorkerTags["gpu"] = "h100"
	l = lane("b", "t", must).Lane
	assert.False(t, e.Placeable(&l))
	assert.Equal(t, "no worker can run it: its type is not offered; none has the tags it must have; some are draining",
		e.Unplaceable(&l), "the text must not change with the number of workers")
	free := lane("b", "t", domain.Affinity{}).Lane
	assert.Empty(t, e.Unplaceable(&free))
	assert.Equal(t, 2, e.Room(&free))
	none := placement.NewExplainer(placement.Snapshot{})
	assert.Equal(t, []placement.Reason{
		{Code: placement.ReasonNotOffered, Message: `no worker offers type "t" yet`},
		{Code: placement.ReasonNoWorker, Message: "no worker is registered"},
	}, none.Explain(&free))
	unheard := lane("b", "unheard", domain.Affinity{}).Lane
	assert.Equal(t, placement.NotOffered("unheard"), e.Explain(&unheard)[0])
	assert.Equal(t, "no worker can run it: none is registered", none.Unplaceable(&free))
}

func TestExplainer_WhenItLearnsOfACustomer_LeavesTheSnapshotAsItIs(t *testing.T) {
	s := placement.Snapshot{
		Workers: []domain.Worker{worker(1, 3, "t")}, Customers: entitlements(map[domain.CustomerID]int{"a": 1}),
		Occupancy: []domain.Occupancy{{SessionID: "s1", Lane: domain.Lane{CustomerID: "late", Type: "t"}, Count: 2}},
	}
	e := placement.NewExplainer(s)
	assert.False(t, e.AtLimit("late"), "its limit is not known yet")
	e.Learn("late", domain.Entitlements{Tier: domain.TierPremium, MaxConcurrent: 2})
	assert.True(t, e.AtLimit("late"))
	assert.Len(t, s.Customers, 1, "the snapshot is shared and must not change")
	s.Customers["a"] = domain.Entitlements{MaxConcurrent: -1}
	assert.False(t, e.AtLimit("a"), "the explainer works on a copy")
}

// The explainer and the planner read the same rules. They must never contradict each other.
func TestExplain_RandomWorld_AgreesWithThePlanner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for id, c := range w.Customers {
			c.MaxConcurrent = 1000
			w.Customers[id] = c
		}
		for _, l := range w.lanes {
			p := placement.NewPlanner(w.Snapshot)
			p.Add(l)
			as, _ := p.Plan(1)
			e := placement.NewExplainer(w.Snapshot)
			reasons, placeable := e.Explain(&l.Lane), e.Placeable(&l.Lane)
			able := 0
			for _, r := range reasons {
				if r.Code == placement.ReasonNext {
					able += r.Workers
				}
			}
			require.Equal(t, len(as) > 0, able > 0, "%v", reasons)
			require.Equal(t, able > 0, e.Room(&l.Lane) > 0)
			require.Equal(t, placeable, e.Unplaceable(&l.Lane) == "")
			for o := range p.PassedOver() {
				require.Equal(t, placeable, o == domain.ObstacleFull, "%v: %v", o, reasons)
			}
		}
	})
}

func TestNotYet_WhenARetryIsDue_SaysWhichAndWhen(t *testing.T) {
	w := domain.Workload{
		Spec: domain.Spec{Run: domain.DefaultRunConfig()},
		State: domain.State{
			Status: domain.StatusPending, RetryCount: 1, NotBefore: epoch0.Add(time.Second),
			EndedEvent: domain.EventFail, Failure: &domain.Failure{Type: "error"},
		},
	}
	r := placement.NotYet(&w)
	assert.Equal(t, placement.ReasonRetry, r.Code)
	assert.Equal(t, `retry 1 of 5 after failure "error", not before 2026-01-02T03:04:06Z`, r.Message)
	later := domain.Workload{State: domain.State{Status: domain.StatusPending, NotBefore: epoch0}}
	assert.Equal(t, placement.ReasonNotBefore, placement.NotYet(&later).Code)
}
