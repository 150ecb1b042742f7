package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type fleet struct{ s *Store }

// Drain implements ports.FleetStore.
func (f fleet) Drain(ctx context.Context, id domain.WorkerID, actor domain.Actor) (domain.Worker, error) {
	return f.change(
		ctx, id, func(w *domain.Worker, now time.Time) (domain.WorkerChange, error) { return w.Drain(actor, now) },
	)
}

// Undrain implements ports.FleetStore.
func (f fleet) Undrain(ctx context.Context, id domain.WorkerID, actor domain.Actor) (domain.Worker, error) {
	return f.change(
		ctx, id, func(w *domain.Worker, now time.Time) (domain.WorkerChange, error) { return w.Undrain(actor, now) },
	)
}

// Remove implements ports.FleetStore.
func (f fleet) Remove(ctx context.Context, id domain.WorkerID, actor domain.Actor) error {
	_, err := f.change(
		ctx, id,
		func(w *domain.Worker, now time.Time) (domain.WorkerChange, error) { return w.Remove(actor, now), nil },
	)
	return err
}

// change reads a worker, decides, and executes the decision.
func (f fleet) change(
	ctx context.Context, id domain.WorkerID, decide func(w *domain.Worker, now time.Time) (domain.WorkerChange, error),
) (domain.Worker, error) {
	return inTx(ctx, f.s, f.s.leases, func(ctx context.Context, t *tx) (domain.Worker, error) {
		var wk *domain.Worker
		t.queueWorker(id, &wk)
		if err := t.read(ctx); err != nil {
			return domain.Worker{}, err
		}
		if wk == nil {
			return domain.Worker{}, domain.NotFound("worker")
		}
		c, err := decide(wk, t.now)
		if err != nil {
			return domain.Worker{}, err
		}
		t.queueWorkerChanges(c)
		return c.Worker, t.commit(ctx)
	})
}

// Purge implements ports.FleetStore.
func (f fleet) Purge(ctx context.Context, epoch int64, age time.Duration, limit int) (ports.Purged, error) {
	return inTx(ctx, f.s, f.s.leases, func(ctx context.Context, t *tx) (ports.Purged, error) {
		var outdated []domain.Worker
		var sessions, certificates int
		t.queueEpoch(epoch, false)
		t.queue(selectWorkers+` WHERE NOT l.live AND l.heartbeat_at < niyanta_now() - $1::bigint * interval '1 microsecond'
 ORDER BY l.worker_id LIMIT $2::bigint FOR UPDATE OF l SKIP LOCKED`, age.Microseconds(), limit).
			Query(func(rows pgx.Rows) (err error) {
				outdated, err = pgx.CollectRows(rows, workerRow.scan)
				return err
			})
		t.queue(`WITH old AS (
  SELECT session_id FROM ended_sessions e WHERE ended_at < niyanta_now() - $1::bigint * interval '1 microsecond'
  AND NOT EXISTS (SELECT FROM held h WHERE h.session_id = e.session_id) LIMIT $2::bigint)
 , gone AS (DELETE FROM ended_sessions e USING old WHERE e.session_id = old.session_id RETURNING 1) SELECT count(*)
    FROM gone`,
			age.Microseconds(), limit).QueryRow(func(row pgx.Row) error { return row.Scan(&sessions) })
		t.queue(`WITH gone AS (DELETE FROM death_certificates
    WHERE certified_at < niyanta_now() - $1::bigint * interval '1 microsecond' RETURNING 1)
 SELECT count(*) FROM gone`, age.Microseconds()).QueryRow(func(row pgx.Row) error { return row.Scan(&certificates) })
		if err := t.read(ctx); err != nil {
			return ports.Purged{}, err
		}
		t.queueWorkerChanges(each(outdated, func(w domain.Worker) domain.WorkerChange { return w.Purge(t.now) })...)
		return ports.Purged{Workers: len(outdated), Sessions: sessions + certificates}, t.commit(ctx)
	})
}
