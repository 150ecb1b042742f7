package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// events reads from the primary: what a replica does not have yet would be missed for good.
type events struct{ s *Store }

var (
	selectAuditOfWorkload = selectAudit + ` WHERE a.workload_id = $1::text AND a.workload_id <> ''
 AND a.customer_id = $2::text AND a.audit_id > $3::bigint ORDER BY a.audit_id LIMIT $4::bigint`
	selectLinesBehind = "SELECT " + lineTable.names("l") + ` FROM workload_logs l JOIN workloads w USING (workload_id)
 WHERE l.workload_id = $1::text AND w.customer_id = $2::text AND l.seq > $3::bigint ORDER BY l.seq LIMIT $4::bigint`
	selectAuditOfCustomer = selectAudit + ` WHERE a.customer_id = $1::text AND a.workload_id <> ''
 AND a.audit_id > $2::bigint AND a.audit_id <= $3::bigint ORDER BY a.audit_id LIMIT $4::bigint`
	selectAuditOfAll = selectAudit + ` WHERE a.workload_id <> '' AND a.audit_id > $1::bigint
 AND a.audit_id <= $2::bigint ORDER BY a.audit_id LIMIT $3::bigint`
	selectEnds = `SELECT u.workload_id, a.audit_id, coalesce(p.last_seq, 0) FROM unnest($1::text[]) AS u(workload_id)
 CROSS JOIN LATERAL (SELECT a.audit_id FROM audit a WHERE a.workload_id = u.workload_id AND a.workload_id <> ''
  ORDER BY a.audit_id DESC LIMIT 1) a LEFT JOIN log_positions p USING (workload_id)`
	selectCustomerEnds = `SELECT u.customer_id, a.audit_id FROM unnest($1::text[]) AS u(customer_id)
 CROSS JOIN LATERAL (SELECT a.audit_id FROM audit a WHERE a.customer_id = u.customer_id AND a.workload_id <> ''
  ORDER BY a.audit_id DESC LIMIT 1) a`
)

// OfWorkload implements ports.EventStore.
func (e events) OfWorkload(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, after domain.Position, limit int,
) (domain.EventPage, error) {
	if id == "" {
		return domain.EventPage{}, ctx.Err()
	}
	return inTurn(ctx, e.s.reads, customer, func(ctx context.Context) (domain.EventPage, error) {
		return e.page(ctx, customer, id, after, limit)
	})
}

// page reads a page. Both reads see one snapshot, so that no line of a run seems to be missing when
// its end is seen.
func (e events) page(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, after domain.Position, limit int,
) (domain.EventPage, error) {
	var p domain.EventPage
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
	audit := b.Queue(selectAuditOfWorkload, string(id), string(customer), after.Audit, limit+1)
	audit.Query(func(rows pgx.Rows) (err error) {
		p.Audit, err = pgx.CollectRows(rows, auditTable.scan)
		return err
	})
	lines := b.Queue(selectLinesBehind, string(id), string(customer), after.Log, limit+1)
	lines.Query(func(rows pgx.Rows) (err error) {
		p.Lines, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.LogLine, error) {
			line := domain.LogLine{CustomerID: customer}
			return line, row.Scan(lineTable.targets(&line)...)
		})
		return err
	})
	b.Queue("COMMIT")
	if err := e.s.reads.pool.SendBatch(ctx, b).Close(); err != nil {
		return domain.EventPage{}, translate(ctx, err)
	}
	p.MoreAudit, p.MoreLines = len(p.Audit) > limit, len(p.Lines) > limit
	p.Audit, p.Lines = p.Audit[:min(limit, len(p.Audit))], p.Lines[:min(limit, len(p.Lines))]
	return p, nil
}

// OfCustomer implements ports.EventStore.
func (e events) OfCustomer(
	ctx context.Context, customer domain.CustomerID, after, upTo int64, limit int,
) ([]domain.AuditEvent, error) {
	return longRead(ctx, e.s.reads, customer, auditTable.scan, selectAuditOfCustomer,
		string(customer), after, upTo, limit)
}

// OfAll implements ports.EventStore.
func (e events) OfAll(ctx context.Context, after, upTo int64, limit int) ([]domain.AuditEvent, error) {
	return longRead(ctx, e.s.reads, "", auditTable.scan, selectAuditOfAll, after, upTo, limit)
}

// Ends implements ports.EventStore.
func (e events) Ends(
	ctx context.Context, ids []domain.WorkloadID,
) (map[domain.WorkloadID]domain.Position, error) {
	ends := make(map[domain.WorkloadID]domain.Position, len(ids))
	_, err := longRead(ctx, e.s.reads, "", func(row pgx.CollectableRow) (none struct{}, err error) {
		var id domain.WorkloadID
		var end domain.Position
		err = row.Scan(&id, &end.Audit, &end.Log)
		ends[id] = end
		return none, err
	}, selectEnds, texts(ids))
	return ends, err
}

// CustomerEnds implements ports.EventStore.
func (e events) CustomerEnds(
	ctx context.Context, ids []domain.CustomerID,
) (map[domain.CustomerID]int64, error) {
	ends := make(map[domain.CustomerID]int64, len(ids))
	_, err := longRead(ctx, e.s.reads, "", func(row pgx.CollectableRow) (none struct{}, err error) {
		var id domain.CustomerID
		var end int64
		err = row.Scan(&id, &end)
		ends[id] = end
		return none, err
	}, selectCustomerEnds, texts(ids))
	return ends, err
}
