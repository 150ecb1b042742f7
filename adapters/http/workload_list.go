package http

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// maxOffset bounds how many workloads a page may skip: a store reads what it skips.
const maxOffset = 10_000

// ListWorkloads implements GET /v1/workloads.
func (a *api) ListWorkloads(
	ctx context.Context, req gen.ListWorkloadsRequestObject,
) (gen.ListWorkloadsResponseObject, error) {
	p := scopeOf(ctx).principal
	q, bound, err := workloadQuery(p.CustomerID, &req.Params)
	if err != nil {
		return nil, err
	}
	if c := deref(req.Params.Cursor); c != "" {
		if req.Params.Offset != nil {
			return nil, domain.Invalid("offset", "cannot be combined with a cursor")
		}
		var pos position
		if err := a.cursors.decode(c, &pos, bound); err != nil {
			return nil, err
		}
		q.After = pos.cursor()
	}
	page, err := a.Lifecycle.List(ctx, q)
	if err != nil {
		return nil, err
	}
	out := gen.WorkloadList{Workloads: make([]gen.Workload, len(page.Items))}
	for i := range page.Items {
		out.Workloads[i] = workloadOut(&page.Items[i], p.Role)
	}
	out.Pagination = gen.Pagination{Limit: q.Limit, HasMore: page.Next != nil}
	if q.WithTotal {
		out.Pagination.Offset, out.Pagination.Total = &q.Offset, &page.Total
		out.Pagination.TotalEstimated = &page.TotalEstimated
	}
	if page.Next != nil {
		next, err := a.cursors.encode(positionOf(page.Next), bound)
		if err != nil {
			return nil, err
		}
		out.Pagination.NextCursor = &next
	}
	return gen.ListWorkloads200JSONResponse(out), nil
}

// position is the content of a cursor of the workload list.
type position struct {
	Time     time.Time `json:"t,omitzero"`
	Priority int       `json:"p,omitempty"`
	ID       string    `json:"i"`
}

func positionOf(c *ports.Cursor) position { return position{c.Time, c.Priority, string(c.ID)} }

func (p position) cursor() *ports.Cursor {
	return &ports.Cursor{Time: p.Time, Priority: p.Priority, ID: domain.WorkloadID(p.ID)}
}

// workloadQuery translates the parameters of the list. Cursors are bound to bound, which holds the
// customer and the filters.
func workloadQuery(
	customer domain.CustomerID, in *gen.ListWorkloadsParams,
) (q ports.WorkloadQuery, bound string, err error) {
	q = ports.WorkloadQuery{
		Customer: customer, Type: deref(in.WorkloadType),
		CreatedAfter: deref(in.CreatedAfter).Time, CreatedBefore: deref(in.CreatedBefore).Time,
		OrderBy: ports.OrderCreatedAt, Limit: defaultPage,
	}
	for _, s := range deref(in.Status) {
		q.Statuses = append(q.Statuses, domain.Status(s))
	}
	for _, l := range deref(in.Label) {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return q, "", domain.Invalid("label", "must look like key=value")
		}
		if q.Labels == nil {
			q.Labels = map[string]string{}
		}
		q.Labels[k] = v
	}
	if in.OrderBy != nil {
		q.OrderBy = ports.OrderBy(*in.OrderBy)
	}
	q.Ascending = in.Order != nil && *in.Order == gen.Asc
	if in.Limit != nil {
		q.Limit = *in.Limit
	}
	filter := q
	filter.Limit = 0
	b, err := json.Marshal(filter)
	if err != nil {
		return q, "", err
	}
	if in.Offset != nil {
		if *in.Offset > maxOffset {
			return q, "", domain.Invalid("offset", "must be at most %d; use a cursor to go further", maxOffset)
		}
		q.Offset, q.WithTotal = *in.Offset, true
	}
	return q, string(b), nil
}
