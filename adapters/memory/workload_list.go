package memory

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// chunk is how many workloads a list looks at before it releases the store for others.
const chunk = 1000

// List implements ports.WorkloadStore. However much the customer has, nobody else waits for more
// than a chunk of it.
func (w workloads) List(ctx context.Context, q ports.WorkloadQuery) (ports.WorkloadPage, error) {
	if q.OrderBy == "" || q.OrderBy == ports.OrderCreatedAt {
		p := pager{q: q}
		err := w.walk(ctx, q, func(r *record) bool { return p.add(position(r, q.OrderBy), r) })
		return p.page, err
	}
	// Other orders are sorted first, by the values that the records had when they were visited.
	type place struct {
		ports.Cursor
		r *record
	}
	var all []place
	err := w.walk(ctx, q, func(r *record) bool {
		all = append(all, place{position(r, q.OrderBy), r})
		return true
	})
	if err != nil {
		return ports.WorkloadPage{}, err
	}
	slices.SortFunc(all, func(a, b place) int { return compare(q, a.Cursor, b.Cursor) })
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	p := pager{q: q}
	for i := range all {
		if !p.add(all[i].Cursor, all[i].r) {
			break
		}
	}
	return p.page, nil
}

// Count implements ports.WorkloadStore. It is always exact.
func (w workloads) Count(ctx context.Context, q ports.WorkloadQuery) (c ports.WorkloadCount, err error) {
	err = w.walk(ctx, q, func(r *record) bool {
		if q.After == nil || compare(q, position(r, q.OrderBy), *q.After) > 0 {
			c.N++
		}
		return true
	})
	return c, err
}

// walk calls visit for the customer's workloads that match the filters, in the order of their
// creation or its reverse, until visit returns false. The store is locked during visit.
func (w workloads) walk(ctx context.Context, q ports.WorkloadQuery, visit func(*record) bool) error {
	var last *record
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		next, more := w.walkChunk(q, last, visit)
		if !more {
			return nil
		}
		last = next
	}
}

// walkChunk visits up to a chunk of workloads after last. It returns the last one visited, and
// reports whether there are more.
func (w workloads) walkChunk(q ports.WorkloadQuery, last *record, visit func(*record) bool) (at *record, more bool) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	t := w.s.customers[q.Customer]
	if t == nil {
		return nil, false
	}
	n, now := 0, w.s.now()
	step := func(r *record) bool {
		if r == last {
			return true
		}
		if n++; n > chunk {
			more = true
			return false
		}
		at = r
		return !matches(r, q, now) || visit(r)
	}
	switch {
	case q.Ascending && last == nil:
		t.byCreated.Scan(step)
	case q.Ascending:
		t.byCreated.Ascend(last, step)
	case last == nil:
		t.byCreated.Reverse(step)
	default:
		t.byCreated.Descend(last, step)
	}
	return at, more
}

// pager collects a page from workloads that are added in order.
type pager struct {
	q       ports.WorkloadQuery
	page    ports.WorkloadPage
	skipped int
	last    ports.Cursor // of the page
}

// add takes the next workload and reports whether the page needs more.
func (p *pager) add(at ports.Cursor, r *record) bool {
	switch {
	case p.q.After != nil && compare(p.q, at, *p.q.After) <= 0:
	case p.skipped < p.q.Offset:
		p.skipped++
	case len(p.page.Items) < p.q.Limit:
		p.page.Items, p.last = append(p.page.Items, p.item(r)), at
	default:
		p.page.Next = &p.last
	}
	return p.page.Next == nil
}

// item returns a copy of a workload, as far as the query wants it.
func (p *pager) item(r *record) domain.Workload {
	if p.q.Brief {
		return r.Workload.Brief().Clone()
	}
	return r.Workload.Clone()
}

// position returns the cursor of a record in the requested order.
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

// compare orders two positions of one query: by the sort value, then by id, reversed unless the
// query is ascending.
func compare(q ports.WorkloadQuery, a, b ports.Cursor) int {
	d := cmp.Or(
		a.Time.Compare(b.Time), cmp.Compare(a.Priority, b.Priority), strings.Compare(string(a.ID), string(b.ID)),
	)
	if q.Ascending {
		return d
	}
	return -d
}

func matches(r *record, q ports.WorkloadQuery, now time.Time) bool {
	if q.OrderBy == ports.OrderUpdatedAt && r.UpdatedAt.Before(now.Add(-ports.UpdatedWindow)) {
		return false
	}
	if len(q.Statuses) > 0 && !slices.Contains(q.Statuses, r.Status) || q.Type != "" && q.Type != r.Type {
		return false
	}
	for k, v := range q.Labels {
		if got, ok := r.Labels[k]; !ok || got != v {
			return false
		}
	}
	from, until := q.CreatedRange()
	return !r.CreatedAt.Before(from) && (until.IsZero() || r.CreatedAt.Before(until))
}
