package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// counts are what is counted of one customer's workloads.
type counts struct {
	total domain.Unfinished
	types map[string]domain.Unfinished
	hours map[time.Time]map[string]domain.Activity // by type
	// minutes are the changes of the last domain.SeriesPeriod, by minute. Their tier is not set.
	minutes map[time.Time]domain.MinuteChange
}

func newCounts() counts {
	return counts{
		types: map[string]domain.Unfinished{}, hours: map[time.Time]map[string]domain.Activity{},
		minutes: map[time.Time]domain.MinuteChange{},
	}
}

func (c *counts) add(d domain.Delta) {
	c.total.Add(d.Unfinished)
	u := c.types[d.Type]
	if u.Add(d.Unfinished); u == (domain.Unfinished{}) {
		delete(c.types, d.Type)
	} else {
		c.types[d.Type] = u
	}
	m := c.minutes[d.Minute]
	change := domain.MinuteChange{Started: d.Started, Unfinished: d.Unfinished, Activity: d.Activity}
	change.Executed, change.Used = 0, domain.Consumption{}
	m.Add(change)
	c.minutes[d.Minute] = m
	if d.Activity == (domain.Activity{}) {
		return
	}
	hour := domain.HourOf(d.Minute)
	if c.hours[hour] == nil {
		c.hours[hour] = map[string]domain.Activity{}
	}
	a := c.hours[hour][d.Type]
	a.Add(d.Activity)
	c.hours[hour][d.Type] = a
}

type statistics struct{ s *Store }

// Usage implements ports.StatisticsStore.
func (s statistics) Usage(ctx context.Context, customer domain.CustomerID) (domain.Usage, error) {
	if err := ctx.Err(); err != nil {
		return domain.Usage{}, err
	}
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	return s.s.usageLocked(customer), nil
}

func (s *Store) usageLocked(customer domain.CustomerID) domain.Usage {
	t := s.customers[customer]
	if t == nil {
		return domain.Usage{}
	}
	u := domain.Usage{Unfinished: t.counts.total}
	now := s.now()
	for at := domain.DayOf(now); !at.After(now); at = at.Add(time.Hour) {
		for _, a := range t.counts.hours[at] {
			u.SubmittedToday += a.Submitted
		}
	}
	return u
}

// Depth implements ports.StatisticsStore.
func (s statistics) Depth(ctx context.Context, whose domain.Whose) ([]domain.Depth, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	type key struct {
		tier domain.Tier
		typ  string
	}
	sums := map[key]*domain.Depth{}
	add := func(t *tenant, typ string, d domain.Depth) {
		k := key{t.Tier, typ}
		if sums[k] == nil {
			sums[k] = &domain.Depth{Tier: t.Tier, Type: typ}
		}
		sums[k].Add(d)
	}
	for _, t := range s.s.customers {
		if whose.Includes(t.ID) {
			for typ, u := range t.counts.types {
				add(t, typ, domain.Depth{Unfinished: u})
			}
		}
	}
	s.s.promoteLocked(s.s.now())
	for _, l := range s.s.lanes {
		if first, ok := l.waiting.Min(); ok && whose.Includes(l.CustomerID) {
			add(s.s.customers[l.CustomerID], l.Type, domain.Depth{Oldest: first.QueueAt})
		}
	}
	var out []domain.Depth
	for _, d := range sums {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b domain.Depth) int {
		return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Type, b.Type))
	})
	return out, nil
}

// Recent implements ports.StatisticsStore.
func (s statistics) Recent(
	ctx context.Context, whose domain.Whose, since time.Time,
) (out domain.Recent, err error) {
	if err := ctx.Err(); err != nil {
		return out, err
	}
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	for _, t := range s.s.customers {
		if !whose.Includes(t.ID) {
			continue
		}
		out.Levels = append(out.Levels, domain.Level{Tier: t.Tier, Unfinished: t.counts.total})
		for minute, c := range t.counts.minutes {
			if !minute.Before(since) {
				c.Minute, c.Tier = minute, t.Tier
				out.Changes = append(out.Changes, c)
			}
		}
	}
	return out, nil
}

// Backlog implements ports.StatisticsStore.
func (s statistics) Backlog(ctx context.Context) (domain.Backlog, error) {
	if err := ctx.Err(); err != nil {
		return domain.Backlog{}, err
	}
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	now := s.s.now()
	s.s.promoteLocked(now)
	b := domain.Backlog{Now: now}
	for id, t := range s.s.customers {
		c := domain.CustomerBacklog{CustomerID: id}
		for _, u := range t.counts.types {
			c.Add(u)
		}
		if c.Queued > 0 || c.Running > 0 {
			b.Customers = append(b.Customers, c)
		}
	}
	lanes := map[domain.LaneID]*domain.LaneBacklog{}
	for id, l := range s.s.lanes {
		if first, ok := l.waiting.Min(); ok {
			lanes[id] = &domain.LaneBacklog{
				Lane: l.Lane, Waiting: min(l.waiting.Len(), domain.BacklogLimit), Oldest: first.QueueAt,
			}
		}
	}
	s.s.delayed.Scan(func(r *record) bool {
		if lanes[r.Lane] == nil {
			lanes[r.Lane] = &domain.LaneBacklog{Lane: domain.NewLane(&r.Spec)}
		}
		lanes[r.Lane].Delayed = min(lanes[r.Lane].Delayed+1, domain.BacklogLimit)
		return true
	})
	for _, l := range lanes {
		l.Lane = l.Lane.Clone()
		b.Lanes = append(b.Lanes, *l)
	}
	slices.SortFunc(b.Customers, func(x, y domain.CustomerBacklog) int { return cmp.Compare(x.CustomerID, y.CustomerID) })
	slices.SortFunc(b.Lanes, func(x, y domain.LaneBacklog) int { return cmp.Compare(x.Lane.ID, y.Lane.ID) })
	return b, nil
}

// Statistics implements ports.StatisticsStore.
func (s statistics) Statistics(ctx context.Context, q domain.StatisticsQuery) ([]domain.Statistic, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	groups := map[domain.Statistic]domain.Activity{} // keys have no activity
	for id, t := range s.s.customers {
		if !q.Includes(id) {
			continue
		}
		for at := q.From; at.Before(q.Until); at = at.Add(time.Hour) {
			for typ, a := range t.counts.hours[at] {
				var k domain.Statistic
				switch q.GroupBy {
				case domain.GroupByDay:
					k.At = domain.DayOf(at)
				case domain.GroupByHour:
					k.At = at
				case domain.GroupByType:
					k.Type = typ
				}
				sum := groups[k]
				sum.Add(a)
				groups[k] = sum
			}
		}
	}
	var out []domain.Statistic
	for k, a := range groups {
		k.Activity = a
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b domain.Statistic) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Type, b.Type))
	})
	return out, nil
}

// Mix implements ports.StatisticsStore.
func (s statistics) Mix(ctx context.Context) ([]domain.MixClass, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	recent := maps.Clone(s.s.demands)
	maps.DeleteFunc(recent, func(_ domain.DemandKey, d *domain.Demand) bool { return !domain.InMix(d.Hour, s.s.now()) })
	return recent.Mix(), nil
}

// Fold implements ports.StatisticsStore. Counts are kept as totals, so nothing is left to fold.
func (s statistics) Fold(ctx context.Context, _ int) (int, error) {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	s.s.demands.Trim()
	return 0, ctx.Err()
}
