package domain

import (
	"slices"
	"time"
)

const (
	// SeriesPeriod is how far back series by the minute reach.
	SeriesPeriod = 24 * time.Hour
	// SeriesStep is the shortest step of a series.
	SeriesStep = time.Minute
)

// MinuteOf returns the beginning of the minute of t, in UTC.
func MinuteOf(t time.Time) time.Time { return t.UTC().Truncate(SeriesStep) }

// InSeries reports whether a minute belongs to the series at a time.
func InSeries(minute, now time.Time) bool { return !minute.Before(MinuteOf(now.Add(-SeriesPeriod))) }

// MinuteChange is how the counts of a tier changed in a minute. How long runs ran and what they used is left out.
type MinuteChange struct {
	Minute time.Time
	Tier   Tier
	// Started counts how often a worker was given a workload.
	Started int
	Unfinished
	Activity
}

// Add adds o, whatever its minute and its tier are.
func (c *MinuteChange) Add(o MinuteChange) {
	c.Started += o.Started
	c.Unfinished.Add(o.Unfinished)
	c.Activity.Add(o.Activity)
}

// Level is what is unfinished in a tier.
type Level struct {
	Tier Tier
	Unfinished
}

// Recent is what happened lately. A workload counts under the tier that its customer has now.
type Recent struct {
	// Levels are what is unfinished now.
	Levels []Level
	// Changes led to the levels.
	Changes []MinuteChange
}

// SeriesQuery selects a series that ends now.
type SeriesQuery struct {
	Whose Whose
	// Period is how far back the series reaches. Step is how long each point is.
	Period, Step time.Duration
}

// Validate checks the period and the step.
func (q SeriesQuery) Validate() error {
	switch {
	case q.Step < SeriesStep || q.Step%SeriesStep != 0 || time.Hour%q.Step != 0:
		return Invalid("step_minutes", "must be whole minutes that divide an hour")
	case q.Period < q.Step || q.Period > SeriesPeriod:
		return Invalid("minutes", "must be from step_minutes to %d", int(SeriesPeriod/SeriesStep))
	}
	return nil
}

// From returns when the first point of the series begins.
func (q SeriesQuery) From(now time.Time) time.Time {
	steps := (q.Period + q.Step - 1) / q.Step
	return now.UTC().Truncate(q.Step).Add(-(steps - 1) * q.Step)
}

// Point is one step of a series.
type Point struct {
	// At is when the step begins. Queued, Running and Paused are those at its end; for the last point,
	// those of now.
	At      time.Time
	Started int
	Unfinished
	Activity
	// ByTier is in the order of the tiers. It leaves out those of which nothing is unfinished.
	ByTier []Level
}

// Series returns the points from q.From until now. It goes back from the levels of now: what was
// unfinished earlier is what is unfinished later, less the changes between.
func (r *Recent) Series(q SeriesQuery, now time.Time) []Point {
	from := q.From(now)
	points := make([]Point, int(now.Sub(from)/q.Step)+1)
	for i := range points {
		points[i].At = from.Add(time.Duration(i) * q.Step)
	}
	changes := slices.Clone(r.Changes)
	slices.SortFunc(changes, func(a, b MinuteChange) int { return b.Minute.Compare(a.Minute) })
	levels := map[Tier]Unfinished{}
	for _, l := range r.Levels {
		u := levels[l.Tier]
		u.Add(l.Unfinished)
		levels[l.Tier] = u
	}
	for i := len(points) - 1; i >= 0; i-- {
		p := &points[i]
		p.level(levels)
		// What a clock that is ahead has counted belongs to the last point.
		for len(changes) > 0 && !changes[0].Minute.Before(p.At) {
			c := changes[0]
			changes = changes[1:]
			p.Started += c.Started
			p.Activity.Add(c.Activity)
			u := levels[c.Tier]
			u.Add(Unfinished{-c.Queued, -c.Running, -c.Paused})
			levels[c.Tier] = u
		}
	}
	return points
}

// level sets what is unfinished.
func (p *Point) level(levels map[Tier]Unfinished) {
	for _, t := range Tiers() {
		if u := levels[t]; u != (Unfinished{}) {
			p.Unfinished.Add(u)
			p.ByTier = append(p.ByTier, Level{t, u})
		}
	}
}
