package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

type checkpoints struct{ s *Store }

var (
	// checkpointTable lacks the data: they are large, and most reads do not need them.
	checkpointTable = table[domain.Checkpoint]{"checkpoints", []column[domain.Checkpoint]{
		text("workload_id", func(c *domain.Checkpoint) *domain.WorkloadID { return &c.WorkloadID }),
		bigint("sequence", func(c *domain.Checkpoint) *int64 { return &c.Sequence }),
		bigint("generation", func(c *domain.Checkpoint) *int64 { return &c.Generation }),
		integer("size", func(c *domain.Checkpoint) *int { return &c.Size }),
		text("encoding", func(c *domain.Checkpoint) *string { return &c.Encoding }),
		digest("checksum", func(c *domain.Checkpoint) *[32]byte { return &c.Checksum }),
		instant("created_at", func(c *domain.Checkpoint) *time.Time { return &c.CreatedAt }),
	}}
	insertCheckpoint = "INSERT INTO checkpoints (" + checkpointTable.names("") + ", data) SELECT " +
		checkpointTable.names("u") +
		", $8::bytea FROM " + checkpointTable.rows()
)

// Save implements ports.CheckpointStore.
func (c checkpoints) Save(
	ctx context.Context, t domain.Transition, cp domain.Checkpoint, data []byte,
) (domain.Result, error) {
	if err := t.SavesCheckpoint(); err != nil {
		return domain.Result{}, err
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
			saved := cp.SavedBy(&t, tx.now)
			tx.queue(insertCheckpoint, append(checkpointTable.args([]*domain.Checkpoint{&saved}), data)...)
			tx.queue(
				"DELETE FROM checkpoints WHERE workload_id = $1 AND sequence <= $2", string(t.WorkloadID),
				t.CheckpointSequence-domain.CheckpointsKept,
			)
		}
		return results[0], tx.commit(ctx)
	})
}

// Load implements ports.CheckpointStore.
func (c checkpoints) Load(
	ctx context.Context, id domain.WorkloadID, sequence int64,
) (domain.Checkpoint, []byte, error) {
	var data []byte
	found, err := query(ctx, c.s.pool, func(row pgx.CollectableRow) (cp domain.Checkpoint, err error) {
		err = row.Scan(checkpointTable.targets(&cp, &data)...)
		return cp, err
	}, "SELECT "+checkpointTable.names("c")+`, c.data FROM checkpoints c WHERE c.workload_id = $1::text
    AND ($2::bigint = 0 OR c.sequence = $2::bigint)
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
func (c checkpoints) List(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID,
) ([]domain.Checkpoint, error) {
	return query(ctx, c.s.pool, checkpointTable.scan, "SELECT "+checkpointTable.names("c")+` FROM checkpoints c
    JOIN workloads w USING (workload_id)
 WHERE c.workload_id = $1::text AND w.customer_id = $2::text ORDER BY c.sequence DESC`, string(id), string(customer))
}
