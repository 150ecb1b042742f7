package placement

import (
	"cmp"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Running is a running workload that may be asked to make room.
type Running struct {
	WorkloadID domain.WorkloadID
	CustomerID domain.CustomerID
	SessionID  domain.SessionID
	WorkerID   domain.WorkerID
	Lane       domain.LaneID
	Generation int64
	// Since is when it was assigned.
	Since time.Time
}

// Preemption asks the victim to save a checkpoint and make room for another workload.
type Preemption struct {
	Victim Running
	For    domain.Candidate
	// Tier is the tier of the customer that For belongs to.
	Tier domain.Tier
}

// Preempt chooses which running workloads to ask to make room. It is called after Plan and looks at
// the lanes that were passed over with ObstacleFull:
//
//   - Only a workload that has never run asks. So a preempted workload never preempts another one.
//   - Only a workload of a lower tier is asked, and only if its customer allows preemption.
//   - The lowest tier is asked first, and within it the workload that was assigned last.
//   - For each waiting workload at most one running workload is asked.
//
// mayAsk reports whether room may be asked for a waiting workload. Preempt returns at most limit
// preemptions.
func (p *Planner) Preempt(running []Running, limit int, mayAsk func(domain.Candidate) bool) []Preemption {
	bySession := map[domain.SessionID][]Running{}
	for _, r := range running {
		if c := p.customers[r.CustomerID]; c != nil && c.entitlements.Preemptible {
			bySession[r.SessionID] = append(bySession[r.SessionID], r)
		}
	}
	taken := map[domain.WorkloadID]bool{}
	var out []Preemption
	for _, q := range p.lanesWithoutRoom() {
		room := q.customer.room
		for _, c := range q.heads {
			if len(out) == limit {
				return out
			}
			if c.Generation > 0 || !mayAsk(c) {
				continue
			}
			if q.customer.limited && room <= 0 {
				break
			}
			victim, ok := p.victim(q, bySession, taken)
			if !ok {
				break
			}
			room--
			taken[victim.WorkloadID] = true
			out = append(out, Preemption{Victim: victim, For: c, Tier: q.customer.entitlements.Tier})
		}
	}
	return out
}

// lanesWithoutRoom returns the lanes that were passed over with ObstacleFull, the highest tier
// first, within a tier the longest wait first.
func (p *Planner) lanesWithoutRoom() []*laneQueue {
	var qs []*laneQueue
	for _, q := range p.lanes {
		if q.obstacle == domain.ObstacleFull && len(q.heads) > 0 {
			qs = append(qs, q)
		}
	}
	slices.SortFunc(qs, func(a, b *laneQueue) int {
		return cmp.Or(
			cmp.Compare(p.weight(b.customer.id), p.weight(a.customer.id)),
			a.heads[0].QueueAt.Compare(b.heads[0].QueueAt), cmp.Compare(a.heads[0].ID, b.heads[0].ID))
	})
	return qs
}

// victim returns the running workload to ask to make room for one of the lane, which must fit once that
// has gone. A worker that has a slot, or that the lane cannot use for another reason, has no victim.
func (p *Planner) victim(
	q *laneQueue, bySession map[domain.SessionID][]Running, taken map[domain.WorkloadID]bool,
) (best Running, ok bool) {
	weight := p.weight(q.customer.id)
	for _, w := range p.fleet.workers {
		if o, couldRun := w.obstacle(q.lane); !couldRun || o.code != ReasonFull && o.code != ReasonEnding {
			continue
		}
		if w.repels(q.lane) || w.holdsAny(q.lane.Affinity.Anti.WorkloadTypes) {
			continue
		}
		for _, r := range bySession[w.SessionID] {
			if taken[r.WorkloadID] || p.weight(r.CustomerID) >= weight {
				continue
			}
			if (!ok || p.yieldsBefore(r, best)) && w.fitsWithout(r.Lane, q.lane) {
				best, ok = r, true
			}
		}
	}
	return best, ok
}

// fitsWithout reports whether what a workload of l reserves is free once one run of the lane gone has
// ended. Of several runs it is not known which one has which devices: then they count as held.
func (w *fleetWorker) fitsWithout(gone domain.LaneID, l *domain.Lane) bool {
	if w.holding.Fits(&l.Resources) {
		return true
	}
	for _, o := range w.holders {
		if o.Lane.ID != gone {
			continue
		}
		left := w.holding.Clone()
		var devices []domain.DeviceShare
		if o.Count+o.Ending == 1 {
			devices = o.Devices
		}
		left.Return(&o.Lane.Resources, devices, 1)
		return left.Fits(&l.Resources)
	}
	return false
}

// yieldsBefore reports whether a is asked to make room before b.
func (p *Planner) yieldsBefore(a, b Running) bool {
	return cmp.Or(
		cmp.Compare(p.weight(a.CustomerID), p.weight(b.CustomerID)),
		b.Since.Compare(a.Since), cmp.Compare(a.WorkloadID, b.WorkloadID)) < 0
}

// weight returns the weight of the tier of a customer that the planner knows.
func (p *Planner) weight(id domain.CustomerID) int { return p.customers[id].entitlements.Tier.Weight() }
