package domain

import "time"

// Pace is how many placements the leader made lately: what estimates of starting times are made from. Only the time in
// which something had to wait counts: while nothing waits, placements are as rare as submissions, and say nothing of
// how fast a queue is worked off.
type Pace struct {
	// At is when it was measured, Window how far back it reaches.
	At     time.Time
	Window time.Duration
	// Types and Customers count the placements, by workload type and by customer.
	Types     map[string]Placements
	Customers map[CustomerID]Placements
}

// Placements counts what was placed of a workload type while some of it had to wait for slots, or of a customer while it
// was at its limit.
type Placements struct {
	Placed int `json:"placed"`
	// Busy is how long that was, in microseconds.
	Busy int64     `json:"busy_us"`
	Last time.Time `json:"last"` // when the last one was placed, whether anything waited or not
}

// Add counts further placements.
func (p Placements) Add(o Placements) Placements {
	if o.Last.After(p.Last) {
		p.Last = o.Last
	}
	return Placements{p.Placed + o.Placed, p.Busy + o.Busy, p.Last}
}

// Confidence is how sure an estimate is: by how many placements it rests on, and how long they took.
type Confidence string

// The confidences.
const (
	ConfidenceHigh   Confidence = "high"   // at least 100 placements, over as long a time as the estimate; or there is room now
	ConfidenceMedium Confidence = "medium" // at least 10, over a quarter of that
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

// minQuiet is how long nothing must have been placed to tell something from that.
const minQuiet = time.Second

// Estimate tells how long a workload with so much ahead of it will wait. room is how many slots that it could take are free,
// slots how many there are. ok is false when nothing was placed that it could be told from.
func (p Pace) Estimate(now time.Time, c CustomerID, typ string, ahead Ahead, room, slots int, atLimit bool) (e Estimate, ok bool) {
	if !atLimit && !ahead.AtLeast && ahead.Type < room {
		return Estimate{0, ConfidenceHigh}, true
	}
	if now.Sub(p.At) > PaceStale {
		return Estimate{}, false
	}
	if e, ok = p.Types[typ].wait(now, ahead.Type+1, slots); !ok {
		return Estimate{}, false
	}
	if atLimit { // then its own customer's pace is what counts
		own, ok := p.Customers[c].wait(now, ahead.Customer+1, slots)
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
func (p Placements) wait(now time.Time, need, slots int) (e Estimate, ok bool) {
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
