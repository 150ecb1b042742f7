package http

import (
	"context"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// actor is who the audit trail names.
func actor(ctx context.Context) domain.Actor {
	return domain.Actor{Kind: domain.ActorUser, ID: string(scopeOf(ctx).principal.KeyID)}
}

// CancelWorkload implements POST /v1/workloads/{id}/cancel.
func (a *api) CancelWorkload(ctx context.Context, req gen.CancelWorkloadRequestObject) (gen.CancelWorkloadResponseObject, error) {
	reason := ""
	if req.Body != nil {
		reason = deref(req.Body.Reason)
	}
	w, err := a.Lifecycle.Cancel(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID), actor(ctx), reason)
	if err != nil {
		return nil, err
	}
	return gen.CancelWorkload200JSONResponse(steerOut(&w)), nil
}

// PauseWorkload implements POST /v1/workloads/{id}/pause.
func (a *api) PauseWorkload(ctx context.Context, req gen.PauseWorkloadRequestObject) (gen.PauseWorkloadResponseObject, error) {
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
		return gen.PauseWorkload200JSONResponse(steerOut(&w)), nil
	}
	return gen.PauseWorkload202JSONResponse(steerOut(&w)), nil
}

// ResumeWorkload implements POST /v1/workloads/{id}/resume.
func (a *api) ResumeWorkload(ctx context.Context, req gen.ResumeWorkloadRequestObject) (gen.ResumeWorkloadResponseObject, error) {
	reason := ""
	if req.Body != nil {
		reason = deref(req.Body.Reason)
	}
	w, err := a.Lifecycle.Resume(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID), actor(ctx), reason)
	if err != nil {
		return nil, err
	}
	return gen.ResumeWorkload202JSONResponse(steerOut(&w)), nil
}

const (
	defaultLogLines = 100
	defaultAudit    = 1000
)

// GetWorkloadLogs implements GET /v1/workloads/{id}/logs.
func (a *api) GetWorkloadLogs(ctx context.Context, req gen.GetWorkloadLogsRequestObject) (gen.GetWorkloadLogsResponseObject, error) {
	q := ports.LogQuery{
		Customer: scopeOf(ctx).principal.CustomerID, Workload: workloadID(req.ID), Limit: defaultLogLines,
		AfterSeq: deref(req.Params.After), Since: deref(req.Params.Since).Time, Until: deref(req.Params.Until).Time,
	}
	if req.Params.Limit != nil {
		q.Limit = *req.Params.Limit
	}
	lines, err := a.Lifecycle.ReadLogs(ctx, q)
	if err != nil {
		return nil, err
	}
	role := scopeOf(ctx).principal.Role
	return gen.GetWorkloadLogs200JSONResponse{Items: mapSlice(lines, func(l *domain.LogLine) gen.LogLine { return logLineOut(l, role) })}, nil
}

// GetWorkloadAudit implements GET /v1/workloads/{id}/audit.
func (a *api) GetWorkloadAudit(ctx context.Context, req gen.GetWorkloadAuditRequestObject) (gen.GetWorkloadAuditResponseObject, error) {
	limit := defaultAudit
	if req.Params.Limit != nil {
		limit = *req.Params.Limit
	}
	events, err := a.Lifecycle.ReadAudit(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID), deref(req.Params.After), limit)
	if err != nil {
		return nil, err
	}
	role := scopeOf(ctx).principal.Role
	return gen.GetWorkloadAudit200JSONResponse{Items: mapSlice(events, func(e *domain.AuditEvent) gen.AuditEvent { return auditOut(e, role) })}, nil
}

// GetWorkloadCheckpoints implements GET /v1/workloads/{id}/checkpoints.
func (a *api) GetWorkloadCheckpoints(ctx context.Context, req gen.GetWorkloadCheckpointsRequestObject) (gen.GetWorkloadCheckpointsResponseObject, error) {
	cs, err := a.Lifecycle.ListCheckpoints(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID))
	if err != nil {
		return nil, err
	}
	return gen.GetWorkloadCheckpoints200JSONResponse{Items: mapSlice(cs, checkpointOut)}, nil
}
