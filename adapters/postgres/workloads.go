package postgres

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// Get implements ports.WorkloadStore.
func (w workloads) Get(
	ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	if len(ids) == 0 {
		return nil, ctx.Err()
	}
	return query(ctx, w.s.reads.pool, wholeRow.scan, "SELECT "+wholeColumns+` FROM unnest($1::text[])
    WITH ORDINALITY AS u(workload_id, n)
 JOIN `+wholeTables+` USING (workload_id) WHERE w.customer_id = $2::text ORDER BY u.n`, texts(ids), string(customer))
}

// GetBrief implements ports.WorkloadStore.
func (w workloads) GetBrief(
	ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	if len(ids) == 0 {
		return nil, ctx.Err()
	}
	return query(ctx, w.s.reads.pool, workloadTable.scan, "SELECT "+hotColumns+` FROM unnest($1::text[])
    WITH ORDINALITY AS u(workload_id, n)
 JOIN workloads w USING (workload_id) WHERE w.customer_id = $2::text ORDER BY u.n`, texts(ids), string(customer))
}

// GetAny implements ports.WorkloadStore.
func (w workloads) GetAny(ctx context.Context, ids ...domain.WorkloadID) ([]domain.Workload, error) {
	if len(ids) == 0 {
		return nil, ctx.Err()
	}
	return query(ctx, w.s.pool, wholeRow.scan, "SELECT "+wholeColumns+` FROM unnest($1::text[])
    WITH ORDINALITY AS u(workload_id, n)
 JOIN `+wholeTables+` USING (workload_id) ORDER BY u.n`, texts(ids))
}
