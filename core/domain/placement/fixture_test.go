package placement_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

var epoch0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// worker returns healthy worker n, which offers these types.
func worker(n int, slots int, types ...string) domain.Worker {
	return domain.Worker{
		ID: domain.WorkerID(fmt.Sprintf("w%d", n)), SessionID: domain.SessionID(fmt.Sprintf("s%d", n)),
		Status: domain.WorkerHealthy, Slots: slots, Capabilities: types,
	}
}

// lane returns a lane of default priority with one head per age. Ages are seconds after epoch0.
func lane(customer, typ string, a domain.Affinity, ages ...int) domain.LaneHeads {
	return laneAt(domain.DefaultPriority, customer, typ, a, ages...)
}

// laneAt is lane with a priority.
func laneAt(priority int, customer, typ string, a domain.Affinity, ages ...int) domain.LaneHeads {
	l := domain.LaneHeads{Lane: domain.NewLane(&domain.Spec{
		CustomerID: domain.CustomerID(customer), Type: typ, Affinity: a, Run: domain.DefaultRunConfig(), Priority: priority,
	})}
	l.Lane.Resources = domain.Resources{}
	slices.Sort(ages)
	for i, age := range ages {
		l.Heads = append(l.Heads, domain.Candidate{
			ID:      domain.WorkloadID(fmt.Sprintf("%s-%s-%d-%03d", customer, typ, priority, i)),
			QueueAt: epoch0.Add(time.Duration(age) * time.Second),
		})
	}
	return l
}

// plan returns what a new planner decides.
func plan(s placement.Snapshot, limit int, lanes ...domain.LaneHeads) []placement.Decision {
	p := placement.NewPlanner(s)
	p.Add(lanes...)
	as, _ := p.Plan(limit)
	return as
}

func ids(as []placement.Decision) []string {
	out := make([]string, len(as))
	for i, a := range as {
		out[i] = string(a.WorkloadID)
	}
	return out
}

// entitlements returns those of customers with these running limits.
func entitlements(limits map[domain.CustomerID]int) map[domain.CustomerID]domain.Entitlements {
	out := map[domain.CustomerID]domain.Entitlements{}
	for id, limit := range limits {
		out[id] = domain.Entitlements{Tier: domain.TierStandard, MaxConcurrent: limit, Preemptible: true}
	}
	return out
}

// named are the workers that a reason names.
func named(ids ...domain.WorkerID) []domain.WorkerID { return ids }
