package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type workers struct{ s *Store }

// Register implements ports.WorkerStore.
func (w workers) Register(ctx context.Context, r domain.Registration, lease time.Duration) (domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return domain.Worker{}, err
	}
	if err := r.Validate(); err != nil {
		return domain.Worker{}, err
	}
	return inTx(ctx, w.s, w.s.leases, func(ctx context.Context, t *tx) (domain.Worker, error) {
		var known domain.KnownSessions
		t.queueProcess(r.ProcessID)
		t.queueWorker(r.WorkerID, &known.Worker)
		t.queueDied(r.ProcessID, r.CertificateDigest, &known.Died)
		t.queue(selectEnded+" WHERE e.session_id = ANY($1::text[]) OR e.process_id = $2::text AND e.process_id <> ''",
			texts([]domain.SessionID{r.SessionID, r.PreviousSessionID}), r.ProcessID).
			Query(func(rows pgx.Rows) (err error) {
				known.Ended, err = pgx.CollectRows(rows, endedTable.scan)
				return err
			})
		if err := t.read(ctx); err != nil {
			return domain.Worker{}, err
		}
		change, err := r.Decide(known, t.now, lease)
		if err != nil {
			return domain.Worker{}, err
		}
		t.queueWorkerChanges(change)
		return change.Worker, t.commit(ctx)
	})
}

// Heartbeat implements ports.WorkerStore.
func (w workers) Heartbeat(ctx context.Context, beats []ports.Beat, lease time.Duration) ([]ports.BeatResult, error) {
	if len(beats) == 0 {
		return nil, ctx.Err()
	}
	return inTx(ctx, w.s, w.s.leases, func(ctx context.Context, t *tx) ([]ports.BeatResult, error) {
		current := make(map[domain.WorkerID]*domain.Worker, len(beats))
		ids := each(beats, func(b ports.Beat) string { return string(b.WorkerID) })
		t.queueWorkers("l.worker_id = ANY($1::text[])", ids, func(found []domain.Worker) {
			for _, wk := range pointers(found) {
				current[wk.ID] = wk
			}
		})
		if err := t.read(ctx); err != nil {
			return nil, err
		}
		results := make([]ports.BeatResult, len(beats))
		var renewed []string
		var changes []domain.WorkerChange
		for i, b := range beats {
			status, change := current[b.WorkerID].Heartbeat(b.SessionID, b.Draining, t.now, lease)
			results[i] = ports.BeatResult{Status: status, WorkerStatus: change.Worker.Status}
			if status != domain.SessionCurrent {
				continue
			}
			*current[b.WorkerID] = change.Worker
			if len(change.Events) > 0 {
				changes = append(changes, change)
			} else {
				renewed = append(renewed, ids[i])
			}
		}
		if len(renewed) > 0 {
			t.queue("UPDATE worker_leases SET heartbeat_at = $2, lease_until = $3 WHERE worker_id = ANY($1)",
				renewed, t.now, t.now.Add(lease))
		}
		t.queueWorkerChanges(changes...)
		return results, t.commit(ctx)
	})
}

// Expire implements ports.WorkerStore.
func (w workers) Expire(ctx context.Context, epoch int64, limit int) ([]domain.Worker, error) {
	return inTx(ctx, w.s, w.s.leases, func(ctx context.Context, t *tx) ([]domain.Worker, error) {
		var late []domain.Worker
		t.queueEpoch(epoch, false)
		t.queue(selectWorkers+` WHERE l.live AND l.lease_until <= niyanta_now() ORDER BY l.lease_until, l.worker_id
 LIMIT $1::bigint FOR NO KEY UPDATE OF l`, limit).Query(func(rows pgx.Rows) (err error) {
			late, err = pgx.CollectRows(rows, workerRow.scan)
			return err
		})
		if err := t.read(ctx); err != nil {
			return nil, err
		}
		changes := each(late, func(wk domain.Worker) domain.WorkerChange { return wk.Expire(t.now) })
		t.queueWorkerChanges(changes...)
		return each(changes, changed), t.commit(ctx)
	})
}

func changed(c domain.WorkerChange) domain.Worker { return c.Worker }

// End implements ports.WorkerStore.
func (w workers) End(ctx context.Context, e domain.SessionEnd) ([]domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return inTx(ctx, w.s, w.s.leases, func(ctx context.Context, t *tx) ([]domain.Worker, error) {
		var known []domain.Worker
		var certified bool
		digest := domain.CertificateDigest(e.Secret)
		read := func(found []domain.Worker) { known = found }
		if e.Certificate() {
			t.queueProcess(e.ProcessID)
			t.queueDied(e.ProcessID, digest, &certified)
			t.queueWorkers("l.process_id = $1::text", e.ProcessID, read)
		} else {
			t.queueWorkers("l.worker_id = $1::text", string(e.WorkerID), read)
		}
		if err := t.read(ctx); err != nil {
			return nil, err
		}
		changes, err := e.Decide(known, certified, t.now)
		if err != nil {
			return nil, err
		}
		if e.Certificate() {
			t.queue(`INSERT INTO death_certificates (process_id, certificate_digest, certified_at) VALUES ($1, $2, $3)
 ON CONFLICT DO NOTHING`, e.ProcessID, digest, t.now)
		}
		t.queueWorkerChanges(changes...)
		return each(changes, changed), t.commit(ctx)
	})
}

// List implements ports.WorkerStore.
func (w workers) List(ctx context.Context, ids ...domain.WorkerID) ([]domain.Worker, error) {
	if len(ids) == 0 {
		return query(ctx, w.s.pool, workerRow.scan, selectWorkers+" ORDER BY w.worker_id")
	}
	return query(
		ctx, w.s.pool, workerRow.scan, selectWorkers+" WHERE w.worker_id = ANY($1::text[]) ORDER BY w.worker_id",
		texts(ids),
	)
}

// Fleet implements ports.WorkerStore. Both statements see one snapshot, and travel together.
func (w workers) Fleet(ctx context.Context) (f domain.Fleet, err error) {
	bounded, cancel := deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
	b.Queue(selectWorkers + " ORDER BY w.worker_id").Query(func(rows pgx.Rows) (err error) {
		f.Workers, err = pgx.CollectRows(rows, workerRow.scan)
		return err
	})
	b.Queue(occupancyOfAll).Query(func(rows pgx.Rows) (err error) {
		f.Occupancy, err = collectOccupancy(rows)
		return err
	})
	b.Queue("COMMIT")
	if err = w.s.pool.SendBatch(bounded, b).Close(); err == nil {
		err = w.s.lanes.fillOccupancy(bounded, w.s.pool, f.Occupancy)
	}
	return f, translate(ctx, err)
}
