package http

import (
	"context"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/controlplane"
)

// ListWorkers implements GET /v1/admin/workers.
func (a *api) ListWorkers(ctx context.Context, _ gen.ListWorkersRequestObject) (gen.ListWorkersResponseObject, error) {
	ws, err := a.Plane.ListWorkers(ctx)
	if err != nil {
		return nil, err
	}
	return gen.ListWorkers200JSONResponse{Items: mapSlice(ws, workerOut)}, nil
}

// DrainWorker implements POST /v1/admin/workers/{id}/drain.
func (a *api) DrainWorker(
	ctx context.Context, req gen.DrainWorkerRequestObject,
) (gen.DrainWorkerResponseObject, error) {
	w, err := a.Plane.DrainWorker(ctx, domain.WorkerID(req.ID), actor(ctx))
	if err != nil {
		return nil, err
	}
	v, err := a.Plane.ViewWorker(ctx, w)
	if err != nil {
		return nil, err
	}
	return gen.DrainWorker202JSONResponse(workerOut(&v)), nil
}

// UndrainWorker implements POST /v1/admin/workers/{id}/undrain.
func (a *api) UndrainWorker(
	ctx context.Context, req gen.UndrainWorkerRequestObject,
) (gen.UndrainWorkerResponseObject, error) {
	w, err := a.Plane.UndrainWorker(ctx, domain.WorkerID(req.ID), actor(ctx))
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
	if err := a.Plane.RemoveWorker(ctx, domain.WorkerID(req.ID), actor(ctx)); err != nil {
		return nil, err
	}
	return gen.RemoveWorker204Response{}, nil
}

func workerOut(v *controlplane.WorkerView) gen.Worker {
	out := gen.Worker{
		WorkerID: string(v.ID), SessionID: string(v.SessionID), Status: gen.WorkerStatus(v.Status),
		Capabilities: emptyIfNone(v.Capabilities), Slots: v.Slots, SlotsInUse: len(v.Held) + len(v.Ending),
		Resources: resourcesOut(v.Resources), Tags: emptyIfNil(v.Tags), Version: v.Version,
		RegisteredAt: at(v.RegisteredAt), LastHeartbeatAt: at(v.HeartbeatAt), LeaseUntil: at(v.LeaseUntil),
	}
	out.Workloads = make([]struct {
		CustomerID string     `json:"customer_id"`
		Generation int64      `json:"generation"`
		Status     gen.Status `json:"status"`
		WorkloadID string     `json:"workload_id"`
	}, len(v.Held))
	for i, h := range v.Held {
		w := &out.Workloads[i]
		w.WorkloadID, w.CustomerID = string(h.WorkloadID), string(h.CustomerID)
		w.Generation, w.Status = h.Generation, gen.Status(h.Status)
	}
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
