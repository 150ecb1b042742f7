package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type retention struct{ s *Store }

// Purge implements ports.RetentionStore. The epoch is checked behind the work, so that the leader's
// lease is locked for a moment only.
func (r retention) Purge(ctx context.Context, epoch int64, p ports.Purge) (ports.Purged, error) {
	purge := purgeRows
	switch p.What {
	case domain.KeptWorkloads:
		purge = purgeWorkloads
	case domain.KeptLogs:
		purge = purgeLogs
	case domain.KeptArchive:
		purge = purgeArchive
	case domain.KeptAudit:
		purge = purgeAudit
	case domain.KeptWorkers:
		purge = purgeWorkers
	default:
	}
	return inTx(ctx, r.s, r.s.pool, func(ctx context.Context, t *tx) (ports.Purged, error) {
		purged, err := purge(ctx, t, p)
		if err != nil {
			return ports.Purged{}, err
		}
		t.queueEpoch(epoch, false)
		if err := t.read(ctx); err != nil {
			return ports.Purged{}, err
		}
		return purged, t.commit(ctx)
	})
}

// removal is a statement that removes rows of a table. Its first argument is the limit. If the rows
// have an age, the second is the age.
type removal struct {
	sql  string
	aged bool
}

// old is the condition that a time is longer ago than the age, in microseconds.
func old(column string) string {
	return column + " < niyanta_now() - $2::bigint * interval '1 microsecond'"
}

// deleteSome returns the statement that deletes rows of a table that match a condition. It passes
// over rows that somebody else has locked. The alias of the table in the condition is x.
func deleteSome(table, condition string) string {
	return "DELETE FROM " + table + " WHERE ctid = ANY(ARRAY(SELECT x.ctid FROM " + table + " x WHERE " + condition +
		" LIMIT $1::bigint FOR UPDATE SKIP LOCKED))"
}

// removals are what removes rows.
var removals = map[domain.Kept][]removal{
	domain.KeptAdminAudit: {
		{deleteSome("admin_audit", old("x.at")+" ORDER BY x.at"), true},
	},
	domain.KeptIdempotencyKeys: {
		{deleteSome("idempotency_keys", old("x.created_at")), true},
		{deleteSome("answers", old("x.created_at")), true},
	},
	domain.KeptTickets: {{deleteSome("tickets", old("x.created_at")), true}},
	domain.KeptStatistics: {
		{deleteSome("count_hours", old("x.hour")), true},
		{deleteSome("count_totals", "x.queued = 0 AND x.running = 0 AND x.paused = 0"), false},
	},
	domain.KeptSessions: {
		{deleteSome("ended_sessions",
			old("x.ended_at")+" AND NOT EXISTS (SELECT FROM held h WHERE h.session_id = x.session_id)"), true},
		{deleteSome("death_certificates", old("x.certified_at")), true},
	},
	domain.KeptLanes: {
		{deleteSome("ending", `NOT EXISTS (SELECT FROM worker_leases l
 WHERE l.worker_id = x.worker_id AND l.session_id = x.session_id AND l.live)`), false},
		{deleteLanes, true},
		{deleteSome("demand_hours", "x.hour < "+mixSince), false},
		{deleteSome("count_minutes", "x.minute < "+seriesSince), false},
	},
}

// remove queues a removal, and adds what it removes to out.
func (t *tx) remove(r removal, p ports.Purge, out *ports.Purged) {
	args := []any{p.Limit}
	if r.aged {
		args = append(args, p.Age.Microseconds())
	}
	t.queue(r.sql, args...).Exec(counted(p, out))
}

// counted adds what a statement removes to out.
func counted(p ports.Purge, out *ports.Purged) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		out.Count += int(tag.RowsAffected())
		out.More = out.More || int(tag.RowsAffected()) == p.Limit
		return nil
	}
}

// purgeRows removes rows. Up to the limit are deleted of each table.
func purgeRows(ctx context.Context, t *tx, p ports.Purge) (out ports.Purged, err error) {
	for _, r := range removals[p.What] {
		t.remove(r, p, &out)
	}
	err = t.flush(ctx)
	return out, err
}

// purgeWorkers removes DEAD workers, each with its audit event.
func purgeWorkers(ctx context.Context, t *tx, p ports.Purge) (ports.Purged, error) {
	var outdated []domain.Worker
	t.queue(selectWorkers+" WHERE NOT l.live AND "+old("l.heartbeat_at")+`
 ORDER BY l.worker_id LIMIT $1::bigint FOR UPDATE OF l SKIP LOCKED`, p.Limit, p.Age.Microseconds()).
		Query(func(rows pgx.Rows) (err error) {
			outdated, err = pgx.CollectRows(rows, workerRow.scan)
			return err
		})
	if err := t.read(ctx); err != nil {
		return ports.Purged{}, err
	}
	t.queueWorkerChanges(each(outdated, func(w domain.Worker) domain.WorkerChange { return w.Purge(t.now) })...)
	return ports.Purged{Count: len(outdated), More: len(outdated) == p.Limit}, nil
}

// lockTimeout bounds how long a partition that is dropped makes writers of the table wait.
const lockTimeout = "SET LOCAL lock_timeout = '100ms'"

// purgeAudit drops the oldest month of audit events whose time is over. A long read of the table may
// keep the lock from being granted in time; then it fails, and is tried again later.
func purgeAudit(ctx context.Context, t *tx, p ports.Purge) (ports.Purged, error) {
	return purgeMonth(ctx, t, "audit", "at", p)
}

// purgeMonth drops the oldest partition of a table that is partitioned by month of a column, if all
// of it is older than the age. Of what stands in the default partition, it deletes rows of such
// months.
func purgeMonth(ctx context.Context, t *tx, table, column string, p ports.Purge) (out ports.Purged, err error) {
	const from = `least(date_trunc('month', niyanta_now() - $2::bigint * interval '1 microsecond', 'UTC'),
 $3::timestamptz)`
	var until *time.Time
	if !p.Until.IsZero() {
		until = &p.Until
	}
	t.queue(lockTimeout)
	t.queue("SELECT niyanta_drop_month($1::text, "+from+")", table, p.Age.Microseconds(), until).
		QueryRow(func(row pgx.Row) error {
			var n *int64
			if err := row.Scan(&n); err != nil || n == nil {
				return err
			}
			out.Count, out.More = int(*n), true
			return nil
		})
	t.queue(deleteSome(table+"_default", "x."+column+" < "+from), p.Limit, p.Age.Microseconds(), until).
		Exec(counted(p, &out))
	err = t.flush(ctx)
	return out, err
}
