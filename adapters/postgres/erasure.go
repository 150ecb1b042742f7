package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type erasure struct{ s *Store }

// Deleting implements ports.ErasureStore.
func (e erasure) Deleting(
	ctx context.Context, after domain.CustomerID, limit int,
) ([]domain.CustomerID, error) {
	return query(ctx, e.s.pool, pgx.RowTo[domain.CustomerID], `SELECT customer_id FROM customers
 WHERE deleting_at IS NOT NULL AND customer_id > $1::text ORDER BY customer_id LIMIT $2::bigint`, string(after), limit)
}

// Unfinished implements ports.ErasureStore. Each unfinished workload has a row in one of these
// tables.
func (e erasure) Unfinished(
	ctx context.Context, customer domain.CustomerID, limit int,
) ([]domain.WorkloadID, error) {
	return query(ctx, e.s.pool, pgx.RowTo[domain.WorkloadID], `WITH l AS (
  SELECT lane_id FROM lanes WHERE customer_id = $1::text)
 SELECT workload_id FROM held WHERE customer_id = $1::text
 UNION ALL SELECT workload_id FROM paused WHERE customer_id = $1::text
 UNION ALL SELECT workload_id FROM waiting WHERE lane_id IN (SELECT lane_id FROM l)
 UNION ALL SELECT workload_id FROM delayed WHERE lane_id IN (SELECT lane_id FROM l)
 LIMIT $2::bigint`, string(customer), limit)
}

// Remaining implements ports.ErasureStore.
func (e erasure) Remaining(ctx context.Context, customer domain.CustomerID, limit int) (int, error) {
	return queryOne[int](ctx, e.s.reads.pool, `SELECT count(*) FROM (
  SELECT FROM workloads WHERE customer_id = $1::text
  UNION ALL SELECT FROM workload_archive WHERE customer_id = $1::text LIMIT $2::bigint) w`, string(customer), limit)
}

// Erase implements ports.ErasureStore. The epoch is checked behind the work, so that the leader's
// lease is locked for a moment only.
func (e erasure) Erase(
	ctx context.Context, epoch int64, customer domain.CustomerID, limit int, by domain.Admin,
) (ports.Erased, error) {
	return inTx(ctx, e.s, e.s.pool, func(ctx context.Context, t *tx) (ports.Erased, error) {
		x := eraser{t, customer, limit}
		out, gone, err := x.erase(ctx)
		if err != nil {
			return out, err
		}
		t.queueEpoch(epoch, false)
		if err := t.read(ctx); err != nil {
			return out, err
		}
		if out.Done {
			t.queue("UPDATE deleted_customers SET erased_at = $2 WHERE customer_id = $1", string(customer), t.now)
			t.queueActs(gone.Erased(by, t.now))
		}
		return out, t.commit(ctx)
	})
}

// eraser removes what a customer has, in a transaction.
type eraser struct {
	*tx

	customer domain.CustomerID
	limit    int
}

// erase removes some of what the customer has. gone is the customer if it was removed itself.
func (x eraser) erase(ctx context.Context) (out ports.Erased, gone domain.Customer, err error) {
	if _, deleting, err := x.deleting(ctx, ""); err != nil || !deleting {
		return out, gone, err
	}
	left, more, err := x.eraseWorkloads(ctx)
	if err != nil || left {
		return ports.Erased{More: more}, gone, err
	}
	// From here on nothing refers to the customer anew.
	gone, deleting, err := x.deleting(ctx, " FOR UPDATE")
	if err != nil || !deleting { // another leader was faster
		return out, gone, err
	}
	more, waits, err := x.eraseUploads(ctx)
	if err != nil || more || waits {
		return ports.Erased{More: more}, gone, err
	}
	more, err = x.eraseRest(ctx)
	return ports.Erased{More: more, Done: !more}, gone, err
}

// eraseUploads makes garbage of the customer's uploads, to which nothing refers any more. waits reports
// whether values of the customer are still to be deleted.
func (x eraser) eraseUploads(ctx context.Context) (more, waits bool, err error) {
	x.some(&more, x.limit, `WITH gone AS (DELETE FROM uploads WHERE blob_id = ANY(ARRAY(
   SELECT blob_id FROM uploads WHERE customer_id = $1::text LIMIT $2::bigint)) RETURNING blob_id, customer_id)
 INSERT INTO upload_garbage (blob_id, customer_id, due_at) SELECT blob_id, customer_id, niyanta_now() FROM gone`,
		string(x.customer))
	x.queue("SELECT EXISTS (SELECT FROM upload_garbage WHERE customer_id = $1::text)", string(x.customer)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&waits) })
	return more, waits, x.flush(ctx)
}

// deleting reads the customer, and reports whether it is being deleted.
func (x eraser) deleting(ctx context.Context, lock string) (c domain.Customer, found bool, err error) {
	x.queue(selectCustomers+" WHERE c.customer_id = $1::text AND c.deleting_at IS NOT NULL"+lock, string(x.customer)).
		Query(func(rows pgx.Rows) error {
			cs, err := pgx.CollectRows(rows, customerTable.scan)
			if len(cs) > 0 {
				c, found = cs[0], true
			}
			return err
		})
	return c, found, x.flush(ctx)
}

var (
	stillRun = "EXISTS (SELECT FROM ending e " + ofLiveSession("e") + " WHERE e.workload_id = x.workload_id)"
	// lockErasable locks finished workloads of which no worker runs anything.
	lockErasable = "SELECT " + finishedKey.names("f") + ` FROM workloads w JOIN (SELECT x.* FROM finished x
  WHERE x.customer_id = $1::text AND NOT ` + stillRun + ` LIMIT $2::bigint) f USING (workload_id)
 ORDER BY w.workload_id FOR UPDATE OF w`
)

// eraseWorkloads removes finished workloads with all that belongs to them. left reports whether the
// customer had any workload, more whether the next call can remove more.
func (x eraser) eraseWorkloads(ctx context.Context) (left, more bool, err error) {
	var rows []finishedWorkload
	x.queue(lockErasable, string(x.customer), x.limit).Query(func(r pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(r, finishedKey.scan)
		return err
	})
	x.queue("SELECT EXISTS (SELECT FROM workloads WHERE customer_id = $1::text)", string(x.customer)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&left) })
	if err := x.flush(ctx); err != nil || len(rows) == 0 {
		return left, false, err
	}
	// The rows are locked: from here on no inventory can bring a run of theirs. One that came before
	// is seen now.
	var running []domain.WorkloadID
	x.queue("SELECT x.workload_id FROM unnest($1::text[]) x(workload_id) WHERE "+stillRun, idsOf(rows)).
		Query(func(r pgx.Rows) (err error) {
			running, err = pgx.CollectRows(r, pgx.RowTo[domain.WorkloadID])
			return err
		})
	if err := x.flush(ctx); err != nil {
		return true, false, err
	}
	rows = slices.DeleteFunc(rows, func(f finishedWorkload) bool { return slices.Contains(running, f.id) })
	ids := idsOf(rows)
	x.some(&more, 10*x.limit, `DELETE FROM workload_logs WHERE ctid = ANY(ARRAY(SELECT ctid FROM workload_logs
 WHERE workload_id = ANY($1::text[]) LIMIT $2::bigint))`, ids)
	x.some(&more, x.limit, `DELETE FROM checkpoints WHERE ctid = ANY(ARRAY(SELECT ctid FROM checkpoints
 WHERE workload_id = ANY($1::text[]) LIMIT $2::bigint))`, ids)
	if err := x.flush(ctx); err != nil || more {
		return true, more, err
	}
	for _, table := range append(slices.Clone(partsOfWorkload), "ending") {
		x.queue("DELETE FROM "+table+" WHERE workload_id = ANY($1::text[])", ids)
	}
	x.queue(deleteFinished, finishedKey.args(pointers(rows))...)
	x.queue("DELETE FROM workloads WHERE workload_id = ANY($1::text[])", ids)
	return true, len(rows) > 0, x.flush(ctx)
}

// some queues a statement that deletes up to limit rows of what belongs to owner. It sets more if
// there may be more of them.
func (x eraser) some(more *bool, limit int, sql string, owner any) {
	x.queue(sql, owner, limit).Exec(func(tag pgconn.CommandTag) error {
		*more = *more || tag.RowsAffected() >= int64(limit)
		return nil
	})
}

// eraseRest removes what a customer without workloads has, and the customer. What it may have much
// of goes first; more reports that some of that is left.
func (x eraser) eraseRest(ctx context.Context) (more bool, err error) {
	// In tables with partitions, the place of a row does not identify it.
	x.some(&more, x.limit, `DELETE FROM workload_archive WHERE customer_id = $1::text AND workload_id = ANY(ARRAY(
  SELECT workload_id FROM workload_archive WHERE customer_id = $1::text LIMIT $2::bigint))`, string(x.customer))
	x.some(&more, 10*x.limit, `DELETE FROM audit WHERE customer_id = $1::text AND workload_id <> ''
 AND audit_id = ANY(ARRAY(SELECT audit_id FROM audit WHERE customer_id = $1::text AND workload_id <> ''
  LIMIT $2::bigint))`, string(x.customer))
	for _, table := range []string{"idempotency_keys", "answers", "count_hours", "count_minutes", "lanes"} {
		x.some(&more, 10*x.limit, "DELETE FROM "+table+" WHERE ctid = ANY(ARRAY(SELECT ctid FROM "+table+
			" WHERE customer_id = $1::text LIMIT $2::bigint))", string(x.customer))
	}
	if err := x.flush(ctx); err != nil || more {
		return true, err
	}
	x.queue("DELETE FROM tickets WHERE key_id IN (SELECT key_id FROM api_keys WHERE customer_id = $1::text)",
		string(x.customer))
	// A row that somebody changes meanwhile has another place; so these tables come once more. The
	// changes of counts go before the totals: whoever folds them meanwhile has done so before the
	// totals are removed.
	for _, table := range []string{
		"count_deltas", "count_totals", "count_hours", "count_minutes", "lanes", "ending", "log_purges",
		"workload_configs", "api_keys", "queue_bounds", "customers",
	} {
		x.queue("DELETE FROM "+table+" WHERE customer_id = $1::text", string(x.customer))
	}
	return false, x.flush(ctx)
}
