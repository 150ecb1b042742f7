package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// customersPage is how many customers one transaction looks at.
	customersPage = 500
	// purgeBudget bounds what one transaction writes, in about as many narrow rows. One workload may
	// have thousands of lines, and megabytes of checkpoints, input and result.
	purgeBudget = 20_000
)

var (
	// archivedRow is a workload in workload_archive. It has all columns that a workload has.
	archivedRow = table[workload]{"workload_archive", join(wholeRow.columns, []column[workload]{
		instant("archived_at", func(w *workload) *time.Time { return &w.ArchivedAt }),
	})}
	archiveWorkloads = "INSERT INTO workload_archive (" + archivedRow.names("") + ") SELECT " + wholeColumns +
		", niyanta_now() FROM " + wholeTables + " WHERE w.workload_id = ANY($1::text[])"
)

// finishedWorkload is a workload that has finished, by its key in finished.
type finishedWorkload struct {
	customer domain.CustomerID
	id       domain.WorkloadID
	at       time.Time
	// cost is what its removal writes, as purgeBudget counts.
	cost int64
}

var (
	finishedKey = table[finishedWorkload]{"finished", []column[finishedWorkload]{
		text("customer_id", func(f *finishedWorkload) *domain.CustomerID { return &f.customer }),
		instant("finished_at", func(f *finishedWorkload) *time.Time { return &f.at }),
		text("workload_id", func(f *finishedWorkload) *domain.WorkloadID { return &f.id }),
	}}
	deleteFinished = "DELETE FROM finished f USING " + finishedKey.rows() +
		" WHERE f.customer_id = u.customer_id AND f.finished_at = u.finished_at AND f.workload_id = u.workload_id"
	// moveMarks notes which workloads the log lines were removed of last.
	moveMarks = "INSERT INTO log_purges AS m (customer_id, finished_at, workload_id) SELECT DISTINCT ON (customer_id) " +
		finishedKey.names("u") + " FROM " + finishedKey.rows() + ` ORDER BY customer_id, finished_at DESC, workload_id DESC
 ON CONFLICT (customer_id) DO UPDATE SET finished_at = excluded.finished_at, workload_id = excluded.workload_id`
)

// dueSQL returns a statement that reads which finished workloads are due, customer by customer. Its
// arguments are the first customer, the number of customers, the limit, and the period in days and
// microseconds of customers without their own, which stands in the column days. Of the workloads f
// of a customer c, it reads those that match the condition. cost is what the removal of d costs.
func dueSQL(days, condition, cost string) string {
	return `SELECT d.customer_id, d.finished_at, d.workload_id, ` + cost + ` FROM (
  SELECT f.customer_id, f.finished_at, f.workload_id FROM (
    SELECT c.customer_id, niyanta_now() - interval '1 microsecond' *
      CASE c.` + days + ` WHEN 0 THEN $4::bigint ELSE c.` + days + ` * 86400000000 END AS cutoff
    FROM customers c WHERE c.customer_id >= $1::text ORDER BY c.customer_id LIMIT $2::bigint) c
  LEFT JOIN log_purges m USING (customer_id)
  CROSS JOIN LATERAL (SELECT f.customer_id, f.finished_at, f.workload_id FROM finished f
    WHERE f.customer_id = c.customer_id AND f.finished_at < c.cutoff AND ` + condition + `
    ORDER BY f.finished_at, f.workload_id LIMIT $3::bigint) f
  LIMIT $3::bigint) d`
}

// linesOf counts the log lines of d.
var linesOf = fmt.Sprintf(
	"coalesce((SELECT least(p.last_seq, %d) FROM log_positions p WHERE p.workload_id = d.workload_id), 0)",
	domain.MaxLogLines)

var (
	// dueWorkloads locks what is to be archived, and leaves out what somebody else has locked.
	dueWorkloads = dueSQL("keep_workloads_days",
		"NOT EXISTS (SELECT FROM ending e "+ofLiveSession("e")+" WHERE e.workload_id = f.workload_id)",
		linesOf+` + 4 * (pg_column_size(s.input) + pg_column_size(s.config) + coalesce(pg_column_size(r.result), 0)) / 2000
 + coalesce((SELECT sum(1 + pg_column_size(c.data) / 2000) FROM checkpoints c
  WHERE c.workload_id = d.workload_id), 0)`) +
		` JOIN workloads w USING (workload_id) JOIN workload_specs s USING (workload_id)
 LEFT JOIN workload_results r USING (workload_id)
 ORDER BY d.customer_id, d.finished_at, d.workload_id FOR UPDATE OF w SKIP LOCKED`
	dueLogs = dueSQL("keep_logs_days",
		"(f.finished_at, f.workload_id) > (coalesce(m.finished_at, '-infinity'), coalesce(m.workload_id, ''))",
		linesOf) + " ORDER BY d.customer_id, d.finished_at, d.workload_id"
)

// readDue reads which finished workloads are due, by one of the statements of dueSQL. It returns as
// many as the budget allows, at least one if there are any, and where the next call goes on.
func (t *tx) readDue(ctx context.Context, sql string, age time.Duration, p ports.Purge) (
	due []finishedWorkload, out ports.Purged, err error,
) {
	t.queue(`SELECT customer_id FROM customers WHERE customer_id >= $1::text
 ORDER BY customer_id OFFSET $2::bigint LIMIT 1`, string(p.From), customersPage).Query(func(rows pgx.Rows) error {
		next, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if len(next) > 0 {
			out.More, out.Next = true, domain.CustomerID(next[0])
		}
		return err
	})
	t.queue(sql, string(p.From), customersPage, p.Limit, age.Microseconds()).Query(func(rows pgx.Rows) (err error) {
		due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (f finishedWorkload, err error) {
			return f, row.Scan(finishedKey.targets(&f, &f.cost)...)
		})
		return err
	})
	if err := t.flush(ctx); err != nil {
		return nil, out, err
	}
	n, left := 0, int64(purgeBudget)
	for n < len(due) && (n == 0 || left > 0) {
		left -= 1 + due[n].cost
		n++
	}
	if n < len(due) || n == p.Limit {
		out.More, out.Next = true, due[n-1].customer // it may have more
	}
	return due[:n], out, nil
}

// partsOfWorkload are the tables with the parts of a finished workload, besides its row in finished.
var partsOfWorkload = []string{"workload_logs", "log_positions", "checkpoints", "workload_results", "workload_specs"}

// idsOf returns the ids of finished workloads.
func idsOf(fs []finishedWorkload) []string {
	return each(fs, func(f finishedWorkload) string { return string(f.id) })
}

// purgeWorkloads moves finished workloads to the archive.
func purgeWorkloads(ctx context.Context, t *tx, p ports.Purge) (ports.Purged, error) {
	due, out, err := t.readDue(ctx, dueWorkloads, domain.CustomerRetention{}.Workloads(p.Age), p)
	if err != nil || len(due) == 0 {
		return out, err
	}
	ids := idsOf(due)
	all := func(tag pgconn.CommandTag) error {
		if int(tag.RowsAffected()) != len(due) {
			return fmt.Errorf("%d of %d workloads were archived", tag.RowsAffected(), len(due))
		}
		return nil
	}
	t.queue(archiveWorkloads, ids).Exec(all)
	for _, table := range partsOfWorkload {
		t.queue("DELETE FROM "+table+" WHERE workload_id = ANY($1::text[])", ids)
	}
	t.queue(deleteFinished, finishedKey.args(pointers(due))...).Exec(all)
	t.queue("DELETE FROM workloads WHERE workload_id = ANY($1::text[])", ids).Exec(all)
	out.Count = len(due)
	return out, t.flush(ctx)
}

// purgeLogs removes the log lines of finished workloads. It goes on behind the mark of each
// customer, so that it never looks at a workload twice.
func purgeLogs(ctx context.Context, t *tx, p ports.Purge) (ports.Purged, error) {
	due, out, err := t.readDue(ctx, dueLogs, p.Age, p)
	if err != nil || len(due) == 0 {
		return out, err
	}
	ids := idsOf(due)
	t.queue("DELETE FROM workload_logs WHERE workload_id = ANY($1::text[])", ids).Exec(func(tag pgconn.CommandTag) error {
		out.Count = int(tag.RowsAffected())
		return nil
	})
	t.queue("DELETE FROM log_positions WHERE workload_id = ANY($1::text[])", ids)
	t.queue(moveMarks, finishedKey.args(pointers(due))...)
	err = t.flush(ctx)
	return out, err
}

// purgeArchive drops the oldest month of the archive whose time is over.
func purgeArchive(ctx context.Context, t *tx, p ports.Purge) (ports.Purged, error) {
	return purgeMonth(ctx, t, "workload_archive", "archived_at", p)
}
