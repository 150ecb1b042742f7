package memory

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/niyanta/niyanta/core/ports"
)

// List implements ports.WorkloadStore.
func (w workloads) List(ctx context.Context, q ports.WorkloadQuery) (ports.WorkloadPage, error) {
	if err := ctx.Err(); err != nil {
		return ports.WorkloadPage{}, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	t := w.s.customers[q.Customer]
	if t == nil {
		return ports.WorkloadPage{}, nil
	}
	return page(t.ordered(q), q), nil
}

// ordered walks the customer's workloads that match the filters, in the order asked for. By creation it walks an
// index and stops when the caller does; other orders are sorted first.
func (t *tenant) ordered(q ports.WorkloadQuery) func(yield func(*record) bool) {
	if q.OrderBy == "" || q.OrderBy == ports.OrderCreatedAt {
		walk := t.byCreated.Reverse
		if q.Ascending {
			walk = t.byCreated.Scan
		}
		return func(yield func(*record) bool) {
			walk(func(r *record) bool { return !matches(r, q) || yield(r) })
		}
	}
	var all []*record
	t.byCreated.Scan(func(r *record) bool {
		if matches(r, q) {
			all = append(all, r)
		}
		return true
	})
	slices.SortFunc(all, func(a, b *record) int { return compare(q, position(a, q.OrderBy), position(b, q.OrderBy)) })
	return slices.Values(all)
}

func page(seq func(yield func(*record) bool), q ports.WorkloadQuery) ports.WorkloadPage {
	var p ports.WorkloadPage
	skipped := 0
	for r := range seq {
		p.Total++
		switch {
		case q.After != nil && compare(q, position(r, q.OrderBy), *q.After) <= 0:
		case skipped < q.Offset:
			skipped++
		case len(p.Items) < q.Limit:
			p.Items = append(p.Items, r.Workload.Clone())
		default:
			p.HasMore = true
		}
		if p.HasMore && !q.WithTotal {
			break
		}
	}
	if !q.WithTotal {
		p.Total = 0
	}
	return p
}

// position is the cursor of a record in the order asked for.
func position(r *record, by ports.OrderBy) ports.Cursor {
	c := ports.Cursor{ID: r.ID}
	switch by {
	case ports.OrderPriority:
		c.Priority = r.Priority
	case ports.OrderUpdatedAt:
		c.Time = r.UpdatedAt
	default:
		c.Time = r.CreatedAt
	}
	return c
}

// compare orders two positions of one query: by the sort value, then by id, reversed unless ascending.
func compare(q ports.WorkloadQuery, a, b ports.Cursor) int {
	d := cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Priority, b.Priority), strings.Compare(string(a.ID), string(b.ID)))
	if q.Ascending {
		return d
	}
	return -d
}

func matches(r *record, q ports.WorkloadQuery) bool {
	if len(q.Statuses) > 0 && !slices.Contains(q.Statuses, r.Status) || q.Type != "" && q.Type != r.Type {
		return false
	}
	for k, v := range q.Labels {
		if got, ok := r.Labels[k]; !ok || got != v {
			return false
		}
	}
	return (q.CreatedAfter.IsZero() || r.CreatedAt.After(q.CreatedAfter)) &&
		(q.CreatedBefore.IsZero() || r.CreatedAt.Before(q.CreatedBefore))
}
