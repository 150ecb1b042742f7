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
	reasons, placeable := s.Explain(lane("a", "t", must).Lane)
	assert.True(t, placeable, "the worker that has it is only full")
	assert.Equal(t, []domain.Reason{
		{Code: domain.ReasonCustomerLimit, Message: "customer at its limit of 1 running workloads"},
		{Code: domain.ReasonMissingTag, Workers: 2, Message: "2 workers without tag gpu=a100"},
		{Code: domain.ReasonDraining, Workers: 1, Message: "1 worker draining"},
		{Code: domain.ReasonFull, Workers: 1, Message: "1 worker full"},
		{Code: domain.ReasonMissingType, Workers: 1, Message: `1 worker not offering type "t"`},
	}, reasons)

	must.Hard.WorkerTags["gpu"] = "h100"
	l := lane("b", "t", must).Lane
	_, placeable = s.Explain(l)
	assert.False(t, placeable)
	free := lane("b", "t", domain.Affinity{}).Lane
	assert.Equal(t, map[domain.LaneID]string{
		l.ID: "no worker can run it: its type is not offered; none has the tags it must have; some are draining",
	}, s.Unplaceable([]domain.Lane{l, free}), "in words that do not change with the number of workers")
	reasons, placeable = domain.Snapshot{}.Explain(free)
	assert.False(t, placeable)
	assert.Equal(t, []domain.Reason{{Code: domain.ReasonNoWorker, Message: "no worker is registered"}}, reasons)
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
			reasons, placeable := w.Explain(l.Lane)
			able := 0
			for _, r := range reasons {
				if r.Code == domain.ReasonNext {
					able += r.Workers
				}
			}
			require.Equal(t, len(as) > 0, able > 0, "%v", reasons)
			require.Equal(t, placeable, len(w.Unplaceable([]domain.Lane{l.Lane})) == 0)
			for o := range p.PassedOver() {
				require.Equal(t, placeable, o == domain.ObstacleFull, "%v: %v", o, reasons)
			}
		}
	})
}

func TestEstimatesComeFromThePaceAndSayHowSureTheyAre(t *testing.T) {
	p := domain.Pace{At: epoch0, Window: 100 * time.Second, Types: map[string]int{"t": 50}, Customers: map[domain.CustomerID]int{"a": 5}}
	e, ok := p.Estimate(epoch0, "a", "t", domain.Ahead{All: 99, Type: 9, Customer: 1}, false, false)
	require.True(t, ok)
	assert.Equal(t, domain.Estimate{In: 20 * time.Second, Confidence: domain.ConfidenceMedium}, e)
	e, _ = p.Estimate(epoch0, "a", "t", domain.Ahead{All: 99, Type: 9, Customer: 1}, true, false)
	assert.Equal(t, domain.Estimate{In: 40 * time.Second, Confidence: domain.ConfidenceLow}, e, "at its limit its own pace counts")
	e, _ = p.Estimate(epoch0, "a", "t", domain.Ahead{}, false, true)
	assert.Equal(t, domain.Estimate{Confidence: domain.ConfidenceHigh}, e, "a free worker and nothing before it")
	e, _ = p.Estimate(epoch0, "a", "t", domain.Ahead{Type: 9, AtLeast: true}, false, false)
	assert.Equal(t, domain.ConfidenceLow, e.Confidence)
	for name, unknown := range map[string]domain.Pace{"stale": p, "nothing of the type": {At: epoch0, Window: time.Second}, "never measured": {}} {
		now := epoch0
		if name == "stale" {
			now = epoch0.Add(2 * domain.PaceStale)
		}
		_, ok := unknown.Estimate(now, "a", "t", domain.Ahead{Type: 1}, false, false)
		assert.False(t, ok, name)
	}
}
