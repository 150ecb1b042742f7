package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

var (
	selectArchived = "SELECT " + archivedRow.names("a") + ` FROM unnest($1::text[]) WITH ORDINALITY AS u(workload_id, n)
 JOIN workload_archive a USING (workload_id) WHERE a.customer_id = $2::text
 AND a.archived_at >= niyanta_now() - $3::bigint * interval '1 microsecond' ORDER BY u.n`
	selectOwners = `SELECT w.workload_id, w.customer_id FROM workloads w WHERE w.workload_id = ANY($1::text[])
 UNION ALL SELECT a.workload_id, a.customer_id FROM workload_archive a WHERE a.workload_id = ANY($1::text[])
 AND a.archived_at >= niyanta_now() - $2::bigint * interval '1 microsecond'`
	selectArchivedIn = "SELECT " + archivedRow.names("a") + ` FROM workload_archive a
 WHERE a.archived_at >= $1::timestamptz AND a.archived_at < $2::timestamptz
 AND (a.customer_id, a.workload_id) > ($3::text, $4::text)
 AND EXISTS (SELECT FROM customers c WHERE c.customer_id = a.customer_id AND c.deleting_at IS NULL)
 ORDER BY a.customer_id, a.workload_id LIMIT $5::bigint`
)

// Archived implements ports.RetentionStore.
func (r retention) Archived(
	ctx context.Context, customer domain.CustomerID, age time.Duration, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	if len(ids) == 0 {
		return nil, ctx.Err()
	}
	return query(ctx, r.s.reads.pool, archivedRow.scan, selectArchived, texts(ids), string(customer), age.Microseconds())
}

// Owners implements ports.RetentionStore.
func (r retention) Owners(
	ctx context.Context, age time.Duration, ids ...domain.WorkloadID,
) (map[domain.WorkloadID]domain.CustomerID, error) {
	owners := make(map[domain.WorkloadID]domain.CustomerID, len(ids))
	_, err := query(ctx, r.s.pool, func(row pgx.CollectableRow) (none struct{}, err error) {
		var id domain.WorkloadID
		var owner domain.CustomerID
		err = row.Scan(&id, &owner)
		owners[id] = owner
		return none, err
	}, selectOwners, texts(ids), age.Microseconds())
	return owners, err
}

// selectArchiveMonths reads the months that have a partition, and those of what stands in the default
// partition, each with the time.
const selectArchiveMonths = `SELECT to_date(right(c.relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC', niyanta_now()
 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'workload_archive'::regclass AND c.relname ~ '_\d{4}_\d{2}$'
 UNION SELECT date_trunc('month', archived_at, 'UTC'), niyanta_now() FROM workload_archive_default ORDER BY 1`

// ArchivedMonth implements ports.RetentionStore.
func (r retention) ArchivedMonth(ctx context.Context, after time.Time) (month time.Time, found bool, err error) {
	var now time.Time
	months, err := query(ctx, r.s.pool, func(row pgx.CollectableRow) (month time.Time, err error) {
		err = row.Scan(&month, &now)
		return month.UTC(), err
	}, selectArchiveMonths)
	if err != nil {
		return time.Time{}, false, err
	}
	for _, m := range months {
		if !m.After(after) {
			continue
		}
		end := m.AddDate(0, 1, 0)
		some, err := queryOne[bool](ctx, r.s.pool, `SELECT EXISTS (SELECT FROM workload_archive
 WHERE archived_at >= $1::timestamptz AND archived_at < $2::timestamptz)`, m, end)
		if err != nil {
			return time.Time{}, false, err
		}
		if some {
			return m, !end.Add(domain.ArchiveMargin).After(now), nil
		}
	}
	return time.Time{}, false, nil
}

// ArchivedIn implements ports.RetentionStore.
func (r retention) ArchivedIn(
	ctx context.Context, month time.Time, after ports.ArchivePlace, limit int,
) ([]domain.Workload, error) {
	return query(ctx, r.s.pool, archivedRow.scan, selectArchivedIn, month, month.AddDate(0, 1, 0),
		string(after.Customer), string(after.Workload), limit)
}
