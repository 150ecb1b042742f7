package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// queueProcess makes registrations and the death certificate of one process wait for each other. It comes before queueWorker.
func (t *tx) queueProcess(id string) {
	if id != "" {
		t.queue("SELECT pg_advisory_xact_lock(hashtextextended('niyanta.process.' || $1::text, 0))", id)
	}
}

// End implements ports.WorkerStore.
func (w workers) End(ctx context.Context, e domain.SessionEnd) ([]domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return inTx(ctx, w.s, w.s.leases, func(ctx context.Context, t *tx) ([]domain.Worker, error) {
		if e.Certificate() {
			return t.certify(ctx, e)
		}
		return t.deregister(ctx, e)
	})
}

func (t *tx) deregister(ctx context.Context, e domain.SessionEnd) ([]domain.Worker, error) {
	var wk *domain.Worker
	t.queueWorker(e.WorkerID, &wk)
	if err := t.read(ctx); err != nil {
		return nil, err
	}
	if wk == nil || !wk.Live() || wk.SessionID != e.SessionID {
		return nil, t.commit(ctx)
	}
	t.endSession(wk, domain.LossLeft)
	t.deleteWorker(wk.ID)
	t.queueAudit([]domain.AuditEvent{t.workerEvent(wk.ID, domain.AuditWorkerRemoved, e.Actor(), string(domain.LossLeft))})
	return []domain.Worker{*wk}, t.commit(ctx)
}

// certify ends what a process held that has died.
func (t *tx) certify(ctx context.Context, e domain.SessionEnd) ([]domain.Worker, error) {
	digest := domain.CertificateDigest(e.Secret)
	var known []domain.Worker
	var repeated bool
	t.queueProcess(e.ProcessID)
	t.queue("SELECT EXISTS (SELECT FROM death_certificates WHERE process_id = $1::text AND certificate_digest = $2::text)", e.ProcessID, digest).
		QueryRow(func(row pgx.Row) error { return row.Scan(&repeated) })
	// The rows are locked first and read then: what another transaction has made of one meanwhile counts.
	t.queue("SELECT worker_id FROM worker_leases WHERE process_id = $1::text ORDER BY worker_id FOR NO KEY UPDATE", e.ProcessID)
	t.queue("SELECT "+workerColumns+` FROM worker_leases l JOIN workers w USING (worker_id) WHERE l.process_id = $1::text
 ORDER BY l.worker_id`, e.ProcessID).Query(func(rows pgx.Rows) (err error) {
		known, err = pgx.CollectRows(rows, scanWorker)
		return err
	})
	if err := t.read(ctx); err != nil || repeated {
		if err == nil {
			err = t.commit(ctx)
		}
		return nil, err
	}
	var ended []domain.Worker
	var events []domain.AuditEvent
	matches := 0
	for _, wk := range known {
		if wk.CertificateDigest != digest {
			continue
		}
		matches++
		if !wk.Live() {
			continue
		}
		wk.Status = domain.WorkerDead
		t.endSession(&wk, domain.LossDied)
		t.queue("UPDATE workers SET status = 'DEAD' WHERE worker_id = $1", string(wk.ID))
		events = append(events, t.workerEvent(wk.ID, domain.AuditWorkerDead, e.Actor(), string(domain.LossDied)))
		ended = append(ended, wk)
	}
	if len(known) > 0 && matches == 0 {
		return nil, domain.ErrCertificate(e)
	}
	t.queue("INSERT INTO death_certificates (process_id, certificate_digest, certified_at) VALUES ($1, $2, $3)", e.ProcessID, digest, t.now)
	t.queueAudit(events)
	return ended, t.commit(ctx)
}
