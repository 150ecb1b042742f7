package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

type checkpoints struct{ s *Store }

// Save implements ports.CheckpointStore.
func (c checkpoints) Save(ctx context.Context, t domain.Transition, cp domain.Checkpoint, data []byte) (domain.Result, error) {
	if t.Event != domain.EventCheckpoint {
		return domain.Result{}, domain.NewError(domain.CodeInternal, "a checkpoint is saved by event %q", t.Event)
	}
	if data == nil {
		data = []byte{}
	}
	return inTx(ctx, c.s, c.s.pool, func(ctx context.Context, tx *tx) (domain.Result, error) {
		results, err := tx.apply(ctx, domain.Batch{Transitions: []domain.Transition{t}})
		if err != nil {
			return domain.Result{}, err
		}
		if results[0].Outcome == domain.OutcomeApplied {
			tx.queue(`INSERT INTO checkpoints (workload_id, sequence, generation, size, encoding, checksum, data, created_at)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, string(t.WorkloadID), t.CheckpointSequence, t.Generation, cp.Size, cp.Encoding, cp.Checksum[:], data, tx.now)
			tx.queue("DELETE FROM checkpoints WHERE workload_id = $1 AND sequence <= $2", string(t.WorkloadID), t.CheckpointSequence-domain.CheckpointsKept)
		}
		return results[0], tx.commit(ctx)
	})
}

const checkpointColumns = "c.workload_id, c.sequence, c.generation, c.size, c.encoding, c.checksum, c.created_at"

func scanCheckpoint(row pgx.CollectableRow, more ...any) (domain.Checkpoint, error) {
	var c domain.Checkpoint
	var checksum []byte
	var created time.Time
	targets := []any{&c.WorkloadID, &c.Sequence, &c.Generation, &c.Size, &c.Encoding, &checksum, &created}
	err := row.Scan(append(targets, more...)...)
	copy(c.Checksum[:], checksum)
	c.CreatedAt = created.UTC()
	return c, err
}

// Load implements ports.CheckpointStore.
func (c checkpoints) Load(ctx context.Context, id domain.WorkloadID, sequence int64) (domain.Checkpoint, []byte, error) {
	var data []byte
	found, err := query(ctx, c.s.pool, func(row pgx.CollectableRow) (domain.Checkpoint, error) { return scanCheckpoint(row, &data) },
		"SELECT "+checkpointColumns+`, c.data FROM checkpoints c WHERE c.workload_id = $1::text AND ($2::bigint = 0 OR c.sequence = $2::bigint)
 ORDER BY c.sequence DESC LIMIT 1`, string(id), sequence)
	if err == nil && len(found) == 0 {
		err = domain.NotFound("checkpoint")
	}
	if err != nil {
		return domain.Checkpoint{}, nil, err
	}
	return found[0], data, nil
}

// List implements ports.CheckpointStore.
func (c checkpoints) List(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID) ([]domain.Checkpoint, error) {
	return query(ctx, c.s.pool, func(row pgx.CollectableRow) (domain.Checkpoint, error) { return scanCheckpoint(row) },
		"SELECT "+checkpointColumns+` FROM checkpoints c JOIN workloads w USING (workload_id)
 WHERE c.workload_id = $1::text AND w.customer_id = $2::text ORDER BY c.sequence DESC`, string(id), string(customer))
}
