package placement

import (
	"cmp"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Running is a workload that could be asked to make room.
type Running struct {
	WorkloadID domain.WorkloadID
	CustomerID domain.CustomerID
	Lane       domain.LaneID
	SessionID  domain.SessionID
	WorkerID   domain.WorkerID
	Generation int64
	// Since is when it was assigned.
	Since time.Time
}

// Preemption asks one workload to checkpoint and make room for another.
type Preemption struct {
	Victim Running
	For    domain.Candidate
	Tier   domain.Tier // of the one it is for
}

// Preempt chooses what to ask to make room for workloads that wait in lanes the planner passed over because all that could run them is
// full. The planner has planned; running says what holds the slots. Only a workload that never ran asks (what was preempted itself never does: it
// never cascades), only a customer's of a higher tier, only from customers that have not opted out; the lowest tier gives first, and in it
// the one that was assigned last. At most one is asked for each that waits, and none for those that asks leaves out.
func (p *Planner) Preempt(running []Running, limit int, asks func(domain.Candidate) bool) []Preemption {
	bySession := map[domain.SessionID][]Running{}
	for _, r := range running {
		if t := p.customers[r.CustomerID]; t != nil && t.entitlements.Preemptible {
			bySession[r.SessionID] = append(bySession[r.SessionID], r)
		}
	}
	taken := map[domain.WorkloadID]bool{}
	var out []Preemption
	for _, q := range p.wanting() {
		room := q.customer.room
		for _, c := range q.heads {
			if len(out) == limit {
				return out
			}
			if c.Generation > 0 || !asks(c) {
				continue
			}
			if q.customer.limited && room <= 0 {
				break
			}
			v, ok := p.victim(q, bySession, taken)
			if !ok {
				break
			}
			room--
			taken[v.WorkloadID] = true
			out = append(out, Preemption{Victim: v, For: c, Tier: q.customer.entitlements.Tier})
		}
	}
	return out
}

// wanting are the lanes that found every worker full, in the order of the queue.
func (p *Planner) wanting() []*laneQueue {
	var qs []*laneQueue
	for _, q := range p.lanes {
		if q.obstacle == domain.ObstacleFull && len(q.heads) > 0 {
			qs = append(qs, q)
		}
	}
	slices.SortFunc(qs, func(a, b *laneQueue) int {
		return cmp.Or(
			cmp.Compare(b.customer.entitlements.Tier.Weight(), a.customer.entitlements.Tier.Weight()),
			a.heads[0].QueueAt.Compare(b.heads[0].QueueAt), cmp.Compare(a.heads[0].ID, b.heads[0].ID))
	})
	return qs
}

// victim is the workload whose end would make room for one of the lane.
func (p *Planner) victim(q *laneQueue, bySession map[domain.SessionID][]Running, taken map[domain.WorkloadID]bool) (best Running, ok bool) {
	weight := q.customer.entitlements.Tier.Weight()
	for _, w := range p.fleet.workers {
		if r, could := w.obstacle(q.lane); !could || r.Code != ReasonFull && r.Code != ReasonEnding {
			continue // another slot would not help
		}
		for _, r := range bySession[w.SessionID] {
			mine := p.customers[r.CustomerID].entitlements.Tier.Weight()
			if taken[r.WorkloadID] || mine >= weight {
				continue
			}
			if !ok || p.gives(r, best) {
				best, ok = r, true
			}
		}
	}
	return best, ok
}

// gives reports whether a gives room before b.
func (p *Planner) gives(a, b Running) bool {
	return cmp.Or(
		cmp.Compare(p.customers[a.CustomerID].entitlements.Tier.Weight(), p.customers[b.CustomerID].entitlements.Tier.Weight()),
		b.Since.Compare(a.Since), cmp.Compare(a.WorkloadID, b.WorkloadID)) < 0
}
