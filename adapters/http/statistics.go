package http

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/insight"
)

// GetCustomerStats implements GET /v1/customer/stats.
func (a *api) GetCustomerStats(
	ctx context.Context, req gen.GetCustomerStatsRequestObject,
) (gen.GetCustomerStatsResponseObject, error) {
	out, err := a.customerStats(ctx, scopeOf(ctx).principal.CustomerID, req.Params)
	return gen.GetCustomerStats200JSONResponse(out), err
}

// GetCustomerStatsByID implements GET /v1/admin/customers/{id}/stats.
func (a *api) GetCustomerStatsByID(
	ctx context.Context, req gen.GetCustomerStatsByIDRequestObject,
) (gen.GetCustomerStatsByIDResponseObject, error) {
	c, err := a.Tenancy.GetCustomer(ctx, customerID(req.ID))
	if err != nil {
		return nil, err
	}
	out, err := a.customerStats(ctx, c.ID, gen.GetCustomerStatsParams{
		StartDate: req.Params.StartDate, EndDate: req.Params.EndDate,
		GroupBy: (*gen.GetCustomerStatsParamsGroupBy)(req.Params.GroupBy),
	})
	return gen.GetCustomerStatsByID200JSONResponse(out), err
}

func (a *api) customerStats(
	ctx context.Context, customer domain.CustomerID, params gen.GetCustomerStatsParams,
) (out gen.CustomerStats, err error) {
	q := domain.StatisticsQuery{Whose: domain.Whose{Customer: customer}, GroupBy: domain.GroupByDay}
	if g := params.GroupBy; g != nil {
		q.GroupBy = domain.Grouping(*g)
	}
	if q.From, err = date("start_date", params.StartDate); err != nil {
		return out, err
	}
	last, err := date("end_date", params.EndDate)
	if err != nil {
		return out, err
	}
	q.Until = last.AddDate(0, 0, 1)
	groups, err := a.Statistics.Statistics(ctx, q)
	if err != nil {
		return out, err
	}
	out.StartDate, out.EndDate = params.StartDate, params.EndDate
	var sum domain.Activity
	finished := make([]domain.Statistic, 0, len(groups))
	for _, g := range groups {
		sum.Add(g.Activity)
		if g.Finished() > 0 {
			finished = append(finished, g)
		}
	}
	out.Summary.TotalWorkloads, out.Summary.CompletedWorkloads = sum.Finished(), sum.Completed
	out.Summary.FailedWorkloads, out.Summary.CancelledWorkloads = sum.Failed, sum.Cancelled
	out.Summary.TotalExecutionHours = sum.Executed.Hours()
	out.Summary.TotalCPUSeconds = float64(sum.Used.CPUMS) / 1000
	out.Summary.PeakMemoryMb = sum.Used.PeakMemoryMB
	switch q.GroupBy {
	case domain.GroupByDay:
		out.ByDay = new(mapSlice(finished, func(s *domain.Statistic) gen.DayStats {
			n, mean, rate := figures(s)
			return gen.DayStats{Date: s.At.Format(time.DateOnly), Count: n, AvgDurationSeconds: mean, FailureRate: rate}
		}))
	case domain.GroupByHour:
		out.ByHour = new(mapSlice(finished, func(s *domain.Statistic) gen.HourStats {
			n, mean, rate := figures(s)
			return gen.HourStats{Hour: at(s.At), Count: n, AvgDurationSeconds: mean, FailureRate: rate}
		}))
	case domain.GroupByType:
		out.ByWorkloadType = new(mapSlice(finished, func(s *domain.Statistic) gen.TypeStats {
			n, mean, rate := figures(s)
			return gen.TypeStats{WorkloadType: s.Type, Count: n, AvgDurationSeconds: mean, FailureRate: rate}
		}))
	}
	return out, nil
}

// date parses a day, and returns its beginning in UTC.
func date(field, s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, domain.Invalid(field, "must be a date such as 2026-03-31")
	}
	return t, domain.ValidateTime(field, t)
}

// figures returns the figures of a group in which something finished: how many, how long one ran on
// average in seconds, and the share that failed.
func figures(s *domain.Statistic) (n int, mean, failureRate float64) {
	n = s.Finished()
	return n, s.Executed.Seconds() / float64(n), float64(s.Failed) / float64(n)
}

// GetQueueDepth implements GET /v1/metrics/queue-depth.
func (a *api) GetQueueDepth(
	ctx context.Context, _ gen.GetQueueDepthRequestObject,
) (gen.GetQueueDepthResponseObject, error) {
	p := scopeOf(ctx).principal
	q, err := a.Statistics.Depth(ctx, seenBy(p))
	if err != nil {
		return nil, err
	}
	out := gen.QueueDepth{QueueDepth: q.Total.Queued, RunningWorkloads: q.Total.Running}
	out.OldestQueuedAt, out.OldestWaitSeconds = a.oldest(&q.Total)
	var stuck map[string]insight.Stuck
	if !p.SeesAll() && q.Total.Queued > 0 {
		stuck = a.Insight.Stuck(ctx, p.CustomerID)
	}
	out.ByWorkloadType = mapSlice(q.ByType, func(d *domain.Depth) gen.TypeDepth {
		t := gen.TypeDepth{WorkloadType: d.Type, QueueDepth: d.Queued, RunningWorkloads: d.Running}
		t.OldestQueuedAt, t.OldestWaitSeconds = a.oldest(d)
		if s, is := stuck[d.Type]; is {
			// What has been placed or cancelled since it was looked at does not wait any more.
			if n := min(s.Depth, d.Queued); n > 0 {
				t.Unplaceable = &gen.Unplaceable{
					QueueDepth: n, QueueDepthEstimated: s.Estimated, FirstWorkloadID: string(s.First),
				}
			}
		}
		return t
	})
	if p.SeesAll() {
		waits, window, err := a.Insight.Waits(ctx)
		if err != nil {
			return nil, err
		}
		out.ByTier = new(mapSlice(withWaits(q.ByTier, waits), func(d *domain.Depth) gen.TierDepth {
			t := gen.TierDepth{Tier: gen.Tier(d.Tier), QueueDepth: d.Queued, RunningWorkloads: d.Running}
			t.OldestQueuedAt, t.OldestWaitSeconds = a.oldest(d)
			t.Waited = waitedOut(waits[d.Tier], window)
			return t
		}))
	}
	return gen.GetQueueDepth200JSONResponse(out), nil
}

// withWaits adds the tiers of which something was placed lately and nothing is unfinished.
func withWaits(tiers []domain.Depth, waits map[domain.Tier]domain.Waits) (out []domain.Depth) {
	for _, tier := range domain.Tiers() {
		at := slices.IndexFunc(tiers, func(d domain.Depth) bool { return d.Tier == tier })
		switch {
		case at >= 0:
			out = append(out, tiers[at])
		case waits[tier].Count() > 0:
			out = append(out, domain.Depth{Tier: tier})
		}
	}
	return out
}

func waitedOut(w domain.Waits, window time.Duration) *gen.Waited {
	n := w.Count()
	if n == 0 {
		return nil
	}
	seconds := func(q float64) float64 { return w.Quantile(q).Round(time.Millisecond).Seconds() }
	return &gen.Waited{
		WindowSeconds: window.Round(time.Millisecond).Seconds(), Placed: n,
		P50Seconds: seconds(0.5), P95Seconds: seconds(0.95), P99Seconds: seconds(0.99),
	}
}

// oldest returns when the oldest began to wait, and how long it has waited, in seconds.
func (a *api) oldest(d *domain.Depth) (*gen.Time, *float64) {
	if d.Oldest.IsZero() {
		return nil, nil
	}
	return new(at(d.Oldest)), new(a.Statistics.Waited(d.Oldest).Seconds())
}

// seenBy returns whose counts the caller sees.
func seenBy(p domain.Principal) domain.Whose {
	return domain.Whose{Customer: p.CustomerID, Everyone: p.SeesAll()}
}

// GetSeries implements GET /v1/metrics/series.
func (a *api) GetSeries(ctx context.Context, req gen.GetSeriesRequestObject) (gen.GetSeriesResponseObject, error) {
	p := scopeOf(ctx).principal
	q := domain.SeriesQuery{Whose: seenBy(p), Period: time.Hour, Step: domain.SeriesStep}
	if m := req.Params.Minutes; m != nil {
		q.Period = time.Duration(*m) * time.Minute
	}
	if m := req.Params.StepMinutes; m != nil {
		q.Step = time.Duration(*m) * time.Minute
	}
	points, err := a.Statistics.Series(ctx, q)
	if err != nil {
		return nil, err
	}
	out := gen.Series{StepMinutes: int(q.Step / time.Minute)}
	out.Points = mapSlice(points, func(x *domain.Point) gen.SeriesPoint {
		point := gen.SeriesPoint{
			At: at(x.At), Submitted: x.Submitted, Started: x.Started, Completed: x.Completed, Failed: x.Failed,
			Cancelled: x.Cancelled, Waiting: x.Queued, Running: x.Running,
		}
		if p.SeesAll() {
			point.ByTier = new(mapSlice(x.ByTier, func(l *domain.Level) gen.SeriesLevel {
				return gen.SeriesLevel{Tier: gen.Tier(l.Tier), Waiting: l.Queued, Running: l.Running}
			}))
		}
		return point
	})
	return gen.GetSeries200JSONResponse(out), nil
}
