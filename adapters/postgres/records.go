package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type audit struct{ s *Store }

var (
	auditTable = table[domain.AuditEvent]{"audit", []column[domain.AuditEvent]{
		bigint("audit_id", func(e *domain.AuditEvent) *int64 { return &e.ID }),
		instant("at", func(e *domain.AuditEvent) *time.Time { return &e.At }),
		text("workload_id", func(e *domain.AuditEvent) *domain.WorkloadID { return &e.WorkloadID }),
		text("customer_id", func(e *domain.AuditEvent) *domain.CustomerID { return &e.CustomerID }),
		text("type", func(e *domain.AuditEvent) *domain.AuditType { return &e.Type }),
		text("actor_kind", func(e *domain.AuditEvent) *domain.ActorKind { return &e.Actor.Kind }),
		text("actor_id", func(e *domain.AuditEvent) *string { return &e.Actor.ID }),
		text("from_status", func(e *domain.AuditEvent) *domain.Status { return &e.From }),
		text("to_status", func(e *domain.AuditEvent) *domain.Status { return &e.To }),
		bigint("generation", func(e *domain.AuditEvent) *int64 { return &e.Generation }),
		text("worker_id", func(e *domain.AuditEvent) *domain.WorkerID { return &e.WorkerID }),
		bigint("checkpoint_sequence", func(e *domain.AuditEvent) *int64 { return &e.CheckpointSequence }),
		text("reason", func(e *domain.AuditEvent) *string { return &e.Reason }),
		sparse(float("progress_percent", func(e *domain.AuditEvent) *float64 { return &e.ProgressPercent }), "0"),
		sparse(text("progress_message", func(e *domain.AuditEvent) *string { return &e.ProgressMessage }), "''"),
		sparse(bigint("cpu_ms", func(e *domain.AuditEvent) *int64 { return &e.Used.CPUMS }), "0"),
		sparse(bigint("peak_memory_mb", func(e *domain.AuditEvent) *int64 { return &e.Used.PeakMemoryMB }), "0"),
	}}
	newAudit    = auditTable.without("audit_id") // the database gives the id
	insertAudit = newAudit.insert()
	selectAudit = "SELECT " + auditTable.names("a") + " FROM audit a"
)

// queueAudit queues the inserts of audit events, in order.
func (t *tx) queueAudit(events []domain.AuditEvent) {
	writeRows(t, newAudit, insertAudit, pointers(events))
}

// Workload implements ports.AuditStore.
func (a audit) Workload(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, after int64, limit int,
) ([]domain.AuditEvent, error) {
	if id == "" {
		return nil, ctx.Err()
	}
	return longHistory(ctx, a.s, customer, auditTable.scan, selectAudit+` WHERE a.workload_id = $1::text
    AND a.workload_id <> ''
 AND a.customer_id = $2::text AND a.audit_id > $3::bigint ORDER BY a.audit_id
    LIMIT $4::bigint`, string(id), string(customer), after, limit)
}

// Worker implements ports.AuditStore.
func (a audit) Worker(ctx context.Context, id domain.WorkerID, after int64, limit int) ([]domain.AuditEvent, error) {
	return longHistory(ctx, a.s, "", auditTable.scan, selectAudit+` WHERE a.worker_id = $1::text
    AND a.workload_id = ''
 AND a.audit_id > $2::bigint ORDER BY a.audit_id LIMIT $3::bigint`, string(id), after, limit)
}

type logs struct{ s *Store }

// List implements ports.LogStore.
func (l logs) List(ctx context.Context, q ports.LogQuery) ([]domain.LogLine, error) {
	newest := q.Newest()
	direction := "ASC"
	if newest {
		direction = "DESC"
	}
	lines, err := longHistory(ctx, l.s, q.Customer, func(row pgx.CollectableRow) (domain.LogLine, error) {
		line := domain.LogLine{CustomerID: q.Customer}
		err := row.Scan(lineTable.targets(&line)...)
		return line, err
	}, "SELECT "+lineTable.names("l")+` FROM workload_logs l JOIN workloads w USING (workload_id)
 WHERE l.workload_id = $1::text AND w.customer_id = $2::text AND l.seq > $3::bigint
 AND ($4::timestamptz IS NULL OR l.at >= $4::timestamptz) AND ($5::timestamptz IS NULL OR l.at < $5::timestamptz)
 ORDER BY l.seq `+direction+` LIMIT $6::bigint`,
		string(q.Workload), string(q.Customer), q.After(), null(q.Since), null(q.Until), q.Limit)
	if newest {
		for i, j := 0, len(lines)-1; i < j; i, j = i+1, j-1 {
			lines[i], lines[j] = lines[j], lines[i]
		}
	}
	return lines, err
}
