package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/niyanta/niyanta/core/ports"
)

// glance is how many workloads a list examines before it looks for a faster way.
const glance = 500

// lookTimeout bounds how long a list looks for that.
const lookTimeout = 100 * time.Millisecond

// List implements ports.WorkloadStore. It finds the ids of a page first and reads their rows then.
// Ids come from an index that has the order of the list. Most pages are full after a glance at it.
// If a page is not, and a filter alone selects few workloads, those are sorted. Otherwise the index
// is read up to the limit.
func (w workloads) List(ctx context.Context, q ports.WorkloadQuery) (ports.WorkloadPage, error) {
	return selection(ctx, w.s, q, func(ctx context.Context, pool *pgxpool.Pool) (ports.WorkloadPage, error) {
		l := newLister(pool, q)
		found, err := l.find(ctx)
		if err != nil {
			return ports.WorkloadPage{}, err
		}
		return l.page(ctx, found)
	})
}

// selection runs a read of a query, on the primary if the query wants what is fresh.
func selection[R any](
	ctx context.Context, s *Store, q ports.WorkloadQuery,
	read func(ctx context.Context, pool *pgxpool.Pool) (R, error),
) (R, error) {
	if q.Fresh {
		return on(ctx, s.reads, q.Customer, read)
	}
	return history(ctx, s, q.Customer, read)
}

// lister answers one query.
type lister struct {
	pool *pgxpool.Pool
	q    ports.WorkloadQuery
	// walks reports whether the list can be read along indexes; few is the source that has few, if
	// one was found.
	walks bool
	few   source
}

func newLister(pool *pgxpool.Pool, q ports.WorkloadQuery) *lister {
	q.OrderBy = cmp.Or(q.OrderBy, ports.OrderCreatedAt)
	q.Statuses = slices.Compact(slices.Sorted(slices.Values(q.Statuses)))
	return &lister{pool: pool, q: q}
}

// place is the place of a workload in a list. An edge is the place of the last workload that was
// examined of a list that goes on.
type place struct {
	ports.Cursor
	edge bool
}

func (l *lister) scan(row pgx.CollectableRow) (p place, err error) {
	var key any = timeTarget{&p.Time}
	if l.q.OrderBy == ports.OrderPriority {
		key = &p.Priority
	}
	return p, row.Scan(textTarget[string]{(*string)(&p.ID)}, key, &p.edge)
}

// find returns the places of a page and one more, or those of a shorter page and an edge.
func (l *lister) find(ctx context.Context) ([]place, error) {
	if err := l.weigh(ctx); err != nil {
		return nil, err
	}
	if l.walks {
		found, err := l.walk(ctx, glance)
		if err != nil || len(found) == 0 || !found[len(found)-1].edge {
			return found, err
		}
	}
	if err := l.look(ctx); err != nil {
		return nil, err
	}
	switch {
	case l.few != nil:
		return l.sort(ctx)
	case !l.walks:
		return nil, ports.TooManyBegun()
	}
	return l.walk(ctx, ports.ScanLimit)
}

// weigh finds out whether the list can be read along indexes. A list by the time of change sorts
// what has begun and not finished, which may be too much.
func (l *lister) weigh(ctx context.Context) (err error) {
	l.walks = true
	if l.q.OrderBy == ports.OrderUpdatedAt && wants(&l.q, unfinished) {
		l.walks, err = l.hasFew(ctx, (*statement).begun)
	}
	return err
}

// walk examines up to scan workloads, and as many as the page skips and shows, in the order of the
// list. It adds the edge if it got there before the page was full.
func (l *lister) walk(ctx context.Context, scan int) ([]place, error) {
	s := &statement{}
	n := l.q.Limit + 1
	scan += l.q.Offset + n
	rows := s.ordered(&l.q, scan)
	full := s.arg(n, "bigint")
	sql := `WITH hits AS MATERIALIZED (
  SELECT x.workload_id, x.key FROM ` + rows.sql + " x" + rows.join + " WHERE " + rows.rest +
		" ORDER BY " + by("x.key", "x.workload_id", &l.q) + " LIMIT " + full + " OFFSET " + s.arg(l.q.Offset, "bigint") + `)
 SELECT workload_id, key, false AS edge FROM hits
 UNION ALL (SELECT x.workload_id, x.key, true FROM ` + rows.sql + " x WHERE (SELECT count(*) FROM hits) < " + full +
		" OFFSET " + s.arg(scan-1, "bigint") + ") ORDER BY edge, " + by("key", "workload_id", &l.q)
	return query(ctx, l.pool, l.scan, sql, s.args...)
}

// sort finds the page among the few workloads of the source.
func (l *lister) sort(ctx context.Context) ([]place, error) {
	s := &statement{}
	k := key(&l.q)
	sql := s.fewOf(&l.q, l.few) + "SELECT w.workload_id, " + k + ", false" + s.matching(&l.q) +
		" ORDER BY " + by(k, "w.workload_id", &l.q) +
		" LIMIT " + s.arg(l.q.Limit+1, "bigint") + " OFFSET " + s.arg(l.q.Offset, "bigint")
	return query(ctx, l.pool, l.scan, sql, s.args...)
}

// look looks for a source that has few. The index of labels reads all that a label selects before it
// returns the first. So a look takes a bounded time; a source that takes longer has not few.
func (l *lister) look(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	for _, from := range sources(&l.q) {
		few, err := l.hasFew(bounded, from)
		switch {
		case bounded.Err() != nil && ctx.Err() == nil: // it has not
		case err != nil:
			return err
		case few:
			l.few = from
			return nil
		}
	}
	return nil
}

// hasFew reports whether a source has no more than the limit.
func (l *lister) hasFew(ctx context.Context, from source) (bool, error) {
	s := &statement{}
	n, err := queryOne[int](ctx, l.pool, "SELECT count(*) FROM (SELECT FROM ("+from(s, &l.q)+") c LIMIT "+
		s.arg(ports.ScanLimit+1, "bigint")+") b", s.args...)
	return n <= ports.ScanLimit, err
}

// page reads the workloads at the places.
func (l *lister) page(ctx context.Context, found []place) (p ports.WorkloadPage, err error) {
	switch n := len(found); {
	case n > 0 && found[n-1].edge:
		p.Next = &found[n-1].Cursor
		if found = found[:n-1]; len(found) == 0 && l.q.Offset > 0 {
			return ports.WorkloadPage{}, ports.OffsetTooFar()
		}
	case n > l.q.Limit:
		found = found[:l.q.Limit]
		p.Next = &found[len(found)-1].Cursor
	}
	if len(found) == 0 {
		return p, nil
	}
	columns, tables, scan := wholeColumns, wholeTables, wholeRow.scan
	if l.q.Brief {
		columns, tables, scan = hotColumns, "workloads w", workloadTable.scan
	}
	s := &statement{}
	sql := "SELECT " + columns + " FROM unnest(" +
		s.arg(each(found, func(f place) string { return string(f.ID) }), "text[]") +
		") WITH ORDINALITY AS u(workload_id, n) JOIN " + tables + " USING (workload_id) WHERE " +
		and(s.owned(&l.q, "w.customer_id"), s.statuses(&l.q, "w.status")) + // a status may have changed since
		" ORDER BY u.n"
	p.Items, err = query(ctx, l.pool, scan, sql, s.args...)
	return p, err
}
