package http

import (
	"context"
	"encoding/hex"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	defaultLogLines = 100
	defaultAudit    = 1000
)

// GetWorkloadLogs implements GET /v1/workloads/{id}/logs.
func (a *api) GetWorkloadLogs(
	ctx context.Context, req gen.GetWorkloadLogsRequestObject,
) (gen.GetWorkloadLogsResponseObject, error) {
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
	return gen.GetWorkloadLogs200JSONResponse{Items: mapSlice(lines, func(l *domain.LogLine) gen.LogLine {
		return logLineOut(l, role)
	})}, nil
}

func logLineOut(l *domain.LogLine, role domain.Role) gen.LogLine {
	out := gen.LogLine{
		Seq: l.Seq, Time: at(l.At), Level: l.Level, Stream: opt(l.Stream), Message: l.Message, Generation: l.Generation,
	}
	if role == domain.RoleViewer {
		maskText(&out.Message)
	}
	return out
}

// GetWorkloadAudit implements GET /v1/workloads/{id}/audit.
func (a *api) GetWorkloadAudit(
	ctx context.Context, req gen.GetWorkloadAuditRequestObject,
) (gen.GetWorkloadAuditResponseObject, error) {
	limit := defaultAudit
	if req.Params.Limit != nil {
		limit = *req.Params.Limit
	}
	customer, after := scopeOf(ctx).principal.CustomerID, deref(req.Params.After)
	events, err := a.Lifecycle.ReadAudit(ctx, customer, workloadID(req.ID), after, limit)
	if err != nil {
		return nil, err
	}
	role := scopeOf(ctx).principal.Role
	return gen.GetWorkloadAudit200JSONResponse{Items: mapSlice(events, func(e *domain.AuditEvent) gen.AuditEvent {
		return auditOut(e, role)
	})}, nil
}

func auditOut(e *domain.AuditEvent, role domain.Role) gen.AuditEvent {
	out := gen.AuditEvent{
		EventID: e.ID, EventType: string(e.Type), WorkloadID: string(e.WorkloadID),
		ActorType: gen.AuditEventActorType(e.Actor.Kind), ActorID: e.Actor.ID, CreatedAt: at(e.At),
	}
	out.Details.From = opt(gen.Status(e.From))
	out.Details.To = gen.Status(e.To)
	out.Details.Generation = e.Generation
	out.Details.WorkerID = opt(string(e.WorkerID))
	out.Details.CheckpointSequence = opt(e.CheckpointSequence)
	out.Details.Reason = opt(e.Reason)
	if role == domain.RoleViewer && e.Actor.Kind == domain.ActorWorker {
		maskText(out.Details.Reason) // what a worker gives as a reason may be the workload's own words
	}
	return out
}

// GetWorkloadCheckpoints implements GET /v1/workloads/{id}/checkpoints.
func (a *api) GetWorkloadCheckpoints(
	ctx context.Context, req gen.GetWorkloadCheckpointsRequestObject,
) (gen.GetWorkloadCheckpointsResponseObject, error) {
	cs, err := a.Lifecycle.ListCheckpoints(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID))
	if err != nil {
		return nil, err
	}
	return gen.GetWorkloadCheckpoints200JSONResponse{Items: mapSlice(cs, checkpointOut)}, nil
}

func checkpointOut(c *domain.Checkpoint) gen.Checkpoint {
	return gen.Checkpoint{
		Sequence: c.Sequence, Generation: c.Generation, SizeBytes: c.Size,
		Checksum: hex.EncodeToString(c.Checksum[:]), CreatedAt: at(c.CreatedAt),
	}
}
