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

// Asking says whether room may be asked for a waiting workload.
type Asking int

// Whether room may be asked for.
const (
	MayNotAsk Asking = iota
	MayAsk
	// HasAsked: a running workload was asked to make room for it lately, and may do so yet.
	HasAsked
)

// Preempt chooses which running workloads to ask to make room. It is called after Plan and looks at
// the lanes that were passed over with ObstacleFull:
//
//   - Only a workload that has never run asks. So a preempted workload never preempts another one.
//   - Only a workload of a lower tier is asked, and only if its customer allows preemption.
//   - The lowest tier is asked first, and within it the workload that was assigned last.
//   - For each waiting workload at most one running workload is asked, and none if the slot would go to
//     one of a lower tier. What is asked waits again, before most others. So it would change places with
//     that one for ever, and the workload that asks would gain nothing.
//   - What asks counts as placed for those that ask after it: a customer asks for no more than it may
//     run, what it has asked for included, and nobody asks for what somebody else needs.
//
// asking says whether room may be asked for a waiting workload, and who was asked. Preempt returns at
// most limit preemptions. Plan must not be called after it.
func (p *Planner) Preempt(running []Running, limit int, asking func(domain.Candidate) (Asking, Running)) []Preemption {
	bySession := map[domain.SessionID][]Running{}
	for _, r := range running {
		if c := p.customers[r.CustomerID]; c != nil && c.entitlements.Preemptible {
			bySession[r.SessionID] = append(bySession[r.SessionID], r)
		}
	}
	taken := map[domain.WorkloadID]bool{}
	lanes := p.lanesWithoutRoom()
	for _, q := range lanes {
		for _, c := range q.heads {
			if c.Generation > 0 {
				continue
			}
			if state, victim := asking(c); state == HasAsked {
				q.customer.room--
				if on := p.fleet.of(victim.SessionID); on != nil {
					p.fleet.replace(on, victim.Lane, q.lane, p.fleet.endOf(q.lane, &c))
				}
			}
		}
	}
	var out []Preemption
	for _, q := range lanes {
		for _, c := range q.heads {
			if len(out) == limit {
				return out
			}
			if state, _ := asking(c); c.Generation > 0 || state != MayAsk {
				continue
			}
			if q.customer.limited && q.customer.room <= 0 {
				break
			}
			end := p.fleet.endOf(q.lane, &c)
			victim, on := p.victim(q, end, bySession, taken)
			if on == nil || p.overtaken(q, &c, lanes, on, victim.Lane) {
				break
			}
			q.customer.room--
			p.fleet.replace(on, victim.Lane, q.lane, end)
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

// victim returns the running workload to ask to make room for one of the lane, which ends at end at the
// latest and must fit once that has gone, and its worker. A worker that has a slot, or that the lane
// cannot use for another reason, has no victim.
func (p *Planner) victim(
	q *laneQueue, end time.Time, bySession map[domain.SessionID][]Running, taken map[domain.WorkloadID]bool,
) (best Running, on *fleetWorker) {
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
			if (on == nil || p.yieldsBefore(r, best)) && w.fitsWithout(r.Lane, q.lane, end) {
				best, on = r, w
			}
		}
	}
	return best, on
}

// overtaken reports whether a workload of a lower tier is served before the candidate of q and could
// take the place of a run of the lane gone on the worker.
func (p *Planner) overtaken(
	q *laneQueue, c *domain.Candidate, lanes []*laneQueue, on *fleetWorker, gone domain.LaneID,
) bool {
	mine := p.rankOf(q, c)
	return slices.ContainsFunc(lanes, func(o *laneQueue) bool {
		return p.rankOf(o, &o.heads[0]).before(mine) && o.shape.at[on.place] >= 0 &&
			p.weight(o.customer.id) < p.weight(q.customer.id) &&
			on.fitsWithout(gone, o.lane, p.fleet.endOf(o.lane, &o.heads[0]))
	})
}

// rankOf returns the place of a workload in the whole queue.
func (p *Planner) rankOf(q *laneQueue, c *domain.Candidate) rank {
	r := rank{at: c.QueueAt.UnixNano() - q.advance, id: c.ID}
	if p.shares != nil {
		r.share = p.shares.tag(q.customer.id)
	}
	return r
}

// fitsWithout reports whether what a workload of l reserves, which ends at end at the latest, is free
// once one run of the lane gone has ended.
func (w *fleetWorker) fitsWithout(gone domain.LaneID, l *domain.Lane, end time.Time) bool {
	held := w.open(l, end)
	if held.Fits(&l.Resources) {
		return true
	}
	left := held.Clone()
	w.giveBack(&left, gone)
	return left.Fits(&l.Resources)
}

// giveBack takes what one run of the lane gone holds out of what is held. Of several runs it is not
// known which one has which devices: then they count as held.
func (w *fleetWorker) giveBack(held *domain.Holding, gone domain.LaneID) {
	for _, o := range w.holders {
		if o.Lane.ID != gone {
			continue
		}
		var devices []domain.DeviceShare
		if o.Count+o.Ending == 1 {
			devices = o.Devices
		}
		held.Return(&o.Lane.Resources, devices, 1)
	}
}

// of returns the worker of the session, nil if it is not one of the fleet.
func (f *fleet) of(session domain.SessionID) *fleetWorker {
	i := slices.IndexFunc(f.workers, func(w *fleetWorker) bool { return w.SessionID == session })
	if i < 0 {
		return nil
	}
	return f.workers[i]
}

// replace gives the place of one run of the lane gone to a workload of l, which ends at end at the
// latest.
func (f *fleet) replace(w *fleetWorker, gone domain.LaneID, l *domain.Lane, end time.Time) {
	w.used--
	w.giveBack(&w.holding, gone)
	if w.kept != nil {
		w.giveBack(w.kept, gone)
	}
	f.hold(w, l, w.open(l, end).Choose(&l.Resources, nil), 1)
}

// yieldsBefore reports whether a is asked to make room before b.
func (p *Planner) yieldsBefore(a, b Running) bool {
	return cmp.Or(
		cmp.Compare(p.weight(a.CustomerID), p.weight(b.CustomerID)),
		b.Since.Compare(a.Since), cmp.Compare(a.WorkloadID, b.WorkloadID)) < 0
}

// weight returns the weight of the tier of a customer that the planner knows.
func (p *Planner) weight(id domain.CustomerID) int { return p.customers[id].entitlements.Tier.Weight() }
