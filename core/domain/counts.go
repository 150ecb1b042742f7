package domain

import (
	"cmp"
	"slices"
	"time"
)

// Unfinished counts workloads that are not final.
type Unfinished struct {
	// Queued counts PENDING + REDISTRIBUTING, Running counts SCHEDULED + RUNNING, Paused PAUSED.
	Queued, Running, Paused int
}

// Activity counts what was submitted and what finished in a span of time.
type Activity struct {
	Submitted, Completed, Failed, Cancelled int
	// Executed is how long all runs of the finished workloads ran.
	Executed time.Duration
	// Used is what the runs used that ended, whether or not their workloads have finished.
	Used Consumption
}

// Finished returns how many workloads finished.
func (a Activity) Finished() int { return a.Completed + a.Failed + a.Cancelled }

// Whose selects what is counted. The zero value selects nothing.
type Whose struct {
	Customer CustomerID
	// Everyone selects all customers, whatever Customer is.
	Everyone bool
}

// Includes reports whether what the customer has is selected.
func (w Whose) Includes(c CustomerID) bool { return w.Everyone || c == w.Customer }

// Usage is what a customer uses right now.
type Usage struct {
	Unfinished
	// SubmittedToday counts the submissions since midnight UTC.
	SubmittedToday int
}

// Delta is how the counts of one customer's workloads of one type change in one transaction.
type Delta struct {
	CustomerID CustomerID
	Type       string
	// Minute is the minute of the transaction, in UTC. Activity and Started belong to it.
	Minute time.Time
	// Started counts how often a worker was given a workload.
	Started int
	Unfinished
	Activity
}

// CountChange returns how a change of w changes the counts. before is the state before it; the zero
// state means that w was submitted. used is what the run used that the change ended.
func CountChange(before *State, w *Workload, used Consumption) Delta {
	d := Delta{CustomerID: w.CustomerID, Type: w.Type, Minute: MinuteOf(w.UpdatedAt)}
	d.Used = used
	d.Unfinished.count(before.Status, -1)
	d.Unfinished.count(w.Status, 1)
	if w.Status.Held() && !before.Status.Held() {
		d.Started = 1
	}
	switch {
	case before.Status == "":
		d.Submitted = 1
	case before.Status.Final():
		return d
	}
	switch w.Status {
	case StatusCompleted:
		d.Completed, d.Executed = 1, w.Executed
	case StatusFailed:
		d.Failed, d.Executed = 1, w.Executed
	case StatusCancelled:
		d.Cancelled, d.Executed = 1, w.Executed
	case StatusPending, StatusScheduled, StatusRunning, StatusPaused, StatusRedistributing:
	}
	return d
}

// HourOf returns the beginning of the hour of t, in UTC.
func HourOf(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

// DayOf returns the beginning of the day of t, in UTC.
func DayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func (u *Unfinished) count(s Status, n int) {
	switch {
	case s.Waiting():
		u.Queued += n
	case s.Held():
		u.Running += n
	case s == StatusPaused:
		u.Paused += n
	}
}

// Add adds o.
func (u *Unfinished) Add(o Unfinished) {
	u.Queued += o.Queued
	u.Running += o.Running
	u.Paused += o.Paused
}

// Add adds o.
func (a *Activity) Add(o Activity) {
	a.Submitted += o.Submitted
	a.Completed += o.Completed
	a.Failed += o.Failed
	a.Cancelled += o.Cancelled
	a.Executed += o.Executed
	a.Used.Add(o.Used)
}

// Deltas sums up the changes of one transaction. All must be of the same minute.
type Deltas map[deltaKey]*Delta

type deltaKey struct {
	customer CustomerID
	typ      string
}

// Add adds a change.
func (ds Deltas) Add(d Delta) {
	k := deltaKey{d.CustomerID, d.Type}
	sum := ds[k]
	if sum == nil {
		ds[k] = &d
		return
	}
	sum.Started += d.Started
	sum.Unfinished.Add(d.Unfinished)
	sum.Activity.Add(d.Activity)
}

// Changed returns the sums that change a count, by customer and type.
func (ds Deltas) Changed() []*Delta {
	out := make([]*Delta, 0, len(ds))
	for _, d := range ds {
		if d.Started != 0 || d.Unfinished != (Unfinished{}) || d.Activity != (Activity{}) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *Delta) int {
		return cmp.Or(cmp.Compare(a.CustomerID, b.CustomerID), cmp.Compare(a.Type, b.Type))
	})
	return out
}

// Depth counts the unfinished workloads of one tier and type.
type Depth struct {
	// Tier is the tier that the customers have now: a customer that changes its tier takes its
	// workloads along.
	Tier Tier
	Type string
	Unfinished
	// Oldest is when the workload began to wait that may be placed and has waited longest; zero
	// when none may be placed.
	Oldest time.Time
}

// Add adds o, whatever its tier and type are.
func (d *Depth) Add(o Depth) {
	d.Unfinished.Add(o.Unfinished)
	if d.Oldest.IsZero() || !o.Oldest.IsZero() && o.Oldest.Before(d.Oldest) {
		d.Oldest = o.Oldest
	}
}

// TypesListed is how many types a QueueDepth lists.
const TypesListed = 1000

// QueueDepth sums up depths.
type QueueDepth struct {
	// Total has neither tier nor type.
	Total Depth
	// ByTier has no types. It is in the order of the tiers.
	ByTier []Depth
	// ByType has no tiers. It has the types of which most waits, the deepest first.
	ByType []Depth
}

// SumDepths sums up depths in total, by tier and by type.
func SumDepths(depths []Depth) QueueDepth {
	var q QueueDepth
	tiers, types := map[Tier]Depth{}, map[string]Depth{}
	for _, d := range depths {
		q.Total.Add(d)
		tier, typ := tiers[d.Tier], types[d.Type]
		tier.Add(d)
		typ.Add(d)
		tiers[d.Tier], types[d.Type] = tier, typ
	}
	for _, t := range Tiers() {
		if d, ok := tiers[t]; ok {
			d.Tier = t
			q.ByTier = append(q.ByTier, d)
		}
	}
	for t, d := range types {
		d.Type = t
		q.ByType = append(q.ByType, d)
	}
	slices.SortFunc(q.ByType, func(a, b Depth) int {
		return cmp.Or(cmp.Compare(b.Queued, a.Queued), cmp.Compare(b.Running, a.Running), cmp.Compare(a.Type, b.Type))
	})
	q.ByType = q.ByType[:min(len(q.ByType), TypesListed)]
	return q
}

// Grouping is what statistics are grouped by.
type Grouping string

// The groupings.
const (
	GroupByDay  Grouping = "day"
	GroupByHour Grouping = "hour"
	GroupByType Grouping = "workload_type"
)

const (
	// StatisticsDays is how many days statistics can cover.
	StatisticsDays = 366
	// StatisticsDaysByHour is how many days statistics by hour can cover.
	StatisticsDaysByHour = 31
)

// StatisticsQuery selects statistics.
type StatisticsQuery struct {
	// Whose are counted. Of everyone, which no client can ask for, they are counted together.
	Whose
	// From and Until are whole hours in UTC. Until is exclusive.
	From, Until time.Time
	GroupBy     Grouping
}

// Validate checks the range and the grouping.
func (q StatisticsQuery) Validate() error {
	days := StatisticsDays
	switch q.GroupBy {
	case GroupByHour:
		days = StatisticsDaysByHour
	case GroupByDay, GroupByType:
	default:
		return Invalid("group_by", "must be one of day, hour, workload_type")
	}
	if !q.From.Before(q.Until) {
		return Invalid("end_date", "must not be before start_date")
	}
	if q.Until.Sub(q.From) > time.Duration(days)*24*time.Hour {
		return Invalid("end_date", "must be at most %d days after start_date when grouped by %s", days-1, q.GroupBy)
	}
	return nil
}

// Statistic is what finished in one group.
type Statistic struct {
	// At is the beginning of the day or the hour. Type is set instead if the grouping is by type.
	At   time.Time
	Type string
	Activity
}
