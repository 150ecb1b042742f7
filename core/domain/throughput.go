package domain

import "time"

// Throughput is how many placements the leader made lately: what estimates of starting times are made from. Only the time in
// which something had to wait counts: while nothing waits, placements are as rare as submissions, and say nothing of
// how fast a queue is worked off.
type Throughput struct {
	// At is when it was measured, Window how far back it reaches.
	At     time.Time
	Window time.Duration
	// Types and Customers count the placements, by workload type and by customer.
	Types     map[string]PlacementRate
	Customers map[CustomerID]PlacementRate
}

// PlacementRate counts what was placed of a workload type while some of it had to wait for slots, or of a customer while it
// was at its limit.
type PlacementRate struct {
	Placed int `json:"placed"`
	// Busy is how long that was, in microseconds.
	Busy int64     `json:"busy_us"`
	Last time.Time `json:"last"` // when the last one was placed, whether anything waited or not
}

// Add counts further placements.
func (p PlacementRate) Add(o PlacementRate) PlacementRate {
	if o.Last.After(p.Last) {
		p.Last = o.Last
	}
	return PlacementRate{p.Placed + o.Placed, p.Busy + o.Busy, p.Last}
}
