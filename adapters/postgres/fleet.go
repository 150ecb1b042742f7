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
	return f.turn(ctx, id, (*domain.Worker).Drain, domain.AuditWorkerDraining, actor)
}

// Undrain implements ports.FleetStore.
func (f fleet) Undrain(ctx context.Context, id domain.WorkerID, actor domain.Actor) (domain.Worker, error) {
	return f.turn(ctx, id, (*domain.Worker).Undrain, domain.AuditWorkerUndrained, actor)
}

// turn changes a worker's status as the domain decides, and audits a change.
func (f fleet) turn(
	ctx context.Context, id domain.WorkerID, decide func(*domain.Worker) (bool, error), event domain.AuditType, actor domain.Actor,
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
		changed, err := decide(wk)
		if err != nil {
			return domain.Worker{}, err
		}
		if changed {
			t.queue("UPDATE workers SET status = $2 WHERE worker_id = $1", string(id), string(wk.Status))
			t.queueAudit([]domain.AuditEvent{t.workerEvent(id, event, actor, "")})
		}
		return *wk, t.commit(ctx)
	})
}

// Remove implements ports.FleetStore.
func (f fleet) Remove(ctx context.Context, id domain.WorkerID, actor domain.Actor) error {
	_, err := inTx(ctx, f.s, f.s.leases, func(ctx context.Context, t *tx) (struct{}, error) {
		var wk *domain.Worker
		t.queueWorker(id, &wk)
		if err := t.read(ctx); err != nil {
			return struct{}{}, err
		}
		if wk == nil {
			return struct{}{}, domain.NotFound("worker")
		}
		if wk.Live() {
			t.endSession(wk, domain.LossRemoved)
		}
		t.deleteWorker(id)
		t.queueAudit([]domain.AuditEvent{t.workerEvent(id, domain.AuditWorkerRemoved, actor, "")})
		return struct{}{}, t.commit(ctx)
	})
	return err
}

// deleteWorker queues the deletion of a worker's row.
func (t *tx) deleteWorker(id domain.WorkerID) {
	t.queue("DELETE FROM worker_leases WHERE worker_id = $1", string(id))
	t.queue("DELETE FROM workers WHERE worker_id = $1", string(id))
}

// Purge implements ports.FleetStore.
func (f fleet) Purge(ctx context.Context, epoch int64, age time.Duration, limit int) (ports.Purged, error) {
	return inTx(ctx, f.s, f.s.leases, func(ctx context.Context, t *tx) (ports.Purged, error) {
		var gone []string
		var p ports.Purged
		t.queueEpoch(epoch, false)
		t.queue(`WITH old AS (
  SELECT worker_id FROM worker_leases WHERE NOT live AND heartbeat_at < niyanta_now() - $1::bigint * interval '1 microsecond'
  ORDER BY worker_id LIMIT $2::bigint FOR UPDATE SKIP LOCKED),
 l AS (DELETE FROM worker_leases l USING old WHERE l.worker_id = old.worker_id)
 DELETE FROM workers w USING old WHERE w.worker_id = old.worker_id RETURNING w.worker_id`, age.Microseconds(), limit).
			Query(func(rows pgx.Rows) (err error) {
				gone, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
		t.queue(`WITH old AS (
  SELECT session_id FROM ended_sessions e WHERE ended_at < niyanta_now() - $1::bigint * interval '1 microsecond'
  AND NOT EXISTS (SELECT FROM held h WHERE h.session_id = e.session_id) LIMIT $2::bigint)
 , gone AS (DELETE FROM ended_sessions e USING old WHERE e.session_id = old.session_id RETURNING 1) SELECT count(*) FROM gone`,
			age.Microseconds(), limit).QueryRow(func(row pgx.Row) error { return row.Scan(&p.Sessions) })
		var certificates int
		t.queue(`WITH gone AS (DELETE FROM death_certificates WHERE certified_at < niyanta_now() - $1::bigint * interval '1 microsecond' RETURNING 1)
 SELECT count(*) FROM gone`, age.Microseconds()).QueryRow(func(row pgx.Row) error { return row.Scan(&certificates) })
		if err := t.read(ctx); err != nil {
			return ports.Purged{}, err
		}
		t.queueAudit(column(gone, func(id string) domain.AuditEvent {
			return t.workerEvent(domain.WorkerID(id), domain.AuditWorkerRemoved, domain.Actor{Kind: domain.ActorCoordinator}, domain.PurgedDead)
		}))
		p.Workers, p.Sessions = len(gone), p.Sessions+certificates
		return p, t.commit(ctx)
	})
}
