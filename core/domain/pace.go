package domain

import "time"

// Pace is how many placements the leader made lately: what estimates of starting times are made from.
type Pace struct {
	// At is when it was measured, Window how long for.
	At     time.Time
	Window time.Duration
	// Types and Customers count the placements, by workload type and by customer.
	Types     map[string]TypePace
	Customers map[CustomerID]int
}

// TypePace is the pace of one workload type.
type TypePace struct {
	Placed int       `json:"placed"`
	Last   time.Time `json:"last"` // when the last one was placed
}

// Confidence is how sure an estimate is: by how many placements it rests on.
type Confidence string

// The confidences.
const (
	ConfidenceHigh   Confidence = "high"   // at least 100 placements, or there is room now
	ConfidenceMedium Confidence = "medium" // at least 10
	ConfidenceLow    Confidence = "low"    // fewer, or something speaks against the pace
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

// PaceStale is how old a pace may be.
const PaceStale = time.Minute

// Estimate tells how long a workload with so much ahead of it will wait, when so many slots that it could take are free. ok is false
// when nothing was placed that it could be told from.
func (p Pace) Estimate(now time.Time, c CustomerID, typ string, ahead Ahead, room int, atLimit bool) (e Estimate, ok bool) {
	if !atLimit && !ahead.AtLeast && ahead.Type < room {
		return Estimate{0, ConfidenceHigh}, true
	}
	if p.Window <= 0 || now.Sub(p.At) > PaceStale {
		return Estimate{}, false
	}
	t := p.Types[typ]
	if e, ok = wait(p.Window, t.Placed, ahead.Type); !ok {
		return Estimate{}, false
	}
	// When nothing was placed for much longer than usual, what holds the slots runs longer than what the pace was measured on.
	each := p.Window / time.Duration(t.Placed)
	if quiet := now.Sub(t.Last); quiet > 5*each && quiet > time.Second {
		e = Estimate{quiet * time.Duration(ahead.Type+1), ConfidenceLow}
	}
	if atLimit { // then its own customer's pace is what counts
		own, ok := wait(p.Window, p.Customers[c], ahead.Customer)
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

// wait is how long as many placements take as are ahead, and one more.
func wait(window time.Duration, placed, ahead int) (Estimate, bool) {
	if placed == 0 {
		return Estimate{}, false
	}
	e := Estimate{In: time.Duration(float64(window) * float64(ahead+1) / float64(placed)), Confidence: ConfidenceLow}
	switch {
	case placed >= 100:
		e.Confidence = ConfidenceHigh
	case placed >= 10:
		e.Confidence = ConfidenceMedium
	}
	return e, true
}
