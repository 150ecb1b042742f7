package placement

import (
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Confidence is how reliable an estimate is.
type Confidence string

// The levels of confidence.
const (
	// ConfidenceHigh: there is room now, or the estimate rests on at least 100 placements measured
	// over at least as long a time as the estimate.
	ConfidenceHigh Confidence = "high"
	// ConfidenceMedium: at least 10 placements, measured over at least a quarter of that time.
	ConfidenceMedium Confidence = "medium"
	// ConfidenceLow: fewer placements, or a sign that the throughput no longer holds.
	ConfidenceLow Confidence = "low"
)

// Ahead is how many workloads are served before a workload.
type Ahead struct {
	// All counts the whole queue.
	All int
	// Type counts those of the same workload type that may be placed.
	Type int
	// Customer counts those of the same customer.
	Customer int
	// Estimated reports that the counts are estimates.
	Estimated bool
}

// Waiting describes a waiting workload whose start is to be estimated.
type Waiting struct {
	CustomerID domain.CustomerID
	Type       string
	Ahead      Ahead
	// Room is the number of free slots that it could take, Slots the number of all slots that it
	// could take if they were free.
	Room, Slots int
	// AtLimit reports whether its customer runs as many workloads as it may.
	AtLimit bool
}

// Estimate says how long a workload still waits.
type Estimate struct {
	In         time.Duration
	Confidence Confidence
}

// ThroughputLifetime is how long a measured throughput serves for estimates.
const ThroughputLifetime = time.Minute

// minQuiet is the shortest time without a placement that says anything about the throughput.
const minQuiet = time.Second

// EstimateWait estimates how long the workload waits. ok is false when the throughput says nothing
// about it.
func EstimateWait(t domain.Throughput, now time.Time, w Waiting) (e Estimate, ok bool) {
	if !w.AtLimit && !w.Ahead.Estimated && w.Ahead.Type < w.Room {
		return Estimate{0, ConfidenceHigh}, true
	}
	if now.Sub(t.At) > ThroughputLifetime {
		return Estimate{}, false
	}
	if e, ok = wait(t.Types[w.Type], now, w.Ahead.Type+1, w.Slots); !ok {
		return Estimate{}, false
	}
	if w.AtLimit { // its customer's own throughput counts too: the slower of both decides
		own, ok := wait(t.Customers[w.CustomerID], now, w.Ahead.Customer+1, w.Slots)
		if !ok {
			return Estimate{}, false
		}
		if own.In > e.In {
			e = own
		}
	}
	if w.Ahead.Estimated {
		e.Confidence = ConfidenceLow
	}
	return e, true
}

// wait estimates how long it takes to place n workloads. slots is how many of them can run at once.
func wait(r domain.PlacementRate, now time.Time, n, slots int) (e Estimate, ok bool) {
	busy := time.Duration(r.Busy) * time.Microsecond
	if r.Placed > 0 && busy > 0 {
		e, ok = Estimate{time.Duration(float64(busy) * float64(n) / float64(r.Placed)), ConfidenceLow}, true
		switch {
		case r.Placed >= 100 && e.In <= busy:
			e.Confidence = ConfidenceHigh
		case r.Placed >= 10 && e.In <= 4*busy:
			e.Confidence = ConfidenceMedium
		}
	}
	// When nothing has been placed for much longer than usual, the measured rate no longer holds.
	// The runs that hold the slots have lasted at least that long. So assume that all slots become
	// free once in each such period.
	quiet := now.Sub(r.Last)
	if r.Last.IsZero() || quiet < minQuiet || ok && quiet <= 5*busy/time.Duration(r.Placed) {
		return e, ok
	}
	slots = max(slots, 1)
	periods := time.Duration((n + slots - 1) / slots)
	if in := quiet * periods; in > e.In {
		e = Estimate{in, ConfidenceLow}
	}
	return e, true
}
