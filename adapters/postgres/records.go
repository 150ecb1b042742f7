package postgres

import (
	"context"
	"time"

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

// Append implements ports.LogStore.
func (l logs) Append(ctx context.Context, lines []domain.LogLine) error {
	if len(lines) == 0 {
		return ctx.Err()
	}
	n := map[domain.WorkloadID]int64{}
	for _, line := range lines {
		n[line.WorkloadID]++
	}
	ids, counts := make([]string, 0, len(n)), make([]int64, 0, len(n))
	for id, count := range n {
		ids, counts = append(ids, string(id)), append(counts, count)
	}
	_, err := inTx(ctx, l.s, l.s.pool, func(ctx context.Context, t *tx) (struct{}, error) {
		last := map[domain.WorkloadID]int64{}
		// Lines of a workload that retention removed while they were under way find no workload and are left out.
		t.queue(`INSERT INTO log_positions AS p (workload_id, last_seq)
 SELECT u.workload_id, u.n FROM unnest($1::text[], $2::bigint[]) AS u(workload_id, n) JOIN workloads w USING (workload_id) ORDER BY u.workload_id
 ON CONFLICT (workload_id) DO UPDATE SET last_seq = p.last_seq + excluded.last_seq RETURNING p.workload_id, p.last_seq`, ids, counts).
			Query(func(rows pgx.Rows) error {
				var id domain.WorkloadID
				var seq int64
				_, err := pgx.ForEachRow(rows, []any{&id, &seq}, func() error { last[id] = seq; return nil })
				return err
			})
		if err := t.read(ctx); err != nil {
			return struct{}{}, err
		}
		t.insertLines(number(lines, last, n))
		t.queue(`DELETE FROM workload_logs l USING unnest($1::text[], $2::bigint[]) AS u(workload_id, last_seq)
 WHERE l.workload_id = u.workload_id AND l.seq <= u.last_seq - $3::bigint`, ids, column(ids, func(id string) int64 { return last[domain.WorkloadID(id)] }), domain.MaxLogLines)
		return struct{}{}, t.commit(ctx)
	})
	return err
}

// number gives the lines their places; last are the workloads' positions behind them.
func number(lines []domain.LogLine, last, n map[domain.WorkloadID]int64) []domain.LogLine {
	next := make(map[domain.WorkloadID]int64, len(last))
	for id, seq := range last {
		next[id] = seq - n[id]
	}
	out := make([]domain.LogLine, 0, len(lines))
	for _, line := range lines {
		if _, known := last[line.WorkloadID]; known {
			next[line.WorkloadID]++
			line.Seq = next[line.WorkloadID]
			out = append(out, line)
		}
	}
	return out
}

func (t *tx) insertLines(lines []domain.LogLine) {
	if len(lines) == 0 {
		return
	}
	type l = domain.LogLine
	t.queue(`INSERT INTO workload_logs (workload_id, seq, generation, at, level, stream, message)
 SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::text[])`,
		column(lines, func(l l) string { return string(l.WorkloadID) }), column(lines, func(l l) int64 { return l.Seq }),
		column(lines, func(l l) int64 { return l.Generation }), column(lines, func(l l) time.Time { return l.At }),
		column(lines, func(l l) string { return l.Level }), column(lines, func(l l) string { return l.Stream }),
		column(lines, func(l l) string { return l.Message }))
}

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
