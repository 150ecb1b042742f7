package placement

import (
	"maps"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
)

// LongestWaitShare is the share of placements (one in ten) that goes to whoever has waited longest in wall-clock time, whatever its
// priority, so that nobody starves behind a stream of higher tiers. With PolicyFair every customer is served in its turn; there it is one in
// ten of each customer's own, so that what it does within a customer does not change the shares between them.
const LongestWaitShare = 10

// obstacleDeclined: the workers that could run it now declined it a moment ago. It is about one workload; the others in its lane may go.
const obstacleDeclined domain.Obstacle = "declined"

// obstacleSuspects: the workers that could run it now have another suspect. It is about one workload too.
const obstacleSuspects domain.Obstacle = "suspects"

// Planner chooses assignments over a snapshot. It is deterministic for its inputs, never blocks the head of
// the line (a lane at its customer's limit, or that no worker can serve, is passed over at once), and
// counts its own assignments, so that several calls of Plan fill one batch.
type Planner struct {
	fleet     fleet
	policy    domain.Policy
	shares    *FairShare // nil unless PolicyFair
	customers map[domain.CustomerID]*customerQueue
	lanes     map[domain.LaneID]*laneQueue
	byQueue   rankHeap[*customerQueue]
	byAge     rankHeap[*laneQueue]
	settled   map[domain.WorkloadID]bool // planned, or left out of this batch
	placed    int
}

// customerQueue is a customer with its lanes.
type customerQueue struct {
	id           domain.CustomerID
	entitlements domain.Entitlements
	limited      bool
	room         int // how many more it may run, if limited
	lanes        rankHeap[*laneQueue]
	byAge        rankHeap[*laneQueue] // filled with PolicyFair only
	full         int                  // lanes that could be placed if others did not hold what they need
}

// laneQueue is a lane with the heads not yet planned.
type laneQueue struct {
	lane     *domain.Lane
	customer *customerQueue
	shape    *shape
	advance  int64 // how much earlier it counts in the queue, in nanoseconds
	heads    []domain.Candidate
	more     bool
	skipped  int             // workloads left out of this batch
	obstacle domain.Obstacle // why it was passed over; such a lane offers nothing any more
}

// NewPlanner prepares a planner; the snapshot is not changed, but for the shares, and may be reused.
func NewPlanner(s Snapshot) *Planner {
	p := &Planner{
		fleet: newFleet(s), policy: s.Policy, placed: s.Placed,
		customers: make(map[domain.CustomerID]*customerQueue, len(s.Customers)), lanes: map[domain.LaneID]*laneQueue{}, settled: map[domain.WorkloadID]bool{},
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
	p.byQueue.rank = p.rankOf
	p.byAge.rank = rankByAge
	return p
}

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

// rankByAge is a lane's place by how long its first workload has waited.
func rankByAge(q *laneQueue) (rank, bool) {
	if !q.offers() {
		return rank{}, false
	}
	return rank{at: q.heads[0].QueueAt.UnixNano(), id: q.heads[0].ID}, true
}

// rankOf is a customer's place: that of its first lane, behind its share.
func (p *Planner) rankOf(c *customerQueue) (rank, bool) {
	_, r, ok := c.lanes.top()
	if ok && p.shares != nil {
		r.share = p.shares.tag(c.id)
	}
	return r, ok
}

func (q *laneQueue) offers() bool { return q.obstacle == "" && len(q.heads) > 0 }

// FreeSlots is how many more workloads the healthy workers could hold.
func (p *Planner) FreeSlots() int { return p.fleet.freeSlots() }

// Add gives the planner more heads of lanes. A lane added again continues where its first heads ended.
func (p *Planner) Add(lanes ...domain.LaneHeads) {
	for i := range lanes {
		l := &lanes[i]
		q := p.lanes[l.Lane.ID]
		if q == nil {
			c := p.customer(l.Lane.CustomerID)
			q = &laneQueue{lane: &l.Lane, customer: c, advance: int64(p.policy.Advance(l.Lane.Priority, c.entitlements.Tier.Weight()))}
			p.lanes[l.Lane.ID] = q
		}
		q.heads, q.more = l.Heads, l.More
		if len(p.settled) > 0 {
			q.heads = slices.DeleteFunc(slices.Clone(q.heads), func(c domain.Candidate) bool { return p.settled[c.ID] })
		}
	}
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

// Placed continues Snapshot.Placed by what this planner placed.
func (p *Planner) Placed() int { return p.placed }

// Plan chooses up to limit assignments. When it stops because a lane ran out of known heads while more
// wait in it, it names that lane: Add its next heads and call Plan again, or the order would suffer.
func (p *Planner) Plan(limit int) (plan []Decision, exhausted domain.LaneID) {
	for len(plan) < limit {
		q := p.next()
		if q == nil {
			return plan, ""
		}
		c := &q.heads[0]
		a, obstacle := p.place(q, c)
		if obstacle == obstacleDeclined || obstacle == obstacleSuspects {
			if p.skip(q, obstacle) {
				return plan, q.lane.ID
			}
			continue
		}
		if obstacle != "" {
			// Within a batch limits and capacity only shrink: the lane cannot become placeable again.
			q.obstacle = obstacle
			p.passedOver(q)
			continue
		}
		plan = append(plan, a)
		p.settled[c.ID] = true
		p.placed++
		if q.drop() {
			return plan, q.lane.ID
		}
	}
	return plan, ""
}

// skipLimit bounds how many workloads of a lane are left out of one batch because the workers that could run them declined them.
const skipLimit = 64

// skip leaves the first workload of a lane out of this batch, and reports whether more of the lane must be read.
func (p *Planner) skip(q *laneQueue, o domain.Obstacle) (exhausted bool) {
	if o == obstacleDeclined {
		q.skipped++
	}
	if q.skipped > skipLimit {
		q.obstacle = domain.ObstacleFull
		p.passedOver(q)
		return false
	}
	p.settled[q.heads[0].ID] = true
	return q.drop()
}

// drop removes the first workload of a lane, and reports whether more of the lane must be read.
func (q *laneQueue) drop() (exhausted bool) {
	q.heads = q.heads[1:]
	return len(q.heads) == 0 && q.more
}

// next returns the lane to take from: that of the longest wait every tenth time, else the first in the queue; nil when none has
// anything left.
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
	q, _, _ := lanes.top() // a customer that offers something has a lane that does
	return q
}

// passedOver tells the shares when a customer has nothing left to place and it is not others that keep it from it.
func (p *Planner) passedOver(q *laneQueue) {
	c := q.customer
	if q.obstacle == domain.ObstacleFull {
		c.full++
	}
	if p.shares == nil || c.full > 0 {
		return
	}
	if _, _, offers := c.lanes.top(); !offers {
		p.shares.kept(c.id)
	}
}

// place chooses the worker for one candidate, or says why there is none.
func (p *Planner) place(q *laneQueue, c *domain.Candidate) (Decision, domain.Obstacle) {
	if q.customer.limited && q.customer.room <= 0 {
		return Decision{}, domain.ObstacleLimit
	}
	if q.shape == nil {
		q.shape = p.fleet.shapeOf(q.lane)
	}
	best, obstacle := p.fleet.take(q.shape, q.lane, c)
	if obstacle != "" {
		return Decision{}, obstacle
	}
	p.fleet.hold(best.w, q.lane, 1)
	if !c.SuspectSince.IsZero() {
		best.w.suspects++
	}
	q.customer.room--
	if p.shares != nil {
		p.shares.charge(q.customer.id)
	}
	return Decision{
		WorkloadID: c.ID, CustomerID: q.lane.CustomerID, Lane: q.lane.ID, QueueAt: c.QueueAt,
		WorkerID: best.w.ID, SessionID: best.w.SessionID, Generation: c.Generation + 1,
		Score: best.score, Preferred: !q.lane.Affinity.Soft.IsZero(), Matched: best.score > baseScore,
	}, ""
}

// PassedOver returns, by obstacle, the lanes that could not be served, with the heads that are left of them, ordered by id.
func (p *Planner) PassedOver() map[domain.Obstacle][]domain.LaneHeads {
	out := map[domain.Obstacle][]domain.LaneHeads{}
	for _, id := range slices.Sorted(maps.Keys(p.lanes)) {
		if q := p.lanes[id]; q.obstacle != "" {
			out[q.obstacle] = append(out[q.obstacle], domain.LaneHeads{Lane: *q.lane, Heads: q.heads, More: q.more})
		}
	}
	return out
}
