package domain

import "time"

// Throughput is how fast the leader has placed workloads recently. Estimates of starting times rest
// on it. Only the time while workloads had to wait counts. When nothing waits, placements are as
// rare as submissions, and say nothing about how fast a queue moves.
type Throughput struct {
	// At is when it was measured, Window how far back it reaches.
	At     time.Time
	Window time.Duration
	// Types has the rate of each workload type while workloads of the type waited for slots.
	Types map[string]PlacementRate
	// Customers has the rate of each customer while it was at its limit.
	Customers map[CustomerID]PlacementRate
	// Waits says how long the workloads of each tier had waited that were placed for the first time.
	Waits map[Tier]Waits
	// Lanes says the same of lanes: of MeasuredLanes at most, those with the most of them.
	Lanes map[LaneID]Waits
}

// MeasuredLanes is of how many lanes a throughput says how long their workloads had waited.
const MeasuredLanes = 1000

// PlacementRate is the number of placements in a time.
type PlacementRate struct {
	Placed int `json:"placed"`
	// Busy is the time in microseconds.
	Busy int64 `json:"busy_us"`
	// Last is when the last workload was placed. It is also set by placements that do not count.
	Last time.Time `json:"last"`
}

// PerMinute returns how many placements there were per minute of the time that counts. 0 if there
// was none.
func (p PlacementRate) PerMinute() float64 {
	if p.Busy <= 0 {
		return 0
	}
	return float64(p.Placed) * float64(time.Minute.Microseconds()) / float64(p.Busy)
}

// Add returns the sum of both.
func (p PlacementRate) Add(o PlacementRate) PlacementRate {
	if o.Last.After(p.Last) {
		p.Last = o.Last
	}
	return PlacementRate{p.Placed + o.Placed, p.Busy + o.Busy, p.Last}
}
