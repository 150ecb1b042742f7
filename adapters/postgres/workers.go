package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type workers struct{ s *Store }

const workerColumns = `w.worker_id, w.session_id, w.status, w.capabilities, w.slots, w.cpu_cores, w.memory_mb, w.disk_mb, w.tags, w.version,
 l.process_id, l.certificate_digest, w.registered_at, l.heartbeat_at, l.lease_until`

func scanWorker(row pgx.CollectableRow) (domain.Worker, error) {
	var w domain.Worker
	var tags []byte
	err := row.Scan(&w.ID, &w.SessionID, &w.Status, &w.Capabilities, &w.Slots, &w.Resources.CPUCores, &w.Resources.MemoryMB, &w.Resources.DiskMB,
		&tags, &w.Version, &w.ProcessID, &w.CertificateDigest, &w.RegisteredAt, &w.HeartbeatAt, &w.LeaseUntil)
	if err != nil {
		return w, err
	}
	w.RegisteredAt, w.HeartbeatAt, w.LeaseUntil = w.RegisteredAt.UTC(), w.HeartbeatAt.UTC(), w.LeaseUntil.UTC()
	return w, fromJSON(tags, &w.Tags)
}

// queueWorker locks the worker's id, also one that doesn't exist yet, and reads it.
func (t *tx) queueWorker(id domain.WorkerID, into **domain.Worker) {
	t.queue("SELECT pg_advisory_xact_lock(hashtextextended('niyanta.worker.' || $1::text, 0))", string(id))
	t.queue("SELECT "+workerColumns+` FROM workers w JOIN worker_leases l USING (worker_id) WHERE w.worker_id = $1::text
 FOR NO KEY UPDATE OF l`, string(id)).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, scanWorker)
		if len(found) > 0 {
			*into = &found[0]
		}
		return err
	})
}

// Register implements ports.WorkerStore.
func (w workers) Register(ctx context.Context, r domain.Registration, lease time.Duration) (domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return domain.Worker{}, err
	}
	if err := r.Validate(); err != nil {
		return domain.Worker{}, err
	}
	return inTx(ctx, w.s, w.s.leases, func(ctx context.Context, t *tx) (domain.Worker, error) {
		var old *domain.Worker
		var ended, died bool
		t.queueProcess(r.ProcessID)
		t.queueWorker(r.WorkerID, &old)
		t.queue(`SELECT EXISTS (SELECT FROM ended_sessions WHERE session_id = $1::text),
 EXISTS (SELECT FROM death_certificates WHERE process_id = $2::text AND certificate_digest = $3::text)`,
			string(r.SessionID), r.ProcessID, r.CertificateDigest).
			QueryRow(func(row pgx.Row) error { return row.Scan(&ended, &died) })
		if err := t.read(ctx); err != nil {
			return domain.Worker{}, err
		}
		switch {
		case ended:
			return domain.Worker{}, domain.NewError(domain.CodeFenced, "session %s has ended", r.SessionID)
		case died:
			return domain.Worker{}, domain.NewError(domain.CodeFenced, "process %s has died", r.ProcessID)
		case old != nil && old.SessionID == r.SessionID:
			old.HeartbeatAt, old.LeaseUntil = t.now, t.now.Add(lease)
			t.queue("UPDATE worker_leases SET heartbeat_at = $2, lease_until = $3 WHERE worker_id = $1", string(old.ID), old.HeartbeatAt, old.LeaseUntil)
			return *old, t.commit(ctx)
		}
		loss, err := r.Displaces(old, t.now)
		if err != nil {
			return domain.Worker{}, err
		}
		if loss != "" {
			t.endSession(old, loss)
		}
		if loss == domain.LossExpired {
			t.queueAudit(t.expired(*old))
		}
		if r.PreviousSessionID != "" { // its process lives
			t.queue("UPDATE ended_sessions SET returned = true WHERE session_id = $1 AND NOT returned", string(r.PreviousSessionID))
		}
		wk, err := t.storeWorker(r.Clone(), lease)
		if err != nil {
			return wk, err
		}
		events := []domain.AuditEvent{t.workerEvent(wk.ID, domain.AuditWorkerJoined, workerActor(wk.ID), "")}
		if r.Draining {
			events = append(events, t.workerEvent(wk.ID, domain.AuditWorkerDraining, workerActor(wk.ID), ""))
		}
		t.queueAudit(events)
		return wk, t.commit(ctx)
	})
}

// storeWorker queues the writes of a new session.
func (t *tx) storeWorker(r domain.Registration, lease time.Duration) (domain.Worker, error) {
	wk := domain.Worker{
		ID: r.WorkerID, SessionID: r.SessionID, Status: r.Status(), Capabilities: r.Capabilities, Slots: r.Slots, Resources: r.Resources,
		Tags: r.Tags, Version: r.Version, ProcessID: r.ProcessID, CertificateDigest: r.CertificateDigest,
		RegisteredAt: t.now, HeartbeatAt: t.now, LeaseUntil: t.now.Add(lease),
	}
	tags, err := toJSON(r.Tags, r.Tags == nil)
	if err != nil {
		return wk, err
	}
	t.queue(`INSERT INTO workers (worker_id, session_id, status, capabilities, slots, cpu_cores, memory_mb, disk_mb, tags, version, registered_at)
 VALUES ($1, $2, $11, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10)
 ON CONFLICT (worker_id) DO UPDATE SET session_id = excluded.session_id, status = excluded.status, capabilities = excluded.capabilities,
  slots = excluded.slots, cpu_cores = excluded.cpu_cores, memory_mb = excluded.memory_mb, disk_mb = excluded.disk_mb, tags = excluded.tags,
  version = excluded.version, registered_at = excluded.registered_at`,
		string(r.WorkerID), string(r.SessionID), r.Capabilities, r.Slots, r.Resources.CPUCores, r.Resources.MemoryMB, r.Resources.DiskMB, tags, r.Version, t.now, string(wk.Status))
	t.queue(`INSERT INTO worker_leases (worker_id, session_id, live, heartbeat_at, lease_until, process_id, certificate_digest)
 VALUES ($1, $2, true, $3, $4, $5, $6)
 ON CONFLICT (worker_id) DO UPDATE SET session_id = excluded.session_id, live = true, heartbeat_at = excluded.heartbeat_at,
  lease_until = excluded.lease_until, process_id = excluded.process_id, certificate_digest = excluded.certificate_digest`,
		string(r.WorkerID), string(r.SessionID), wk.HeartbeatAt, wk.LeaseUntil, r.ProcessID, r.CertificateDigest)
	t.queue("INSERT INTO known_types (workload_type) SELECT DISTINCT unnest($1::text[]) ORDER BY 1 ON CONFLICT DO NOTHING", r.Types())
	return wk, nil
}

// endSession queues the end of a worker's live session.
func (t *tx) endSession(w *domain.Worker, loss domain.Loss) {
	t.queue("UPDATE worker_leases SET live = false WHERE worker_id = $1 AND session_id = $2", string(w.ID), string(w.SessionID))
	t.queue("INSERT INTO ended_sessions (session_id, worker_id, loss, ended_at, supervised) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
		string(w.SessionID), string(w.ID), string(loss), t.now, w.CertificateDigest != "")
}

func (t *tx) workerEvent(id domain.WorkerID, e domain.AuditType, actor domain.Actor, reason string) domain.AuditEvent {
	return domain.AuditEvent{Type: e, Actor: actor, WorkerID: id, Reason: reason, At: t.now}
}

func workerActor(id domain.WorkerID) domain.Actor {
	return domain.Actor{Kind: domain.ActorWorker, ID: string(id)}
}

// Heartbeat implements ports.WorkerStore.
func (w workers) Heartbeat(ctx context.Context, beats []ports.Beat, lease time.Duration) ([]ports.BeatResult, error) {
	if len(beats) == 0 {
		return nil, ctx.Err()
	}
	return inTx(ctx, w.s, w.s.leases, func(ctx context.Context, t *tx) ([]ports.BeatResult, error) {
		ids, sessions := make([]string, len(beats)), make([]string, len(beats))
		var drainIDs, drainSessions []string
		for i, b := range beats {
			ids[i], sessions[i] = string(b.WorkerID), string(b.SessionID)
			if b.Draining {
				drainIDs, drainSessions = append(drainIDs, ids[i]), append(drainSessions, sessions[i])
			}
		}
		t.queue(`UPDATE worker_leases l SET heartbeat_at = niyanta_now(), lease_until = niyanta_now() + $3::bigint * interval '1 microsecond'
 FROM unnest($1::text[], $2::text[]) AS u(worker_id, session_id) WHERE l.worker_id = u.worker_id AND l.session_id = u.session_id AND l.live`,
			ids, sessions, lease.Microseconds())
		var draining []string
		if len(drainIDs) > 0 {
			t.queue(`UPDATE workers w SET status = 'DRAINING' FROM unnest($1::text[], $2::text[]) AS u(worker_id, session_id)
 WHERE w.worker_id = u.worker_id AND w.session_id = u.session_id AND w.status = 'HEALTHY' RETURNING w.worker_id`, drainIDs, drainSessions).
				Query(func(rows pgx.Rows) (err error) {
					draining, err = pgx.CollectRows(rows, pgx.RowTo[string])
					return err
				})
		}
		current := map[domain.WorkerID]session{}
		t.queue(`SELECT l.worker_id, l.session_id, l.live, w.status FROM worker_leases l JOIN workers w USING (worker_id) WHERE l.worker_id = ANY($1::text[])`, ids).
			Query(func(rows pgx.Rows) error {
				var id domain.WorkerID
				var s session
				_, err := pgx.ForEachRow(rows, []any{&id, &s.id, &s.live, &s.status}, func() error { current[id] = s; return nil })
				return err
			})
		if err := t.read(ctx); err != nil {
			return nil, err
		}
		events := column(draining, func(id string) domain.AuditEvent {
			return t.workerEvent(domain.WorkerID(id), domain.AuditWorkerDraining, workerActor(domain.WorkerID(id)), "")
		})
		t.queueAudit(events)
		return column(beats, func(b ports.Beat) ports.BeatResult { return current[b.WorkerID].answer(b) }), t.commit(ctx)
	})
}

// session is the current one of a worker.
type session struct {
	id     domain.SessionID
	live   bool
	status domain.WorkerStatus
}

func (s session) answer(b ports.Beat) ports.BeatResult {
	switch {
	case !s.live:
		return ports.BeatResult{Status: ports.BeatExpired}
	case s.id != b.SessionID:
		return ports.BeatResult{Status: ports.BeatReplaced}
	}
	return ports.BeatResult{Status: ports.BeatRenewed, WorkerStatus: s.status}
}

// Expire implements ports.WorkerStore.
func (w workers) Expire(ctx context.Context, epoch int64, limit int) ([]domain.Worker, error) {
	return inTx(ctx, w.s, w.s.leases, func(ctx context.Context, t *tx) ([]domain.Worker, error) {
		var dead []domain.Worker
		t.queueEpoch(epoch, false)
		t.queue(`WITH late AS (
  SELECT worker_id FROM worker_leases WHERE live AND lease_until < niyanta_now() ORDER BY lease_until, worker_id LIMIT $1::bigint FOR NO KEY UPDATE),
 l AS (UPDATE worker_leases l SET live = false FROM late WHERE l.worker_id = late.worker_id RETURNING l.*),
 w AS (UPDATE workers w SET status = 'DEAD' FROM l WHERE w.worker_id = l.worker_id RETURNING w.*),
 e AS (INSERT INTO ended_sessions (session_id, worker_id, loss, ended_at, supervised)
  SELECT session_id, worker_id, $2::text, niyanta_now(), certificate_digest <> '' FROM l ON CONFLICT DO NOTHING)
 SELECT `+workerColumns+` FROM w JOIN l USING (worker_id) ORDER BY l.lease_until, w.worker_id`, limit, string(domain.LossExpired)).
			Query(func(rows pgx.Rows) (err error) {
				dead, err = pgx.CollectRows(rows, scanWorker)
				return err
			})
		if err := t.read(ctx); err != nil {
			return nil, err
		}
		t.queueAudit(t.expired(dead...))
		return dead, t.commit(ctx)
	})
}

// expired are the audit events of workers whose leases have ended.
func (t *tx) expired(dead ...domain.Worker) []domain.AuditEvent {
	system := domain.Actor{Kind: domain.ActorCoordinator}
	var events []domain.AuditEvent
	for _, wk := range dead {
		events = append(events,
			t.workerEvent(wk.ID, domain.AuditHeartbeatMissed, system, "last heartbeat at "+wk.HeartbeatAt.Format(time.RFC3339Nano)),
			t.workerEvent(wk.ID, domain.AuditWorkerDead, system, string(domain.LossExpired)))
	}
	return events
}

// List implements ports.WorkerStore.
func (w workers) List(ctx context.Context, ids ...domain.WorkerID) ([]domain.Worker, error) {
	const all = "SELECT " + workerColumns + " FROM workers w JOIN worker_leases l USING (worker_id)"
	if len(ids) == 0 {
		return query(ctx, w.s.pool, scanWorker, all+" ORDER BY w.worker_id")
	}
	return query(ctx, w.s.pool, scanWorker, all+" WHERE w.worker_id = ANY($1::text[]) ORDER BY w.worker_id",
		column(ids, func(id domain.WorkerID) string { return string(id) }))
}

// KnownTypes implements ports.WorkerStore.
func (w workers) KnownTypes(ctx context.Context) ([]string, error) {
	return query(ctx, w.s.pool, pgx.RowTo[string], "SELECT workload_type FROM known_types ORDER BY workload_type")
}
