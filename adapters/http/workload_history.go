package http

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"

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
	limit := limitOr(req.Params.Limit, defaultLogLines)
	q := ports.LogQuery{
		Customer: scopeOf(ctx).principal.CustomerID, Workload: workloadID(req.ID), Limit: limit + 1,
		AfterSeq: req.Params.After, Since: deref(req.Params.Since).Time, Until: deref(req.Params.Until).Time,
	}
	lines, err := a.Lifecycle.ReadLogs(ctx, q)
	if err != nil {
		return nil, err
	}
	more := len(lines) > limit
	switch {
	case more && q.Newest():
		lines = lines[1:]
	case more:
		lines = lines[:limit]
	}
	role := scopeOf(ctx).principal.Role
	return gen.GetWorkloadLogs200JSONResponse{
		WorkloadID: string(q.Workload), HasMore: more,
		Logs: mapSlice(lines, func(l *domain.LogLine) gen.LogLine { return logLineOut(l, role) }),
	}, nil
}

func logLineOut(l *domain.LogLine, role domain.Role) gen.LogLine {
	out := gen.LogLine{
		Seq: l.Seq, Timestamp: at(l.At), Level: gen.LogLineLevel(l.Level), Message: l.Message,
		Stream: opt(l.Stream), Details: json.RawMessage("{}"), Generation: l.Generation,
	}
	switch {
	case role == domain.RoleViewer:
		maskText(&out.Message)
	case l.Details != "":
		out.Details = raw(l.Details)
	}
	return out
}

// GetWorkloadAudit implements GET /v1/workloads/{id}/audit.
func (a *api) GetWorkloadAudit(
	ctx context.Context, req gen.GetWorkloadAuditRequestObject,
) (gen.GetWorkloadAuditResponseObject, error) {
	limit, after := limitOr(req.Params.Limit, defaultAudit), int64(0)
	p, id := scopeOf(ctx).principal, workloadID(req.ID)
	bound := "audit " + string(p.CustomerID) + " " + string(id)
	if c := deref(req.Params.Cursor); c != "" {
		if err := a.cursors.decode(c, &after, bound); err != nil {
			return nil, err
		}
	}
	events, err := a.Lifecycle.ReadAudit(ctx, p.CustomerID, id, after, limit+1)
	if err != nil {
		return nil, err
	}
	events, pagination, err := paginate(a, events, func(e *domain.AuditEvent) int64 { return e.ID }, limit, bound)
	if err != nil {
		return nil, err
	}
	return gen.GetWorkloadAudit200JSONResponse{
		Pagination: pagination,
		Events:     mapSlice(events, func(e *domain.AuditEvent) gen.AuditEvent { return auditOut(e, p.Role) }),
	}, nil
}

func auditOut(e *domain.AuditEvent, role domain.Role) gen.AuditEvent {
	out := gen.AuditEvent{
		EventID: e.ID, EventType: e.Type, WorkloadID: string(e.WorkloadID),
		ActorType: e.Actor.Kind, ActorID: e.Actor.ID, Timestamp: at(e.At),
	}
	out.Details.From = opt(gen.Status(e.From))
	out.Details.To = gen.Status(e.To)
	out.Details.Generation = e.Generation
	out.Details.WorkerID = opt(string(e.WorkerID))
	out.Details.CheckpointSequence = opt(e.CheckpointSequence)
	if e.From == domain.StatusRunning || e.To == domain.StatusRunning { // of a run
		out.Details.ProgressPercent = &e.ProgressPercent
	}
	if e.Used != (domain.Consumption{}) {
		out.Details.CPUSeconds = new(float64(e.Used.CPUMS) / 1000)
		out.Details.PeakMemoryMb = &e.Used.PeakMemoryMB
	}
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
	return gen.GetWorkloadCheckpoints200JSONResponse{
		Checkpoints: mapSlice(cs, checkpointOut), Pagination: gen.Pagination{Limit: domain.CheckpointsKept},
	}, nil
}

// GetWorkloadCheckpoint implements GET /v1/workloads/{id}/checkpoints/{sequence}.
func (a *api) GetWorkloadCheckpoint(
	ctx context.Context, req gen.GetWorkloadCheckpointRequestObject,
) (gen.GetWorkloadCheckpointResponseObject, error) {
	s, withData := scopeOf(ctx), deref(req.Params.Data)
	if withData && s.principal.Role == domain.RoleViewer {
		return nil, domain.NewError(domain.CodeForbidden, "role viewer may not read the bytes of a checkpoint")
	}
	c, err := a.Checkpoints.Get(ctx, s.principal.CustomerID, workloadID(req.ID), req.Sequence)
	switch {
	case err != nil:
		return nil, err
	case !withData:
		return gen.GetWorkloadCheckpoint200JSONResponse(checkpointOut(&c)), nil
	}
	if s.principal.Admin != nil { // that it was asked for is recorded, but not that it was for the bytes
		target := domain.Target{Kind: domain.TargetWorkload, ID: string(c.WorkloadID)}
		read := s.principal.Admin.Asked(domain.ActionWorkloadRead, target, s.principal.CustomerID,
			s.op.route.Operation.OperationID+"?data=true")
		if err := a.Auditing.RecordRead(ctx, read); err != nil {
			return nil, err
		}
	}
	if s.method == http.MethodHead { // or a value of GiB would be read for nobody
		return streamed{ports.CheckpointData{Sequence: c.Sequence, Size: int64(c.Size)}}, nil
	}
	if c.Blob == "" {
		// The stored bytes and the decoded ones are in memory at the same time.
		if err := s.place.widen(1 + 2*c.Size/maxBody); err != nil {
			return nil, err
		}
	}
	data, err := a.Checkpoints.Data(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case data.Body != nil:
		return streamed{data}, nil
	}
	return gen.GetWorkloadCheckpoint200ApplicationOctetStreamResponse{
		Body: bytes.NewReader(data.Data), ContentLength: int64(len(data.Data)),
	}, nil
}

func checkpointOut(c *domain.Checkpoint) gen.Checkpoint {
	return gen.Checkpoint{
		Sequence: c.Sequence, Generation: c.Generation, SizeBytes: c.Size,
		Checksum: hex.EncodeToString(c.Checksum[:]), CreatedAt: at(c.CreatedAt),
	}
}
