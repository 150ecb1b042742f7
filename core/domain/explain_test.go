package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
)

func TestWhyItWaitsIsSaidWithCounts(t *testing.T) {
	gpu := worker(1, 1, "t")
	gpu.Tags = map[string]string{"gpu": "a100"}
	draining, dead := worker(5, 9, "t"), worker(6, 9, "t")
	draining.Status, dead.Status = domain.WorkerDraining, domain.WorkerDead
	s := domain.Snapshot{
		Workers:   []domain.Worker{gpu, worker(2, 1, "t"), worker(3, 1, "t"), worker(4, 1, "other"), draining, dead},
		Customers: terms(map[domain.CustomerID]int{"a": 1}),
		Occupancy: []domain.Occupancy{{SessionID: "s1", Lane: domain.Lane{CustomerID: "a", Type: "t"}, Count: 1}},
	}
	must := domain.Affinity{Hard: domain.AffinityTerms{WorkerTags: map[string]string{"gpu": "a100"}}}
	e := domain.NewExplainer(s)
	l := lane("a", "t", must).Lane
	assert.True(t, e.Placeable(&l), "the worker that has it is only full")
	assert.True(t, e.AtLimit("a"))
	assert.Zero(t, e.Room(&l))
	assert.Equal(t, []domain.Reason{
		{Code: domain.ReasonCustomerLimit, Message: "customer at its limit of 1 running workloads"},
		{Code: domain.ReasonMissingTag, Workers: 2, Message: "2 workers without tag gpu=a100"},
		{Code: domain.ReasonDraining, Workers: 1, Message: "1 worker draining"},
		{Code: domain.ReasonFull, Workers: 1, Message: "1 worker full"},
		{Code: domain.ReasonMissingType, Workers: 1, Message: `1 worker not offering type "t"`},
	}, e.Explain(&l))

	must.Hard.WorkerTags["gpu"] = "h100"
	l = lane("b", "t", must).Lane
	assert.False(t, e.Placeable(&l))
	assert.Equal(t, "no worker can run it: its type is not offered; none has the tags it must have; some are draining", e.Unplaceable(&l),
		"in words that do not change with the number of workers")
	free := lane("b", "t", domain.Affinity{}).Lane
	assert.Empty(t, e.Unplaceable(&free))
	assert.Equal(t, 2, e.Room(&free))
	none := domain.NewExplainer(domain.Snapshot{})
	assert.Equal(t, []domain.Reason{
		{Code: domain.ReasonNotOffered, Message: `no worker offers type "t" yet`}, {Code: domain.ReasonNoWorker, Message: "no worker is registered"},
	}, none.Explain(&free))
	unheard := lane("b", "unheard", domain.Affinity{}).Lane
	assert.Equal(t, domain.NotOffered("unheard"), e.Explain(&unheard)[0])
	assert.Equal(t, "no worker can run it: none is registered", none.Unplaceable(&free))
}

func TestExplainer_LearnsOfACustomer_LeavesTheSnapshotAsItIs(t *testing.T) {
	s := domain.Snapshot{
		Workers: []domain.Worker{worker(1, 3, "t")}, Customers: terms(map[domain.CustomerID]int{"a": 1}),
		Occupancy: []domain.Occupancy{{SessionID: "s1", Lane: domain.Lane{CustomerID: "late", Type: "t"}, Count: 2}},
	}
	e := domain.NewExplainer(s)
	assert.False(t, e.AtLimit("late"), "nobody knows its limit")
	e.Learn("late", domain.Terms{Tier: domain.TierPremium, MaxConcurrent: 2})
	assert.True(t, e.AtLimit("late"))
	assert.Len(t, s.Customers, 1, "who shares the snapshot sees no change")
	s.Customers["a"] = domain.Terms{MaxConcurrent: -1}
	assert.False(t, e.AtLimit("a"), "nor does the explainer see the others'")
}

// What explain says and what the planner does are two readings of the same rules.
func TestExplainNeverContradictsThePlanner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for id, c := range w.Customers {
			c.MaxConcurrent = 1000
			w.Customers[id] = c
		}
		for _, l := range w.lanes {
			p := domain.NewPlanner(w.Snapshot)
			p.Add(l)
			as, _ := p.Plan(1)
			e := domain.NewExplainer(w.Snapshot)
			reasons, placeable := e.Explain(&l.Lane), e.Placeable(&l.Lane)
			able := 0
			for _, r := range reasons {
				if r.Code == domain.ReasonNext {
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

func TestEstimate_ComesFromThePaceOfWhatHadToWait(t *testing.T) {
	p := domain.Pace{
		At: epoch0, Types: map[string]domain.Placements{"t": {Placed: 50, Busy: 100e6, Last: epoch0}},
		Customers: map[domain.CustomerID]domain.Placements{"a": {Placed: 5, Busy: 100e6, Last: epoch0}},
	}
	estimate := func(now time.Time, a domain.Ahead, room int, atLimit bool) domain.Estimate {
		e, ok := p.Estimate(now, "a", "t", a, room, 4, atLimit)
		require.True(t, ok)
		return e
	}
	assert.Equal(t, domain.Estimate{In: 20 * time.Second, Confidence: domain.ConfidenceMedium}, estimate(epoch0, domain.Ahead{Type: 9, Customer: 1}, 0, false))
	assert.Equal(t, domain.Estimate{In: 40 * time.Second, Confidence: domain.ConfidenceLow}, estimate(epoch0, domain.Ahead{Type: 9, Customer: 1}, 0, true), "at its limit its own pace counts")
	assert.Equal(t, domain.Estimate{Confidence: domain.ConfidenceHigh}, estimate(epoch0, domain.Ahead{Type: 3}, 4, false), "room for it and for what is before it")
	assert.Equal(t, domain.ConfidenceLow, estimate(epoch0, domain.Ahead{Type: 9, AtLeast: true}, 0, false).Confidence)
	assert.Equal(t, domain.ConfidenceLow, estimate(epoch0, domain.Ahead{Type: 249}, 0, false).Confidence, "500 s from 100 s")
	later := epoch0.Add(40 * time.Second)
	assert.Equal(t, domain.Estimate{In: 120 * time.Second, Confidence: domain.ConfidenceLow}, estimate(later, domain.Ahead{Type: 9}, 0, false),
		"four slots that nobody left for 40 s: the tenth is in their third turn")

	// A burst behind idle minutes: what was placed while nothing waited says nothing of it.
	idle := domain.Pace{At: epoch0, Window: 5 * time.Minute, Types: map[string]domain.Placements{"t": {Last: epoch0}}}
	_, ok := idle.Estimate(epoch0, "a", "t", domain.Ahead{Type: 99}, 0, 50, false)
	assert.False(t, ok, "nothing tells it yet")
	e, ok := idle.Estimate(epoch0.Add(9*time.Second), "a", "t", domain.Ahead{Type: 100}, 0, 50, false)
	assert.True(t, ok)
	assert.Equal(t, domain.Estimate{In: 27 * time.Second, Confidence: domain.ConfidenceLow}, e, "50 slots that nobody left for 9 s")

	for name, unknown := range map[string]domain.Pace{"stale": p, "nothing of the type": {At: epoch0, Window: time.Second}, "never measured": {}} {
		now := epoch0
		if name == "stale" {
			now = epoch0.Add(2 * domain.PaceStale)
		}
		_, ok := unknown.Estimate(now, "a", "t", domain.Ahead{Type: 1}, 0, 1, false)
		assert.False(t, ok, name)
	}
}
