package domain

import (
	"slices"
	"time"
)

// BacklogLimit is how many workloads of one lane a Backlog counts, of those that wait and of those
// that are delayed.
const BacklogLimit = 10_000

// Backlog is what is unfinished, of all customers.
type Backlog struct {
	// Now is when it was read, by the store's clock.
	Now time.Time
	// Customers are those that have something queued or running, ordered by id.
	Customers []CustomerBacklog
	// Lanes are those in which something waits or is delayed, ordered by id.
	Lanes []LaneBacklog
}

// CustomerBacklog counts what a customer has unfinished.
type CustomerBacklog struct {
	CustomerID CustomerID
	Unfinished
}

// LaneBacklog counts what stands in a lane. Neither count exceeds BacklogLimit.
type LaneBacklog struct {
	Lane Lane
	// Waiting may be placed now, as far as time is concerned. Delayed may be placed later.
	Waiting, Delayed int
	// Oldest is when the first of the waiting ones began to wait; zero if there is none.
	Oldest time.Time
}

// TierQueue is what the customers of one tier have unfinished.
type TierQueue struct {
	Tier Tier
	// Waiting may be placed now. Delayed may be placed later. Blocked may not be placed although it
	// is due: its customer runs as many workloads as it may, or is suspended.
	Waiting, Delayed, Blocked int
	// Running counts SCHEDULED + RUNNING.
	Running int
	// OldestWait is how long the one has waited that may be placed and began first.
	OldestWait time.Duration
}

// CustomerQueue is what one customer has unfinished; see TierQueue.
type CustomerQueue struct {
	CustomerID CustomerID
	TierQueue
}

// Room returns how many more workloads the customer may run.
func (e Entitlements) Room(running int) int {
	if e.Suspended {
		return 0
	}
	return max(e.MaxConcurrent-running, 0)
}

// ByCustomer says of each customer what waits, what is delayed and what is blocked.
func (b *Backlog) ByCustomer(entitlements map[CustomerID]Entitlements) []CustomerQueue {
	delayed, oldest := map[CustomerID]int{}, map[CustomerID]time.Time{}
	for i := range b.Lanes {
		l := &b.Lanes[i]
		id := l.Lane.CustomerID
		delayed[id] += l.Delayed
		if first := oldest[id]; first.IsZero() || !l.Oldest.IsZero() && l.Oldest.Before(first) {
			oldest[id] = l.Oldest
		}
	}
	out := make([]CustomerQueue, 0, len(b.Customers))
	for _, c := range b.Customers {
		e := entitlements[c.CustomerID]
		q := CustomerQueue{c.CustomerID, TierQueue{Tier: e.Tier, Running: c.Running}}
		q.Delayed = min(delayed[c.CustomerID], c.Queued)
		due := c.Queued - q.Delayed
		q.Waiting = min(due, e.Room(c.Running))
		q.Blocked = due - q.Waiting
		if first := oldest[c.CustomerID]; q.Waiting > 0 && !first.IsZero() {
			q.OldestWait = max(b.Now.Sub(first), 0)
		}
		out = append(out, q)
	}
	return out
}

// ByTier sums up queues. It has every tier, in their order.
func ByTier(customers []CustomerQueue) []TierQueue {
	out := make([]TierQueue, len(Tiers()))
	for i, t := range Tiers() {
		out[i].Tier = t
	}
	for i := range customers {
		c := &customers[i]
		n := slices.Index(Tiers(), c.Tier)
		if n < 0 {
			continue // its customer is gone
		}
		q := &out[n]
		q.Waiting, q.Delayed, q.Blocked = q.Waiting+c.Waiting, q.Delayed+c.Delayed, q.Blocked+c.Blocked
		q.Running += c.Running
		q.OldestWait = max(q.OldestWait, c.OldestWait)
	}
	return out
}

// Placeable returns the lanes with only those of their waiting workloads that their customers may run
// now. What a customer may run goes to the lanes whose first workload has waited longest.
func (b *Backlog) Placeable(entitlements map[CustomerID]Entitlements) []LaneBacklog {
	room := map[CustomerID]int{}
	for i := range b.Lanes {
		id := b.Lanes[i].Lane.CustomerID
		room[id] = entitlements[id].Room(0)
	}
	for _, c := range b.Customers {
		room[c.CustomerID] = entitlements[c.CustomerID].Room(c.Running)
	}
	lanes := slices.Clone(b.Lanes)
	slices.SortStableFunc(lanes, func(x, y LaneBacklog) int { return x.Oldest.Compare(y.Oldest) })
	out := lanes[:0]
	for _, l := range lanes {
		l.Waiting = min(l.Waiting, room[l.Lane.CustomerID])
		if l.Waiting == 0 {
			continue
		}
		room[l.Lane.CustomerID] -= l.Waiting
		out = append(out, l)
	}
	return out
}
