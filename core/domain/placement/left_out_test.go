package placement_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

func TestPlan_SlotKeptByAnEndingRun_IsNotGivenAgain(t *testing.T) {
	stuck := domain.Lane{ID: "b/t@10", CustomerID: "b", Type: "t"}
	s := placement.Snapshot{
		Workers:   []domain.Worker{worker(1, 2, "t")},
		Occupancy: []domain.Occupancy{{SessionID: "s1", Lane: stuck, Count: 1, Ending: 1}},
		Customers: entitlements(map[domain.CustomerID]int{"b": 2}),
	}
	l := lane("b", "t", domain.Affinity{}, 1)
	assert.Empty(t, plan(s, 10, l))
	e := placement.NewExplainer(s)
	assert.Equal(t, []placement.Reason{{
		Code: placement.ReasonEnding, Workers: 1, Message: "1 worker with a slot kept by a run that refuses to end",
		WorkerIDs: named("w1"),
	}}, e.Explain(&l.Lane))
	assert.False(t, e.AtLimit("b"), "an ending run does not count as running")
	assert.Zero(t, e.Room(&l.Lane))
	s.Workers = append(s.Workers, worker(2, 1, "t"))
	as := plan(s, 10, l)
	require.Len(t, as, 1, "another worker takes it at once")
	assert.Equal(t, domain.WorkerID("w2"), as[0].WorkerID)
	s.Workers = s.Workers[:1]
	s.Occupancy[0].Count, s.Customers = 2, nil
	assert.Equal(t, placement.ReasonFull, placement.NewExplainer(s).Explain(&l.Lane)[0].Code,
		"without the ending run the worker is full too")
}

func TestPlan_WorkerThatDeclined_IsLeftOutForThatWorkload(t *testing.T) {
	l := lane("b", "t", domain.Affinity{}, 1, 2)
	l.Heads[0].Declines = []domain.Decline{{WorkerID: "w1", Count: 1, Until: epoch0.Add(time.Second)}}
	s := placement.Snapshot{Workers: []domain.Worker{worker(1, 5, "t")}, Now: epoch0}
	assert.Equal(t, []string{"b-t-10-001"}, ids(plan(s, 10, l)), "the next workload of the lane is placed")
	assert.Equal(t, []placement.Reason{{
		Code: placement.ReasonDeclined, Workers: 1, Message: "1 worker that declined it a moment ago",
		WorkerIDs: named("w1"),
	}}, placement.NewExplainer(s).ExplainWorkload(&l.Lane, &l.Heads[0]))
	s.Workers = append(s.Workers, worker(2, 5, "t"))
	as := plan(s, 10, l)
	require.Len(t, as, 2)
	assert.Equal(t, domain.WorkerID("w2"), as[0].WorkerID, "another worker takes it at once")
	s.Workers, s.Now = s.Workers[:1], epoch0.Add(time.Second)
	assert.Len(t, plan(s, 10, l), 2, "the worker is asked again when the pause is over")
}

func TestPlan_LaneFullOfDeclinedWorkloads_IsPassedOverAfterABound(t *testing.T) {
	l := lane("b", "t", domain.Affinity{})
	for n := range 1000 {
		l.Heads = append(l.Heads, domain.Candidate{
			ID: domain.WorkloadID(rune('a' + n)), QueueAt: epoch0,
			Declines: []domain.Decline{{WorkerID: "w1", Until: epoch0.Add(time.Second)}},
		})
	}
	p := placement.NewPlanner(placement.Snapshot{Workers: []domain.Worker{worker(1, 5, "t")}, Now: epoch0})
	p.Add(l)
	as, exhausted := p.Plan(10)
	assert.Empty(t, as)
	assert.Empty(t, exhausted)
	assert.Len(t, p.PassedOver()[domain.ObstacleFull], 1)
}

func TestPlan_Suspects_AreKeptOnWorkersOfTheirOwn(t *testing.T) {
	l := lane("b", "t", domain.Affinity{}, 1, 2, 3)
	l.Heads[0].SuspectSince, l.Heads[1].SuspectSince = epoch0, epoch0
	s := placement.Snapshot{Workers: []domain.Worker{worker(1, 5, "t")}, Now: epoch0}
	assert.Equal(t, []string{"b-t-10-000", "b-t-10-002"}, ids(plan(s, 10, l)), "one suspect beside other work")
	s.Occupancy = []domain.Occupancy{{SessionID: "s1", Lane: l.Lane, Count: 2, Suspects: 1}}
	assert.Equal(t, []string{"b-t-10-002"}, ids(plan(s, 10, l)))
	e := placement.NewExplainer(s)
	assert.Equal(t, placement.ReasonSuspects, e.ExplainWorkload(&l.Lane, &l.Heads[0])[0].Code)
	assert.Equal(t, placement.ReasonNext, e.ExplainWorkload(&l.Lane, &l.Heads[2])[0].Code)
	s.Workers = append(s.Workers, worker(2, 1, "t"))
	as := plan(s, 10, l)
	require.Len(t, as, 2)
	assert.Equal(t, domain.WorkerID("w2"), as[0].WorkerID)
	s.Now = epoch0.Add(domain.SuspectPatience)
	assert.Len(t, plan(s, 10, l), 3, "after a minute two suspects may share a worker")
	assert.Equal(t, domain.WorkerID("w2"), plan(s, 10, l)[0].WorkerID, "a worker without another suspect is still better")
}

func TestPlan_ManySuspectsAtTheHeadOfALane_KeepNobodyElseWaiting(t *testing.T) {
	var ages []int
	for n := range 301 {
		ages = append(ages, n+1)
	}
	l := lane("b", "t", domain.Affinity{}, ages...)
	for n := range 300 {
		l.Heads[n].SuspectSince = epoch0
	}
	s := placement.Snapshot{Workers: []domain.Worker{worker(1, 5, "t")}, Now: epoch0}
	assert.Equal(t, []string{"b-t-10-000", "b-t-10-300"}, ids(plan(s, 10, l)))
}

func TestPlan_LaneThatEndsWithTheLastSlot_IsPassedOver(t *testing.T) {
	s := placement.Snapshot{Workers: []domain.Worker{worker(1, 2, "t")}}
	for want, limit := range map[domain.Obstacle]int{domain.ObstacleFull: 9, domain.ObstacleLimit: 2} {
		s.Customers = entitlements(map[domain.CustomerID]int{"a": limit})
		l := lane("a", "t", domain.Affinity{}, 1, 2)
		l.More = true
		p := placement.NewPlanner(s)
		p.Add(l)
		first, exhausted := p.Plan(10)
		require.Len(t, first, 2)
		assert.Empty(t, exhausted, "nothing more of it can be placed")
		require.Len(t, p.PassedOver()[want], 1, want)
		assert.True(t, p.PassedOver()[want][0].More)
	}
}
