package domain

import "time"

// Pace is how many placements the leader made lately: what estimates of starting times are made from.
type Pace struct {
	// At is when it was measured, Window how long for.
	At     time.Time
	Window time.Duration
	// Types and Customers count the placements, by workload type and by customer.
	Types     map[string]int
	Customers map[CustomerID]int
}

// Confidence is how sure an estimate is: by how many placements it rests on.
type Confidence string

// The confidences.
const (
	ConfidenceHigh   Confidence = "high"   // at least 100 placements
	ConfidenceMedium Confidence = "medium" // at least 10
	ConfidenceLow    Confidence = "low"    // fewer
)

// Ahead is how much of the queue is before a workload.
type Ahead struct {
	// All counts the whole queue, Type those of the same workload type, Customer those of the same customer.
	All, Type, Customer int
	// AtLeast tells that counting stopped: more may be before it.
	AtLeast bool
}

// Estimate is when a workload may start.
type Estimate struct {
	In         time.Duration
	Confidence Confidence
}

// PaceStale is how old a pace may be.
const PaceStale = time.Minute

// Estimate tells how long a workload with so much ahead of it will wait at this pace. With free, a worker could take it now. ok is
// false when nothing was placed that it could be told from.
func (p Pace) Estimate(now time.Time, c CustomerID, typ string, ahead Ahead, atLimit, free bool) (e Estimate, ok bool) {
	if free && !atLimit && ahead.Type == 0 {
		return Estimate{0, ConfidenceHigh}, true
	}
	if p.Window <= 0 || now.Sub(p.At) > PaceStale {
		return Estimate{}, false
	}
	e, ok = p.wait(p.Types[typ], ahead.Type)
	if !ok {
		return Estimate{}, false
	}
	if atLimit { // then its own customer's pace is what counts
		own, ok := p.wait(p.Customers[c], ahead.Customer)
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

func (p Pace) wait(placed, ahead int) (Estimate, bool) {
	if placed == 0 {
		return Estimate{}, false
	}
	e := Estimate{In: time.Duration(float64(p.Window) * float64(ahead+1) / float64(placed)), Confidence: ConfidenceLow}
	switch {
	case placed >= 100:
		e.Confidence = ConfidenceHigh
	case placed >= 10:
		e.Confidence = ConfidenceMedium
	}
	return e, true
}
