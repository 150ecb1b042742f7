package http

import (
	"context"
	"fmt"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/services/insight"
)

// Setting is a variable of the configuration with its effective value. Secrets are masked.
type Setting struct{ Variable, Value string }

// GetConfig implements GET /v1/admin/config.
func (a *api) GetConfig(ctx context.Context, _ gen.GetConfigRequestObject) (gen.GetConfigResponseObject, error) {
	settings := mapSlice(a.Settings, func(s *Setting) gen.Setting {
		return gen.Setting{Name: s.Variable, Value: s.Value}
	})
	return gen.GetConfig200JSONResponse{Name: a.Name, Leader: a.Ready(ctx).LeaderName, Settings: settings}, nil
}

// ListLanes implements GET /v1/admin/lanes.
func (a *api) ListLanes(ctx context.Context, req gen.ListLanesRequestObject) (gen.ListLanesResponseObject, error) {
	limit := limitOr(req.Params.Limit, defaultPage)
	q := insight.LanesQuery{
		Customer: customerID(deref(req.Params.CustomerID)), Type: deref(req.Params.WorkloadType),
		Blocked: req.Params.Blocked, Limit: limit + 1,
	}
	bound := fmt.Sprint("lanes ", q.Customer, " ", q.Type)
	if q.Blocked != nil {
		bound += fmt.Sprint(" ", *q.Blocked)
	}
	if c := deref(req.Params.Cursor); c != "" {
		if err := a.cursors.decode(c, &q.After, bound); err != nil {
			return nil, err
		}
	}
	found, complete, err := a.Insight.Lanes(ctx, q)
	if err != nil {
		return nil, err
	}
	found, pagination, err := paginate(a, found, (*insight.LaneView).Place, limit, bound)
	if err != nil {
		return nil, err
	}
	return gen.ListLanes200JSONResponse{
		Lanes: mapSlice(found, a.laneOut), Incomplete: !complete, Pagination: pagination,
	}, nil
}

func (a *api) laneOut(l *insight.LaneView) gen.Lane {
	return gen.Lane{
		LaneID: string(l.Lane.ID), CustomerID: string(l.Lane.CustomerID), Tier: gen.Tier(l.Tier),
		WorkloadType: l.Lane.Type, Priority: l.Lane.Priority,
		QueueDepth: l.Depth, QueueDepthEstimated: l.Estimated,
		FirstWorkloadID: string(l.First), PlacedPerMinute: opt(l.PerMinute),
		OldestQueuedAt: at(l.Oldest), OldestWaitSeconds: a.Statistics.Waited(l.Oldest).Seconds(),
		Blocked: l.Blocked, Reasons: mapSlice(l.Reasons, reasonWithWorkers),
	}
}
