package http

import (
	"context"
	"encoding/json"
	"slices"
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
	if req.Params.CountSince != nil {
		return a.countSince(ctx, &req.Params, q, bound)
	}
	list, err := a.workloadPage(ctx, q, &req.Params, bound)
	return gen.ListWorkloads200JSONResponse(list), err
}

// workloadPage returns a page of a customer's workloads.
func (a *api) workloadPage(
	ctx context.Context, q ports.WorkloadQuery, in *gen.ListWorkloadsParams, bound string,
) (out gen.WorkloadList, err error) {
	if in.Cursor != nil {
		if in.Offset != nil {
			return out, domain.Invalid("offset", "cannot be combined with a cursor")
		}
		if q.After, err = a.after("cursor", *in.Cursor, bound); err != nil {
			return out, err
		}
	}
	page, err := a.Lifecycle.List(ctx, q)
	if err != nil {
		return out, err
	}
	if err := scopeOf(ctx).place.carry(payloads(page.Items)); err != nil {
		return out, err
	}
	out = workloadListOut(page.Items, scopeOf(ctx).principal.Role)
	out.Pagination = gen.Pagination{Limit: q.Limit, HasMore: page.Next != nil}
	if in.Offset != nil {
		total, err := a.Lifecycle.Count(ctx, q)
		if err != nil {
			return out, err
		}
		out.Pagination.Offset, out.Pagination.Total, out.Pagination.TotalEstimated = &q.Offset, &total.N, &total.Estimated
	}
	if out.Pagination.NextCursor, err = a.cursorAt(page.Next, bound); err != nil {
		return out, err
	}
	out.Pagination.NewestCursor, err = a.cursorAt(newest(&q, page.Items), bound)
	return out, err
}

// payloads returns how many bytes the workloads have of what may be large.
func payloads(ws []domain.Workload) (n int) {
	for i := range ws {
		w := &ws[i]
		n += len(w.Input) + len(w.Result)
		for _, tags := range []map[string]string{
			w.Labels, w.Affinity.Hard.WorkerTags, w.Affinity.Soft.WorkerTags, w.Affinity.Anti.WorkerTags,
		} {
			for k, v := range tags {
				n += len(k) + len(v)
			}
		}
	}
	return n
}

func workloadListOut(ws []domain.Workload, role domain.Role) gen.WorkloadList {
	out := gen.WorkloadList{Workloads: make([]gen.Workload, len(ws))}
	for i := range ws {
		out.Workloads[i] = workloadOut(&ws[i], role)
	}
	return out
}

// countSince answers how many workloads that match are newer than a cursor.
func (a *api) countSince(
	ctx context.Context, in *gen.ListWorkloadsParams, q ports.WorkloadQuery, bound string,
) (gen.ListWorkloadsResponseObject, error) {
	switch {
	case in.Cursor != nil || in.Offset != nil:
		return nil, domain.Invalid("count_since", "cannot be combined with cursor or offset")
	case q.OrderBy == ports.OrderPriority:
		return nil, domain.Invalid("count_since", "needs order_by=created_at or order_by=updated_at")
	}
	var err error
	if q.After, err = a.after("count_since", *in.CountSince, bound); err != nil {
		return nil, err
	}
	q.Ascending = true
	n, err := a.Lifecycle.Count(ctx, q)
	if err != nil {
		return nil, err
	}
	return gen.ListWorkloads200JSONResponse{
		Workloads: []gen.Workload{}, Pagination: gen.Pagination{Limit: q.Limit}, Newer: &n.N, NewerEstimated: &n.Estimated,
	}, nil
}

// after reads the cursor that is the parameter of the given name.
func (a *api) after(name, cursor, bound string) (*ports.Cursor, error) {
	var pos position
	if err := a.cursors.decode(cursor, &pos, bound); err != nil {
		return nil, domain.Invalid(name, "is not a cursor of this list with these filters")
	}
	return pos.cursor(), nil
}

// cursorAt encodes a place, if there is one.
func (a *api) cursorAt(at *ports.Cursor, bound string) (*string, error) {
	if at == nil {
		return nil, nil
	}
	c, err := a.cursors.encode(positionOf(at), bound)
	return &c, err
}

// newest returns the place of the newest workload of a page, nil if the order does not tell it.
func newest(q *ports.WorkloadQuery, items []domain.Workload) *ports.Cursor {
	if len(items) == 0 || q.OrderBy == ports.OrderPriority {
		return nil
	}
	w := &items[0]
	if q.Ascending {
		w = &items[len(items)-1]
	}
	at := w.CreatedAt
	if q.OrderBy == ports.OrderUpdatedAt {
		at = w.UpdatedAt
	}
	return &ports.Cursor{Time: at, ID: w.ID}
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
		if status := domain.Status(s); !slices.Contains(q.Statuses, status) {
			q.Statuses = append(q.Statuses, status)
		}
	}
	for _, l := range deref(in.Label) {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return q, "", domain.Invalid("label", "must look like key=value")
		}
		if q.Labels == nil {
			q.Labels = map[string]string{}
		}
		if have, twice := q.Labels[k]; twice && have != v {
			return q, "", domain.Invalid("label", "names %q with two values, which no workload has", domain.CutText(k, 100))
		}
		q.Labels[k] = v
		if len(q.Labels) > domain.MaxTags {
			return q, "", domain.Invalid("label", "must name at most %d keys: no workload has more labels", domain.MaxTags)
		}
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
		q.Offset = *in.Offset
	}
	return q, string(b), nil
}
