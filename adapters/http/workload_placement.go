package http

import (
	"context"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/services/insight"
)

// GetWorkloadPlacement implements GET /v1/workloads/{id}/placement.
func (a *api) GetWorkloadPlacement(
	ctx context.Context, req gen.GetWorkloadPlacementRequestObject,
) (gen.GetWorkloadPlacementResponseObject, error) {
	p, err := a.Insight.Explain(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID))
	if err != nil {
		return nil, err
	}
	out := placementOut(&p)
	if scopeOf(ctx).principal.Role == domain.RoleAdmin {
		out.Reasons = mapSlice(p.Reasons, reasonWithWorkers)
	}
	return gen.GetWorkloadPlacement200JSONResponse(out), nil
}

func placementOut(p *insight.Explanation) gen.Placement {
	return gen.Placement{
		WorkloadID: string(p.Workload.ID), Status: gen.Status(p.Workload.Status), WorkerID: opt(string(p.Workload.WorkerID)),
		Waiting: p.Waiting, Position: opt(p.Position), PositionEstimated: p.Estimated, Placeable: p.Placeable,
		EstimatedStartTime: optTime(p.Start), Confidence: opt(gen.Confidence(p.Confidence)),
		UsualWait: waitedOut(p.Waited, p.Window), Reasons: mapSlice(p.Reasons, reasonOut),
	}
}

// reasonWithWorkers returns a reason as administrators see it: it names workers.
func reasonWithWorkers(r *placement.Reason) gen.PlacementReason {
	out := reasonOut(r)
	if len(r.WorkerIDs) > 0 {
		out.WorkerIds = new(mapSlice(r.WorkerIDs, func(id *domain.WorkerID) string { return string(*id) }))
	}
	return out
}

func reasonOut(r *placement.Reason) gen.PlacementReason {
	return gen.PlacementReason{Code: gen.PlacementReasonCode(r.Code), Workers: opt(r.Workers), Message: r.Message}
}
