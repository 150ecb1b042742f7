package placement

import (
	"maps"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
)

// LongestWaitShare says that one placement in ten goes to the workload that has waited longest,
// whatever its priority. Otherwise a steady stream of urgent work would keep the rest waiting for
// ever. With PolicyFair the one in ten is counted for each customer separately and taken from the
// customer's own workloads, so that it does not change the shares between customers.
const LongestWaitShare = 10

// Obstacles of a single workload. The other workloads of its lane may still be placed.
const (
	// obstacleDeclined: the workers that could run it now have just declined it.
	obstacleDeclined domain.Obstacle = "declined"
	// obstacleSuspects: it is a suspect, and the workers that could run it now hold another one.
	obstacleSuspects domain.Obstacle = "suspects"
	// obstacleReserved: it would fit, but does not end before what is reserved is due.
	obstacleReserved domain.Obstacle = "reserved"
)

// skipLimit bounds how many declined workloads of one lane are left out of a batch. A lane with
// more is passed over, so that reading it cannot go on without end.
const skipLimit = 64

// backfillLimit bounds how many workloads of one lane are tried in a batch that may be short enough
// to pass a reservation.
const backfillLimit = 8

// Planner decides which waiting workload runs on which worker. The same inputs always give the same
// plan. A lane that cannot be served is passed over at once and holds up no other lane. The planner
// counts what it has placed, so that several calls of Plan fill one batch. Not safe for concurrent
// use.
type Planner struct {
	fleet     fleet
	policy    domain.Policy
	shares    *FairShare // nil unless PolicyFair
	customers map[domain.CustomerID]*customerQueue
	lanes     map[domain.LaneID]*laneQueue
	byQueue   rankHeap[*customerQueue]
	byAge     rankHeap[*laneQueue]
	reserves  bool                       // the reservations of the batch have been made
	settled   map[domain.WorkloadID]bool // placed, or left out of this batch
	placed    int                        // see Snapshot.Placed
}

// customerQueue is one customer with its lanes.
type customerQueue struct {
	id           domain.CustomerID
	entitlements domain.Entitlements
	limited      bool // the snapshot has its entitlements
	room         int  // how many more workloads it may run, if limited
	lanes        rankHeap[*laneQueue]
	byAge        rankHeap[*laneQueue] // filled with PolicyFair only
	full         int                  // number of its lanes passed over with ObstacleFull
}

// laneQueue is one lane with the workloads at its head that are not settled yet.
type laneQueue struct {
	lane     *domain.Lane
	customer *customerQueue
	shape    *shape // nil until the first of the lane is considered
	advance  int64  // see domain.Policy.Advance, in nanoseconds
	heads    []domain.Candidate
	more     bool // more workloads wait behind heads
	skipped  int  // declined workloads left out of this batch
	// backfills counts how often a shorter workload of the lane was tried; see toShorter.
	backfills int
	obstacle  domain.Obstacle // why the lane was passed over; empty: it was not
	// first is the workload that reserves devices if one of the lane does.
	first domain.WorkloadID
}

// NewPlanner returns a planner over the snapshot. The planner charges Snapshot.Shares and changes
// nothing else in the snapshot, which may be used again.
func NewPlanner(s Snapshot) *Planner {
	p := &Planner{
		fleet: newFleet(s), policy: s.Policy, placed: s.Placed,
		customers: make(map[domain.CustomerID]*customerQueue, len(s.Customers)),
		lanes:     map[domain.LaneID]*laneQueue{}, settled: map[domain.WorkloadID]bool{},
	}
	if p.policy == "" {
		p.policy = domain.PolicyPriority
	}
	if p.policy == domain.PolicyFair {
		if p.shares = s.Shares; p.shares == nil {
			p.shares = NewFairShare()
		}
	}
	for id, entitlements := range s.Customers {
		c := p.customer(id)
		c.entitlements, c.limited, c.room = entitlements, true, entitlements.MaxConcurrent
	}
	for i := range s.Occupancy {
		if c := p.customers[s.Occupancy[i].Lane.CustomerID]; c != nil {
			c.room -= s.Occupancy[i].Count
		}
	}
	p.byQueue.rank = p.rankInQueue
	p.byAge.rank = rankByAge
	return p
}

// customer returns the customer's queue, creating it if needed.
func (p *Planner) customer(id domain.CustomerID) *customerQueue {
	c := p.customers[id]
	if c == nil {
		c = &customerQueue{id: id}
		c.byAge.rank = rankByAge
		c.lanes.rank = func(q *laneQueue) (rank, bool) {
			r, ok := rankByAge(q)
			r.at -= q.advance
			return r, ok
		}
		p.customers[id] = c
	}
	return c
}

// rankByAge ranks a lane by how long its first workload has waited.
func rankByAge(q *laneQueue) (rank, bool) {
	if !q.offers() {
		return rank{}, false
	}
	return rank{at: q.heads[0].QueueAt.UnixNano(), id: q.heads[0].ID}, true
}

// rankInQueue ranks a customer by its first lane. With PolicyFair its share comes first.
func (p *Planner) rankInQueue(c *customerQueue) (rank, bool) {
	_, r, ok := c.lanes.top()
	if ok && p.shares != nil {
		r.share = p.shares.tag(c.id)
	}
	return r, ok
}

// offers reports whether the lane has a workload that may be placed.
func (q *laneQueue) offers() bool { return q.obstacle == "" && len(q.heads) > 0 }

// FreeSlots returns how many more workloads the healthy workers can hold.
func (p *Planner) FreeSlots() int { return p.fleet.freeSlots() }

// Add gives the planner the heads of lanes. For a lane that it already knows, they replace the
// heads it had; what is settled among them is skipped.
func (p *Planner) Add(lanes ...domain.LaneHeads) {
	for i := range lanes {
		l := &lanes[i]
		q := p.lanes[l.Lane.ID]
		if q == nil {
			c := p.customer(l.Lane.CustomerID)
			advance := p.policy.Advance(l.Lane.Priority, c.entitlements.Tier.Weight())
			q = &laneQueue{lane: &l.Lane, customer: c, advance: int64(advance)}
			p.lanes[l.Lane.ID] = q
		}
		q.heads, q.more = l.Heads, l.More
		if len(p.settled) > 0 {
			q.heads = slices.DeleteFunc(slices.Clone(q.heads), func(c domain.Candidate) bool { return p.settled[c.ID] })
		}
	}
	p.fillHeaps()
}

// fillHeaps orders the lanes and the customers anew.
func (p *Planner) fillHeaps() {
	all := make([]*laneQueue, 0, len(p.lanes))
	byCustomer := make(map[*customerQueue][]*laneQueue, len(p.customers))
	for _, q := range p.lanes {
		all = append(all, q)
		byCustomer[q.customer] = append(byCustomer[q.customer], q)
	}
	customers := make([]*customerQueue, 0, len(byCustomer))
	for c, qs := range byCustomer {
		c.lanes.fill(qs)
		if p.shares != nil {
			c.byAge.fill(qs)
		}
		customers = append(customers, c)
	}
	p.byAge.fill(all)
	p.byQueue.fill(customers)
}

// Placed returns Snapshot.Placed plus the number of workloads that this planner has placed.
func (p *Planner) Placed() int { return p.placed }

// Plan places up to limit workloads. When the known heads of a lane run out while more wait behind
// them that could be placed, Plan stops and returns the lane as exhausted: going on would place later
// workloads first. The caller then reads more heads of that lane, calls Add and calls Plan again.
func (p *Planner) Plan(limit int) (plan []Decision, exhausted domain.LaneID) {
	if !p.reserves {
		p.reserves = true
		p.reserve()
	}
	for len(plan) < limit {
		q := p.next()
		if q == nil {
			return plan, ""
		}
		c := &q.heads[0]
		d, obstacle := p.place(q, c)
		if obstacle == obstacleDeclined || obstacle == obstacleSuspects {
			if p.skip(q, obstacle) {
				return plan, q.lane.ID
			}
			continue
		}
		if obstacle == obstacleReserved {
			if q.toShorter(p.settled) {
				continue
			}
			obstacle = domain.ObstacleFull
		}
		if obstacle != "" {
			// Room and limits only shrink within a batch, so the lane stays blocked until the next
			// one.
			q.obstacle = obstacle
			p.passOver(q)
			continue
		}
		plan = append(plan, d)
		p.settled[c.ID] = true
		p.placed++
		if q.drop() {
			if q.obstacle = p.barred(q); q.obstacle == "" {
				return plan, q.lane.ID
			}
			p.passOver(q)
		}
	}
	return plan, ""
}

// barred returns why nothing more of the lane can be placed, whatever waits there. It is empty if that
// depends on the workload.
func (p *Planner) barred(q *laneQueue) domain.Obstacle {
	switch {
	case q.customer.limited && q.customer.room <= 0:
		return domain.ObstacleLimit
	case p.fleet.freeSlots() == 0:
		return domain.ObstacleFull
	}
	return ""
}

// skip leaves the first workload of the lane out of this batch. It reports whether the lane is
// exhausted.
func (p *Planner) skip(q *laneQueue, o domain.Obstacle) (exhausted bool) {
	if o == obstacleDeclined {
		q.skipped++
	}
	if q.skipped > skipLimit {
		q.obstacle = domain.ObstacleFull
		p.passOver(q)
		return false
	}
	p.settled[q.heads[0].ID] = true
	return q.drop()
}

// toShorter leaves workloads of the lane out of this batch, up to one that times out sooner than the
// first: that one may pass a reservation. It reports whether there is one among those that are known.
func (q *laneQueue) toShorter(settled map[domain.WorkloadID]bool) bool {
	first := q.heads[0].Timeout
	n := slices.IndexFunc(q.heads, func(c domain.Candidate) bool {
		return c.Timeout > 0 && (c.Timeout < first || first == 0)
	})
	if q.backfills++; n < 0 || q.backfills > backfillLimit {
		return false
	}
	for i := range q.heads[:n] {
		settled[q.heads[i].ID] = true
	}
	q.heads = q.heads[n:]
	return true
}

// drop removes the first workload of the lane. It reports whether the lane is exhausted: no head is
// left, but more workloads wait in the store.
func (q *laneQueue) drop() (exhausted bool) {
	q.heads = q.heads[1:]
	return len(q.heads) == 0 && q.more
}

// next returns the lane that the next workload is taken from, nil when no lane offers one. Usually
// that is the first lane of the first customer in the queue. Every LongestWaitShare-th time it is
// the lane whose first workload has waited longest.
func (p *Planner) next() *laneQueue {
	if p.shares == nil && (p.placed+1)%LongestWaitShare == 0 {
		if q, _, ok := p.byAge.top(); ok {
			return q
		}
	}
	c, _, ok := p.byQueue.top()
	if !ok {
		return nil
	}
	lanes := &c.lanes
	if p.shares != nil && (p.shares.placements(c.id)+1)%LongestWaitShare == 0 {
		lanes = &c.byAge
	}
	q, _, _ := lanes.top() // a customer in the heap has a lane that offers something
	return q
}

// passOver counts a lane that was passed over. When the customer has no lane left, and none of its
// lanes is passed over because other work holds the workers, the customer stops competing for its
// share: it must not gather credit while its own limit or its own rules hold it back.
func (p *Planner) passOver(q *laneQueue) {
	c := q.customer
	if q.obstacle == domain.ObstacleFull {
		c.full++
	}
	if p.shares == nil || c.full > 0 {
		return
	}
	if _, _, offers := c.lanes.top(); !offers {
		p.shares.stopCompeting(c.id)
	}
}

// place chooses a worker for the candidate. If there is none, it returns the obstacle.
func (p *Planner) place(q *laneQueue, c *domain.Candidate) (Decision, domain.Obstacle) {
	if q.customer.limited && q.customer.room <= 0 {
		return Decision{}, domain.ObstacleLimit
	}
	if q.shape == nil {
		q.shape = p.fleet.shapeOf(q.lane)
	}
	best, obstacle := p.fleet.choose(q.shape, q.lane, c)
	if obstacle != "" {
		return Decision{}, obstacle
	}
	devices := p.fleet.take(best.w, q.shape, q.lane, p.fleet.endOf(q.lane, c))
	if c.ID == q.first || p.fleet.reserved[q.lane.ID] == best.w { // if another one was placed, the first still waits
		p.fleet.release(q.lane)
	}
	if !c.SuspectSince.IsZero() {
		best.w.suspects++
	}
	q.customer.room--
	if p.shares != nil {
		p.shares.charge(q.customer.id)
	}
	return Decision{
		WorkloadID: c.ID, CustomerID: q.lane.CustomerID, Lane: q.lane.ID, QueueAt: c.QueueAt,
		WorkerID: best.w.ID, SessionID: best.w.SessionID, FoundAt: best.w.foundAt, Generation: c.Generation + 1,
		Devices: devices,
		Score:   int(best.score), Preferred: !q.lane.Affinity.Soft.IsZero(), Matched: best.score > baseScore,
	}, ""
}

// PassedOver returns the lanes that could not be served, by obstacle, with the heads that are left
// of them. The lanes of one obstacle are ordered by id.
func (p *Planner) PassedOver() map[domain.Obstacle][]domain.LaneHeads {
	out := map[domain.Obstacle][]domain.LaneHeads{}
	for _, id := range slices.Sorted(maps.Keys(p.lanes)) {
		if q := p.lanes[id]; q.obstacle != "" {
			out[q.obstacle] = append(out[q.obstacle], domain.LaneHeads{Lane: *q.lane, Heads: q.heads, More: q.more})
		}
	}
	return out
}
