package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type audit struct{ s *Store }

const auditColumns = `a.audit_id, a.at, a.workload_id, a.customer_id, a.type, a.actor_kind, a.actor_id, a.from_status, a.to_status, a.generation,
 a.worker_id, a.checkpoint_sequence, a.reason`

func scanAudit(row pgx.CollectableRow) (domain.AuditEvent, error) {
	var e domain.AuditEvent
	err := row.Scan(&e.ID, &e.At, &e.WorkloadID, &e.CustomerID, &e.Type, &e.Actor.Kind, &e.Actor.ID, &e.From, &e.To, &e.Generation,
		&e.WorkerID, &e.CheckpointSequence, &e.Reason)
	e.At = e.At.UTC()
	return e, err
}

// Workload implements ports.AuditStore.
func (a audit) Workload(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, after int64, limit int) ([]domain.AuditEvent, error) {
	if id == "" {
		return nil, ctx.Err()
	}
	return longRead(ctx, a.s.history, customer, scanAudit, "SELECT "+auditColumns+` FROM audit a WHERE a.workload_id = $1::text AND a.workload_id <> ''
 AND a.customer_id = $2::text AND a.audit_id > $3::bigint ORDER BY a.audit_id LIMIT $4::bigint`, string(id), string(customer), after, limit)
}

// Worker implements ports.AuditStore.
func (a audit) Worker(ctx context.Context, id domain.WorkerID, after int64, limit int) ([]domain.AuditEvent, error) {
	return longRead(ctx, a.s.history, "", scanAudit, "SELECT "+auditColumns+` FROM audit a WHERE a.worker_id = $1::text AND a.workload_id = ''
 AND a.audit_id > $2::bigint ORDER BY a.audit_id LIMIT $3::bigint`, string(id), after, limit)
}

type logs struct{ s *Store }

// List implements ports.LogStore.
func (l logs) List(ctx context.Context, q ports.LogQuery) ([]domain.LogLine, error) {
	newest := q.AfterSeq == 0 && q.Since.IsZero()
	direction := "ASC"
	if newest {
		direction = "DESC"
	}
	lines, err := longRead(ctx, l.s.history, q.Customer, func(row pgx.CollectableRow) (line domain.LogLine, err error) {
		err = row.Scan(&line.WorkloadID, &line.CustomerID, &line.Seq, &line.Generation, &line.At, &line.Level, &line.Stream, &line.Message)
		line.At = line.At.UTC()
		return line, err
	}, `SELECT l.workload_id, w.customer_id, l.seq, l.generation, l.at, l.level, l.stream, l.message FROM workload_logs l JOIN workloads w USING (workload_id)
 WHERE l.workload_id = $1::text AND w.customer_id = $2::text AND l.seq > $3::bigint
 AND ($4::timestamptz IS NULL OR l.at >= $4::timestamptz) AND ($5::timestamptz IS NULL OR l.at < $5::timestamptz)
 ORDER BY l.seq `+direction+` LIMIT $6::bigint`,
		string(q.Workload), string(q.Customer), q.AfterSeq, null(q.Since), null(q.Until), q.Limit)
	if newest {
		for i, j := 0, len(lines)-1; i < j; i, j = i+1, j-1 {
			lines[i], lines[j] = lines[j], lines[i]
		}
	}
	return lines, err
}
