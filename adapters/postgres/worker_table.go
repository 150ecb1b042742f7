package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/niyanta/niyanta/core/domain"
)

// The columns of workers and sessions.
var (
	workerTable = table[domain.Worker]{"workers", join([]column[domain.Worker]{
		text("worker_id", func(w *domain.Worker) *domain.WorkerID { return &w.ID }),
		text("session_id", func(w *domain.Worker) *domain.SessionID { return &w.SessionID }),
		text("status", func(w *domain.Worker) *domain.WorkerStatus { return &w.Status }),
		textArray("capabilities", func(w *domain.Worker) *[]string { return &w.Capabilities }),
		integer("slots", func(w *domain.Worker) *int { return &w.Slots }),
		document(
			"tags", func(w *domain.Worker) *map[string]string { return &w.Tags },
			func(t map[string]string) bool { return t == nil },
		),
		text("version", func(w *domain.Worker) *string { return &w.Version }),
		instant("registered_at", func(w *domain.Worker) *time.Time { return &w.RegisteredAt }),
	}, offerColumns)}

	// leaseColumns are the columns of worker_leases that workers lacks.
	leaseColumns = []column[domain.Worker]{
		instant("heartbeat_at", func(w *domain.Worker) *time.Time { return &w.HeartbeatAt }),
		instant("lease_until", func(w *domain.Worker) *time.Time { return &w.LeaseUntil }),
		text("process_id", func(w *domain.Worker) *string { return &w.ProcessID }),
		text("certificate_digest", func(w *domain.Worker) *string { return &w.CertificateDigest }),
	}

	leaseTable = table[domain.Worker]{"worker_leases", join([]column[domain.Worker]{
		text("worker_id", func(w *domain.Worker) *domain.WorkerID { return &w.ID }),
		text("session_id", func(w *domain.Worker) *domain.SessionID { return &w.SessionID }),
		derived("live", "boolean", func(w *domain.Worker) bool { return w.Live() }),
	}, leaseColumns)}

	endedTable = table[domain.EndedSession]{"ended_sessions", []column[domain.EndedSession]{
		text("session_id", func(e *domain.EndedSession) *domain.SessionID { return &e.ID }),
		text("worker_id", func(e *domain.EndedSession) *domain.WorkerID { return &e.WorkerID }),
		text("process_id", func(e *domain.EndedSession) *string { return &e.ProcessID }),
		text("loss", func(e *domain.EndedSession) *domain.Loss { return &e.Loss }),
		boolean("supervised", func(e *domain.EndedSession) *bool { return &e.Supervised }),
		boolean("returned", func(e *domain.EndedSession) *bool { return &e.Returned }),
		instant("ended_at", func(e *domain.EndedSession) *time.Time { return &e.At }),
	}}

	// workerRow is a worker as it is read: its row in workers (w) and its row in worker_leases
	// (l).
	workerRow = table[domain.Worker]{"", join(workerTable.columns, leaseColumns)}

	selectWorkers = "SELECT " + workerTable.names("w") + ", " + (&table[domain.Worker]{"", leaseColumns}).names("l") +
		" FROM workers w JOIN worker_leases l USING (worker_id)"

	upsertWorkers = workerTable.upsert("worker_id")
	upsertLeases  = leaseTable.upsert("worker_id")
	insertEnded   = endedTable.insert() + " ON CONFLICT DO NOTHING"
	selectEnded   = "SELECT " + endedTable.names("e") + " FROM ended_sessions e"
)

var (
	// amountColumns are the columns of amounts, in every table that has them.
	amountColumns = []column[domain.Amounts]{
		milli("cpu_cores", func(r *domain.Amounts) *domain.Milli { return &r.CPUCores }),
		integer("memory_mb", func(r *domain.Amounts) *int { return &r.MemoryMB }),
		integer("disk_mb", func(r *domain.Amounts) *int { return &r.DiskMB }),
	}

	// offerColumns are the columns of what a worker has.
	offerColumns = join(
		part(func(w *domain.Worker) *domain.Amounts { return &w.Resources.Amounts }, amountColumns),
		[]column[domain.Worker]{
			list("devices", func(w *domain.Worker) *[]domain.Device { return &w.Resources.Devices }),
			document("custom", func(w *domain.Worker) *map[string]int64 { return &w.Resources.Custom },
				func(c map[string]int64) bool { return len(c) == 0 }),
		},
	)
)

// reserved is the column of what is reserved, in every table that has it.
func reserved[R any](field func(*R) *domain.Resources) column[R] {
	return document("resources", field, domain.Resources.IsZero)
}

// devicesOf is the column of the devices that a run holds, in every table that has it.
func devicesOf[R any](field func(*R) *[]domain.DeviceShare) column[R] { return list("devices", field) }

// queueWorkers locks the leases that match, and reads their workers. One statement locks the rows
// and the next one reads them. A single statement would see the workers as they were before it
// waited for the locks. Everything that changes a worker locks its lease first.
func (t *tx) queueWorkers(where string, arg any, read func([]domain.Worker)) {
	t.queue("SELECT FROM worker_leases l WHERE "+where+" ORDER BY l.worker_id FOR NO KEY UPDATE", arg)
	t.queue(selectWorkers+" WHERE "+where+" ORDER BY l.worker_id", arg).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, workerRow.scan)
		read(found)
		return err
	})
}

// queueWorker locks a worker's id, even if there is no such worker, and reads the worker.
func (t *tx) queueWorker(id domain.WorkerID, into **domain.Worker) {
	t.queue("SELECT pg_advisory_xact_lock(hashtextextended('niyanta.worker.' || $1::text, 0))", string(id))
	t.queueWorkers("l.worker_id = $1::text", string(id), func(found []domain.Worker) {
		if len(found) > 0 {
			*into = &found[0]
		}
	})
}

// queueProcess makes registrations and the death certificate of one process wait for each other.
// It must come before queueWorker.
func (t *tx) queueProcess(id string) {
	if id != "" {
		t.queue("SELECT pg_advisory_xact_lock(hashtextextended('niyanta.process.' || $1::text, 0))", id)
	}
}

// queueDied reads whether a death certificate is known.
func (t *tx) queueDied(process, digest string, into *bool) {
	t.queue("SELECT EXISTS (SELECT FROM death_certificates WHERE process_id = $1::text AND certificate_digest = "+
		"$2::text)", process, digest).
		QueryRow(func(row pgx.Row) error { return row.Scan(into) })
}

// countSuspects notes how many suspects sessions have that end now, those included that are cancelled
// and not yet seen to end: see ports.Orphan.
const countSuspects = `UPDATE ended_sessions s SET suspects =
  (SELECT count(*) FROM held h WHERE h.session_id = s.session_id AND h.suspect_until > niyanta_now())
  + (SELECT count(*) FROM ending e JOIN workloads w USING (workload_id)
     WHERE e.session_id = s.session_id AND w.loss_streak >= 2)
 WHERE s.session_id = ANY($1::text[])`

// queueWorkerChanges queues the writes of decisions about workers.
func (t *tx) queueWorkerChanges(changes ...domain.WorkerChange) {
	var kept []*domain.Worker
	var ended []*domain.EndedSession
	var removed, returned []string
	var events []domain.AuditEvent
	for i := range changes {
		c := &changes[i]
		if c.Ended.ID != "" {
			ended = append(ended, &c.Ended)
		}
		if c.Removed {
			removed = append(removed, string(c.Worker.ID))
		} else {
			kept = append(kept, &c.Worker)
		}
		returned = append(returned, texts(c.Returned)...)
		events = append(events, c.Events...)
	}
	writeRows(t, &endedTable, insertEnded, ended)
	if len(ended) > 0 {
		t.queue(countSuspects, each(ended, func(e *domain.EndedSession) string { return string(e.ID) }))
	}
	if len(returned) > 0 {
		t.queue("UPDATE ended_sessions SET returned = true WHERE session_id = ANY($1::text[])", returned)
	}
	writeRows(t, &workerTable, upsertWorkers, kept)
	writeRows(t, &leaseTable, upsertLeases, kept)
	if len(removed) > 0 {
		t.queue("DELETE FROM worker_leases WHERE worker_id = ANY($1::text[])", removed)
		t.queue("DELETE FROM workers WHERE worker_id = ANY($1::text[])", removed)
	}
	t.queueAudit(events)
	t.queueActs(each(changes, func(c domain.WorkerChange) domain.AdminEvent { return c.Act })...)
}

// milli is a column of an amount, as a number of units.
func milli[R any](name string, field func(*R) *domain.Milli) column[R] {
	return column[R]{
		name, "double precision", "",
		func(rows []*R) any { return each(rows, func(r *R) float64 { return field(r).Float() }) },
		func(r *R) any { return milliTarget{field(r)} },
		0,
	}
}

type milliTarget struct{ field *domain.Milli }

// ScanFloat64 implements pgtype.Float64Scanner.
func (t milliTarget) ScanFloat64(v pgtype.Float8) error {
	*t.field = domain.MilliOf(v.Float64)
	return nil
}
