package http

import (
	"context"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// CancelWorkload implements POST /v1/workloads/{id}/cancel.
func (a *api) CancelWorkload(
	ctx context.Context, req gen.CancelWorkloadRequestObject,
) (gen.CancelWorkloadResponseObject, error) {
	reason := ""
	if req.Body != nil {
		reason = deref(req.Body.Reason)
	}
	w, err := a.Lifecycle.Cancel(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID), actor(ctx), reason,
		deref(req.Params.IdempotencyKey))
	if err != nil {
		return nil, err
	}
	return gen.CancelWorkload200JSONResponse(controlOut(&w)), nil
}

// PauseWorkload implements POST /v1/workloads/{id}/pause.
func (a *api) PauseWorkload(
	ctx context.Context, req gen.PauseWorkloadRequestObject,
) (gen.PauseWorkloadResponseObject, error) {
	reason := ""
	if req.Body != nil {
		reason = deref(req.Body.Reason)
	}
	var confirmed bool
	w, err := wait(ctx, a, func(ctx context.Context) (w domain.Workload, err error) {
		w, confirmed, err = a.Lifecycle.Pause(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID), actor(ctx), reason)
		return w, err
	})
	switch {
	case err != nil:
		return nil, err
	case confirmed:
		return gen.PauseWorkload200JSONResponse(controlOut(&w)), nil
	}
	return gen.PauseWorkload202JSONResponse(controlOut(&w)), nil
}

// ResumeWorkload implements POST /v1/workloads/{id}/resume.
func (a *api) ResumeWorkload(
	ctx context.Context, req gen.ResumeWorkloadRequestObject,
) (gen.ResumeWorkloadResponseObject, error) {
	reason := ""
	if req.Body != nil {
		reason = deref(req.Body.Reason)
	}
	w, err := a.Lifecycle.Resume(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID), actor(ctx), reason)
	if err != nil {
		return nil, err
	}
	return gen.ResumeWorkload202JSONResponse(controlOut(&w)), nil
}

// CheckpointWorkload implements POST /v1/workloads/{id}/checkpoint.
func (a *api) CheckpointWorkload(
	ctx context.Context, req gen.CheckpointWorkloadRequestObject,
) (gen.CheckpointWorkloadResponseObject, error) {
	w, err := a.Lifecycle.Checkpoint(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID))
	if err != nil {
		return nil, err
	}
	return gen.CheckpointWorkload202JSONResponse(controlOut(&w)), nil
}

func controlOut(w *domain.Workload) gen.ControlAnswer {
	out := gen.ControlAnswer{
		WorkloadID: string(w.ID), Status: gen.Status(w.Status), CheckpointSequence: w.CheckpointSequence,
	}
	switch w.Status { // it has not changed since it came into either of these
	case domain.StatusCancelled:
		out.CancelledAt = optTime(w.FinishedAt)
	case domain.StatusPaused:
		out.PausedAt = optTime(w.UpdatedAt)
	default:
	}
	return out
}
