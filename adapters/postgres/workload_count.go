package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// hoursLimit bounds how many rows of the counts an estimate reads.
const hoursLimit = 20_000

// tally is how many of the workloads that were examined match.
type tally struct{ matched, examined int }

func scanTally(row pgx.CollectableRow) (t tally, err error) {
	return t, row.Scan(&t.matched, &t.examined)
}

// Count implements ports.WorkloadStore. Beyond the limit it estimates: of the workloads that were
// not examined as many match in proportion.
func (w workloads) Count(ctx context.Context, q ports.WorkloadQuery) (ports.WorkloadCount, error) {
	return selection(ctx, w.s, q, func(ctx context.Context, pool *pgxpool.Pool) (ports.WorkloadCount, error) {
		return newLister(pool, q).count(ctx)
	})
}

func (l *lister) count(ctx context.Context) (c ports.WorkloadCount, err error) {
	if err := l.weigh(ctx); err != nil {
		return c, err
	}
	var t tally
	if l.walks {
		s := &statement{}
		rows := s.ordered(&l.q, ports.ScanLimit+1)
		sql := "SELECT count(*) FILTER (WHERE " + rows.rest + "), count(*) FROM " + rows.sql + " x" + rows.join
		found, err := query(ctx, l.pool, scanTally, sql, s.args...)
		if err != nil {
			return c, err
		}
		if t = found[0]; t.examined <= ports.ScanLimit {
			return ports.WorkloadCount{N: t.matched}, nil
		}
	}
	if err := l.look(ctx); err != nil {
		return c, err
	}
	switch {
	case l.few != nil:
		s := &statement{}
		c.N, err = queryOne[int](ctx, l.pool, s.fewOf(&l.q, l.few)+"SELECT count(*)"+s.matching(&l.q), s.args...)
		return c, err
	case !l.walks:
		return c, ports.TooManyBegun()
	}
	all, err := l.population(ctx)
	return ports.WorkloadCount{N: t.matched + t.matched*max(all-t.examined, 0)/t.examined, Estimated: true}, err
}

// population estimates from the counts how many workloads there are to be examined.
func (l *lister) population(ctx context.Context) (int, error) {
	q, s := &l.q, &statement{}
	owned := s.owned(q, "customer_id")
	from, until := q.CreatedRange()
	if a := q.After; a != nil && q.OrderBy != ports.OrderPriority {
		switch {
		case q.Ascending && a.Time.After(from):
			from = a.Time
		case !q.Ascending && (until.IsZero() || a.Time.Before(until)):
			until = a.Time
		}
	}
	first := "(SELECT created_at FROM workloads WHERE " + owned + " ORDER BY created_at, workload_id LIMIT 1)"
	switch {
	case !from.IsZero():
		first = s.arg(from, "timestamptz")
	case q.OrderBy == ports.OrderUpdatedAt:
		first = "niyanta_now() - interval '1 day'"
	}
	where := and(owned, "hour >= date_trunc('hour', "+first+", 'UTC')")
	if !until.IsZero() {
		where += " AND hour < " + s.arg(until, "timestamptz")
	}
	if q.OrderBy == ports.OrderCreatedAt && q.Type != "" {
		where += " AND " + s.typed(q, "workload_type")
	}
	const counted = "SELECT submitted, completed, failed, cancelled FROM "
	sql := `SELECT coalesce(sum(submitted), 0)::bigint, coalesce(sum(completed), 0)::bigint,
  coalesce(sum(failed), 0)::bigint, coalesce(sum(cancelled), 0)::bigint
 FROM ((` + counted + "count_hours WHERE " + where + " ORDER BY hour DESC LIMIT " + s.arg(hoursLimit, "bigint") + `)
  UNION ALL ` + counted + "(SELECT *, minute AS hour FROM count_deltas) d WHERE " + where + ") c"
	found, err := query(ctx, l.pool, func(row pgx.CollectableRow) (d domain.Delta, err error) {
		return d, row.Scan(&d.Submitted, &d.Completed, &d.Failed, &d.Cancelled)
	}, sql, s.args...)
	if err != nil {
		return 0, err
	}
	d := found[0]
	switch {
	case q.OrderBy == ports.OrderUpdatedAt:
		return d.Submitted + d.Completed + d.Failed + d.Cancelled, nil
	case q.OrderBy == ports.OrderPriority || wants(q, unfinished):
		return d.Submitted, nil
	}
	n := 0
	for status, of := range map[domain.Status]int{
		domain.StatusCompleted: d.Completed, domain.StatusFailed: d.Failed, domain.StatusCancelled: d.Cancelled,
	} {
		if slices.Contains(q.Statuses, status) {
			n += of
		}
	}
	return n, nil
}
