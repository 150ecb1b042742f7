package http

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// ListAdminAudit implements GET /v1/admin/audit.
func (a *api) ListAdminAudit(
	ctx context.Context, req gen.ListAdminAuditRequestObject,
) (gen.ListAdminAuditResponseObject, error) {
	limit := limitOr(req.Params.Limit, defaultPage)
	q, bound := adminAuditQuery(&req.Params)
	if c := deref(req.Params.Cursor); c != "" {
		if err := a.cursors.decode(c, &q.After, bound); err != nil {
			return nil, err
		}
	}
	q.Limit = limit + 1
	events, err := a.Auditing.List(ctx, q)
	if err != nil {
		return nil, err
	}
	events, pagination, err := paginate(a, events, eventID, limit, bound)
	if err != nil {
		return nil, err
	}
	out := mapSlice(events, adminEventOut)
	if deref(req.Params.Format) != gen.Jsonl {
		return gen.ListAdminAudit200JSONResponse{Body: gen.AdminAudit{Events: out, Pagination: pagination}}, nil
	}
	return a.adminAuditLines(out, pagination.NextCursor, q.Ascending, bound)
}

func eventID(e *domain.AdminEvent) int64 { return e.ID }

// adminAuditLines answers with one event a line. Behind the newest event stands a cursor, too, with
// which the caller continues later.
func (a *api) adminAuditLines(
	out []gen.AdminEvent, next *string, ascending bool, bound string,
) (gen.ListAdminAuditResponseObject, error) {
	if next == nil && ascending && len(out) > 0 {
		behind, err := a.cursors.encode(out[len(out)-1].EventID, bound)
		if err != nil {
			return nil, err
		}
		next = &behind
	}
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for i := range out {
		if err := encoder.Encode(&out[i]); err != nil {
			return nil, err
		}
	}
	return gen.ListAdminAudit200ApplicationXNdjsonResponse{
		Body: &lines, ContentLength: int64(lines.Len()),
		Headers: gen.ListAdminAudit200ResponseHeaders{XNextCursor: next},
	}, nil
}

// adminAuditQuery translates the parameters. Cursors are bound to bound, which holds the filters.
func adminAuditQuery(in *gen.ListAdminAuditParams) (q ports.AdminAuditQuery, bound string) {
	q = ports.AdminAuditQuery{
		KeyID: domain.KeyID(deref(in.ActorID)), Action: domain.AdminAction(deref(in.EventType)),
		TargetID: deref(in.TargetID), Since: deref(in.Since).Time, Until: deref(in.Until).Time,
		Ascending: in.Order != nil && *in.Order == gen.Asc,
	}
	if in.CustomerID != nil {
		q.Customer = new(customerID(*in.CustomerID))
	}
	bound = fmt.Sprintf("admin audit %q %q %q %v %v %v", q.KeyID, q.Action, q.TargetID, q.Since, q.Until, q.Ascending)
	if q.Customer != nil {
		bound += fmt.Sprintf(" of %q", *q.Customer)
	}
	return q, bound
}

func adminEventOut(e *domain.AdminEvent) gen.AdminEvent {
	return gen.AdminEvent{
		EventID: e.ID, EventType: gen.AdminAction(e.Action), Timestamp: at(e.At),
		ActorType: domain.ActorUser, ActorID: string(e.By.KeyID), ActorName: e.By.KeyName,
		Address: e.By.Address, ForwardedFor: opt(e.By.ForwardedFor), RequestID: e.By.RequestID,
		TargetType: gen.AdminTargetType(e.Target.Kind), TargetID: e.Target.ID, CustomerID: opt(string(e.CustomerID)),
		Before: raw(e.Before), After: raw(e.After),
	}
}
