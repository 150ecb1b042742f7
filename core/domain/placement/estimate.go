package placement

import (
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Confidence is how sure an estimate is: by how many placements it rests on, and how long they took.
type Confidence string

// The confidences.
const (
	ConfidenceHigh   Confidence = "high"   // at least 100 placements, over as long a time as the estimate; or there is room now
	ConfidenceMedium Confidence = "medium" // at least 10, over a quarter of that
	ConfidenceLow    Confidence = "low"    // fewer, or something speaks against the throughput
)

// Ahead is how much of the queue is before a workload.
type Ahead struct {
	// All counts the whole queue. Type counts those of the same workload type that may be placed, Customer those of the same customer.
	All, Type, Customer int
	// AtLeast tells that counting stopped: more may be before it.
	AtLeast bool
}

// Estimate is when a workload may start.
type Estimate struct {
	In         time.Duration
	Confidence Confidence
}

// ThroughputLifetime is how old a throughput may be.
const ThroughputLifetime = time.Minute

// minQuiet is how long nothing must have been placed to tell something from that.
const minQuiet = time.Second

// EstimateWait tells how long a workload with so much ahead of it will wait. room is how many slots that it could take are free,
// slots how many there are. ok is false when nothing was placed that it could be told from.
func EstimateWait(p domain.Throughput, now time.Time, c domain.CustomerID, typ string, ahead Ahead, room, slots int, atLimit bool) (e Estimate, ok bool) {
	if !atLimit && !ahead.AtLeast && ahead.Type < room {
		return Estimate{0, ConfidenceHigh}, true
	}
	if now.Sub(p.At) > ThroughputLifetime {
		return Estimate{}, false
	}
	if e, ok = wait(p.Types[typ], now, ahead.Type+1, slots); !ok {
		return Estimate{}, false
	}
	if atLimit { // then its own customer's throughput is what counts
		own, ok := wait(p.Customers[c], now, ahead.Customer+1, slots)
		if !ok {
			return Estimate{}, false
		}
		if own.In > e.In {
			e = own
		}
	}
	if ahead.AtLeast {
		e.Confidence = ConfidenceLow
	}
	return e, true
}

// wait is how long so many placements take, the last of them the one that is asked about.
func wait(p domain.PlacementRate, now time.Time, need, slots int) (e Estimate, ok bool) {
	busy := time.Duration(p.Busy) * time.Microsecond
	if p.Placed > 0 && busy > 0 {
		e, ok = Estimate{time.Duration(float64(busy) * float64(need) / float64(p.Placed)), ConfidenceLow}, true
		switch {
		case p.Placed >= 100 && e.In <= busy:
			e.Confidence = ConfidenceHigh
		case p.Placed >= 10 && e.In <= 4*busy:
			e.Confidence = ConfidenceMedium
		}
	}
	// What holds the slots has run for as long as nothing was placed, at least: so they get free in turns of that length, as many
	// in one turn as there are.
	quiet := now.Sub(p.Last)
	if p.Last.IsZero() || quiet < minQuiet || ok && quiet <= 5*busy/time.Duration(p.Placed) {
		return e, ok
	}
	slots = max(slots, 1)
	if turns := quiet * time.Duration((need+slots-1)/slots); turns > e.In {
		e = Estimate{turns, ConfidenceLow}
	}
	return e, true
}
