package http

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// GetCustomerStats implements GET /v1/customer/stats.
func (a *api) GetCustomerStats(
	ctx context.Context, req gen.GetCustomerStatsRequestObject,
) (gen.GetCustomerStatsResponseObject, error) {
	q := domain.StatisticsQuery{Customer: scopeOf(ctx).principal.CustomerID, GroupBy: domain.GroupByDay}
	if g := req.Params.GroupBy; g != nil {
		q.GroupBy = domain.Grouping(*g)
	}
	var err error
	if q.From, err = date("start_date", req.Params.StartDate); err != nil {
		return nil, err
	}
	last, err := date("end_date", req.Params.EndDate)
	if err != nil {
		return nil, err
	}
	q.Until = last.AddDate(0, 0, 1)
	groups, err := a.Statistics.Statistics(ctx, q)
	if err != nil {
		return nil, err
	}
	out := gen.CustomerStats{StartDate: req.Params.StartDate, EndDate: req.Params.EndDate}
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
	return gen.GetCustomerStats200JSONResponse(out), nil
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
	all := p.SeesAll()
	var q domain.QueueDepth
	var err error
	if all {
		q, err = a.Statistics.DepthOfAll(ctx)
	} else {
		q, err = a.Statistics.Depth(ctx, p.CustomerID)
	}
	if err != nil {
		return nil, err
	}
	out := gen.QueueDepth{QueueDepth: q.Total.Queued, RunningWorkloads: q.Total.Running}
	out.OldestQueuedAt, out.OldestWaitSeconds = a.oldest(&q.Total)
	out.ByWorkloadType = mapSlice(q.ByType, func(d *domain.Depth) gen.TypeDepth {
		t := gen.TypeDepth{WorkloadType: d.Type, QueueDepth: d.Queued, RunningWorkloads: d.Running}
		t.OldestQueuedAt, t.OldestWaitSeconds = a.oldest(d)
		return t
	})
	if all {
		out.ByTier = new(mapSlice(q.ByTier, func(d *domain.Depth) gen.TierDepth {
			t := gen.TierDepth{Tier: gen.Tier(d.Tier), QueueDepth: d.Queued, RunningWorkloads: d.Running}
			t.OldestQueuedAt, t.OldestWaitSeconds = a.oldest(d)
			return t
		}))
	}
	return gen.GetQueueDepth200JSONResponse(out), nil
}

// oldest returns when the oldest began to wait, and how long it has waited, in seconds.
func (a *api) oldest(d *domain.Depth) (*gen.Time, *float64) {
	if d.Oldest.IsZero() {
		return nil, nil
	}
	return new(at(d.Oldest)), new(a.Statistics.Waited(d.Oldest).Seconds())
}
