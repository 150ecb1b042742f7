package http

import (
	"context"
	"fmt"
	"slices"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/controlplane"
)

// ListWorkers implements GET /v1/admin/workers.
func (a *api) ListWorkers(
	ctx context.Context, req gen.ListWorkersRequestObject,
) (gen.ListWorkersResponseObject, error) {
	ws, err := a.Plane.ListWorkers(ctx)
	if err != nil {
		return nil, err
	}
	bound := "workers"
	if only := req.Params.Status; only != nil {
		bound = fmt.Sprint(bound, *only)
		ws = slices.DeleteFunc(ws, func(v controlplane.WorkerView) bool {
			return !slices.Contains(*only, gen.WorkerStatus(v.Status))
		})
	}
	byID := func(v *controlplane.WorkerView) string { return string(v.ID) }
	ws, pagination, err := page(a, ws, byID, req.Params.Limit, req.Params.Cursor, bound)
	if err != nil {
		return nil, err
	}
	out := mapSlice(ws, workerOut)
	if scopeOf(ctx).principal.Role == domain.RoleScaler {
		for i := range out {
			out[i].RunningWorkloads, out[i].EndingRuns = []string{}, out[i].EndingRuns[:0]
		}
	}
	return gen.ListWorkers200JSONResponse{Workers: out, Pagination: pagination}, nil
}

// GetWorker implements GET /v1/admin/workers/{id}.
func (a *api) GetWorker(ctx context.Context, req gen.GetWorkerRequestObject) (gen.GetWorkerResponseObject, error) {
	v, err := a.Plane.GetWorker(ctx, domain.WorkerID(req.ID))
	if err != nil {
		return nil, err
	}
	return gen.GetWorker200JSONResponse(workerOut(&v)), nil
}

// ListWorkerEvents implements GET /v1/admin/workers/{id}/events.
func (a *api) ListWorkerEvents(
	ctx context.Context, req gen.ListWorkerEventsRequestObject,
) (gen.ListWorkerEventsResponseObject, error) {
	limit := defaultAudit
	if req.Params.Limit != nil {
		limit = *req.Params.Limit
	}
	events, err := a.Plane.ReadEvents(ctx, domain.WorkerID(req.ID), deref(req.Params.After), limit)
	if err != nil {
		return nil, err
	}
	return gen.ListWorkerEvents200JSONResponse{Events: mapSlice(events, func(e *domain.AuditEvent) gen.WorkerEvent {
		out := gen.WorkerEvent{
			EventID: e.ID, EventType: e.Type, WorkerID: string(e.WorkerID), Timestamp: at(e.At),
			ActorType: e.Actor.Kind, ActorID: e.Actor.ID,
		}
		out.Details.Reason = opt(e.Reason)
		return out
	})}, nil
}

// DrainWorker implements POST /v1/admin/workers/{id}/drain.
func (a *api) DrainWorker(
	ctx context.Context, req gen.DrainWorkerRequestObject,
) (gen.DrainWorkerResponseObject, error) {
	w, err := a.Plane.DrainWorker(ctx, domain.WorkerID(req.ID), admin(ctx))
	if err != nil {
		return nil, err
	}
	v, err := a.Plane.ViewWorker(ctx, w)
	if err != nil {
		return nil, err
	}
	return gen.DrainWorker200JSONResponse(workerOut(&v)), nil
}

// UndrainWorker implements POST /v1/admin/workers/{id}/undrain.
func (a *api) UndrainWorker(
	ctx context.Context, req gen.UndrainWorkerRequestObject,
) (gen.UndrainWorkerResponseObject, error) {
	w, err := a.Plane.UndrainWorker(ctx, domain.WorkerID(req.ID), admin(ctx))
	if err != nil {
		return nil, err
	}
	v, err := a.Plane.ViewWorker(ctx, w)
	if err != nil {
		return nil, err
	}
	return gen.UndrainWorker200JSONResponse(workerOut(&v)), nil
}

// RemoveWorker implements DELETE /v1/admin/workers/{id}.
func (a *api) RemoveWorker(
	ctx context.Context, req gen.RemoveWorkerRequestObject,
) (gen.RemoveWorkerResponseObject, error) {
	if err := a.Plane.RemoveWorker(ctx, domain.WorkerID(req.ID), admin(ctx)); err != nil {
		return nil, err
	}
	return gen.RemoveWorker204Response{}, nil
}

func workerOut(v *controlplane.WorkerView) gen.Worker {
	out := gen.Worker{
		WorkerID: string(v.ID), SessionID: string(v.SessionID), Status: gen.WorkerStatus(v.Status),
		Capabilities: emptyIfNone(v.Capabilities), CapacityTotal: v.Slots, CapacityUsed: len(v.Held) + len(v.Ending),
		Resources: v.Resources, Allocated: &v.Allocated, Tags: emptyIfNil(v.Tags), Version: v.Version,
		RegisteredAt: at(v.RegisteredAt), LastHeartbeat: at(v.HeartbeatAt), LeaseUntil: at(v.LeaseUntil),
	}
	out.RunningWorkloads = mapSlice(v.Held, func(h *ports.HeldWorkload) string { return string(h.WorkloadID) })
	out.EndingRuns = make([]struct {
		CustomerID       string  `json:"customer_id"`
		EndingForSeconds float64 `json:"ending_for_seconds"`
		Generation       int64   `json:"generation"`
		WorkloadID       string  `json:"workload_id"`
	}, len(v.Ending))
	for i, h := range v.Ending {
		e := &out.EndingRuns[i]
		e.WorkloadID, e.CustomerID = string(h.WorkloadID), string(h.CustomerID)
		e.Generation, e.EndingForSeconds = h.Generation, h.EndingFor.Seconds()
	}
	return out
}
