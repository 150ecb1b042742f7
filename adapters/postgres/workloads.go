package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Get implements ports.WorkloadStore.
func (w workloads) Get(
	ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	if len(ids) == 0 {
		return nil, ctx.Err()
	}
	return query(ctx, w.s.reads.pool, wholeRow.scan, "SELECT "+wholeColumns+` FROM unnest($1::text[])
    WITH ORDINALITY AS u(workload_id, n)
 JOIN `+wholeTables+` USING (workload_id) WHERE w.customer_id = $2::text ORDER BY u.n`, texts(ids), string(customer))
}

// GetAny implements ports.WorkloadStore.
func (w workloads) GetAny(ctx context.Context, ids ...domain.WorkloadID) ([]domain.Workload, error) {
	if len(ids) == 0 {
		return nil, ctx.Err()
	}
	return query(ctx, w.s.pool, wholeRow.scan, "SELECT "+wholeColumns+` FROM unnest($1::text[])
    WITH ORDINALITY AS u(workload_id, n)
 JOIN `+wholeTables+` USING (workload_id) ORDER BY u.n`, texts(ids))
}

// List implements ports.WorkloadStore.
func (w workloads) List(ctx context.Context, q ports.WorkloadQuery) (ports.WorkloadPage, error) {
	l := newListing(q)
	items, err := longRead(ctx, w.s.history, q.Customer, wholeRow.scan, l.page(q), l.args...)
	if err != nil {
		return ports.WorkloadPage{}, err
	}
	p := ports.WorkloadPage{Items: items}
	if len(items) > q.Limit {
		p.Items, p.HasMore = items[:q.Limit:q.Limit], true
	}
	if q.WithTotal {
		c := newListing(q)
		total, err := longRead(
			ctx, w.s.history, q.Customer, pgx.RowTo[int], "SELECT count(*) FROM "+wholeTables+" WHERE "+c.filter(),
			c.args...,
		)
		if err != nil {
			return ports.WorkloadPage{}, err
		}
		p.Total = total[0]
	}
	return p, nil
}

// listing builds the statement of a page. Values travel as arguments; only constants enter the
// text.
type listing struct {
	where []string
	args  []any
}

func (l *listing) arg(v any, pgType string) string {
	l.args = append(l.args, v)
	return fmt.Sprintf("$%d::%s", len(l.args), pgType)
}

func newListing(q ports.WorkloadQuery) *listing {
	l := &listing{}
	l.where = append(l.where, "w.customer_id = "+l.arg(string(q.Customer), "text"))
	if len(q.Statuses) > 0 {
		l.where = append(l.where, "w.status = ANY("+l.arg(texts(q.Statuses), "text[]")+")")
		if active(q.Statuses) {
			// Few of the customer's workloads are unfinished: start from those.
			c := l.arg(string(q.Customer), "text")
			l.where = append(l.where, `w.workload_id IN (
 SELECT workload_id FROM waiting WHERE lane_id IN (SELECT lane_id FROM lanes WHERE customer_id = `+c+`)
 UNION ALL SELECT workload_id FROM delayed WHERE lane_id IN (SELECT lane_id FROM lanes WHERE customer_id = `+c+`)
 UNION ALL SELECT workload_id FROM held WHERE customer_id = `+c+`
 UNION ALL SELECT workload_id FROM paused WHERE customer_id = `+c+`)`)
		}
	}
	if q.Type != "" {
		l.where = append(l.where, "w.workload_type = "+l.arg(q.Type, "text"))
	}
	for k, v := range q.Labels {
		l.where = append(l.where, "s.labels ->> "+l.arg(k, "text")+" = "+l.arg(v, "text"))
	}
	from, until := q.CreatedRange()
	if !from.IsZero() {
		l.where = append(l.where, "w.created_at >= "+l.arg(from, "timestamptz"))
	}
	if !until.IsZero() {
		l.where = append(l.where, "w.created_at < "+l.arg(until, "timestamptz"))
	}
	return l
}

func active(statuses []domain.Status) bool {
	for _, s := range statuses {
		if s.Final() {
			return false
		}
	}
	return true
}

func (l *listing) filter() string { return strings.Join(l.where, " AND ") }

// page completes the statement with position and order. It reads one row more than the page has,
// to see whether there are more.
func (l *listing) page(q ports.WorkloadQuery) string {
	column, pgType := "w.created_at", "timestamptz"
	switch q.OrderBy {
	case ports.OrderPriority:
		column, pgType = "w.priority", "integer"
	case ports.OrderUpdatedAt:
		column = "w.updated_at"
	case ports.OrderCreatedAt:
	}
	direction, beyond := "DESC", "<"
	if q.Ascending {
		direction, beyond = "ASC", ">"
	}
	if q.After != nil {
		var value any = q.After.Time
		if q.OrderBy == ports.OrderPriority {
			value = q.After.Priority
		}
		l.where = append(
			l.where,
			fmt.Sprintf("(%s, w.workload_id) %s (%s, %s)", column, beyond, l.arg(value, pgType),
				l.arg(string(q.After.ID), "text")),
		)
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s %s, w.workload_id %s LIMIT %s OFFSET %s", wholeColumns,
		wholeTables,
		l.filter(), column, direction, direction, l.arg(q.Limit+1, "bigint"), l.arg(q.Offset, "bigint"))
}
