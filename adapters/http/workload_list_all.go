package http

import (
	"context"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// ListAllWorkloads implements GET /v1/admin/workloads.
func (a *api) ListAllWorkloads(
	ctx context.Context, req gen.ListAllWorkloadsRequestObject,
) (gen.ListAllWorkloadsResponseObject, error) {
	in := &req.Params
	of := customerID(deref(in.CustomerID))
	filter := &gen.ListWorkloadsParams{
		Status: in.Status, WorkloadType: in.WorkloadType, Label: in.Label, CreatedAfter: in.CreatedAfter,
		CreatedBefore: in.CreatedBefore, OrderBy: (*gen.ListWorkloadsParamsOrderBy)(in.OrderBy), Order: in.Order,
		Limit: in.Limit, Offset: in.Offset, Cursor: in.Cursor,
	}
	q, bound, err := workloadQuery(of, filter)
	if err != nil {
		return nil, err
	}
	read := admin(ctx).Asked(domain.ActionWorkloadListed, domain.Target{Kind: domain.TargetCustomer, ID: string(of)},
		of, "listAllWorkloads")
	if err := a.Auditing.RecordRead(ctx, read); err != nil {
		return nil, err
	}
	if in.CustomerID != nil {
		if _, err := a.Tenancy.GetCustomer(ctx, of); err != nil {
			return nil, err
		}
		list, err := a.workloadPage(ctx, q, filter, bound)
		return gen.ListAllWorkloads200JSONResponse(list), err
	}
	if in.Offset != nil {
		return nil, domain.Invalid("offset", "needs customer_id; use a cursor")
	}
	list, err := a.workloadPageOfAll(ctx, q, in.Cursor, "everybody "+bound)
	return gen.ListAllWorkloads200JSONResponse(list), err
}

// everybodyPosition is the content of a cursor of the list of all customers' workloads.
type everybodyPosition struct {
	Customer string    `json:"c"`
	After    *position `json:"a,omitempty"`
}

func (a *api) workloadPageOfAll(
	ctx context.Context, q ports.WorkloadQuery, cursor *string, bound string,
) (gen.WorkloadList, error) {
	var from lifecycle.EverybodyCursor
	if c := deref(cursor); c != "" {
		var pos everybodyPosition
		if err := a.cursors.decode(c, &pos, bound); err != nil {
			return gen.WorkloadList{}, err
		}
		from.Customer = domain.CustomerID(pos.Customer)
		if pos.After != nil {
			from.After = pos.After.cursor()
		}
	}
	page, err := a.Lifecycle.ListAll(ctx, q, from)
	if err != nil {
		return gen.WorkloadList{}, err
	}
	if err := scopeOf(ctx).place.carry(payloads(page.Items)); err != nil {
		return gen.WorkloadList{}, err
	}
	out := workloadListOut(page.Items, domain.RoleAdmin)
	out.Pagination = gen.Pagination{Limit: q.Limit, HasMore: page.Next != nil}
	if page.Next != nil {
		pos := everybodyPosition{Customer: string(page.Next.Customer)}
		if after := page.Next.After; after != nil {
			pos.After = new(positionOf(after))
		}
		next, err := a.cursors.encode(pos, bound)
		if err != nil {
			return gen.WorkloadList{}, err
		}
		out.Pagination.NextCursor = &next
	}
	return out, nil
}
