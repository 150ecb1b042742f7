package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/niyanta/niyanta/core/domain"
)

type checkpoints struct{ s *Store }

var (
	// checkpointTable lacks the data: they are large, and most reads do not need them.
	checkpointTable = table[domain.Checkpoint]{"checkpoints", []column[domain.Checkpoint]{
		text("workload_id", func(c *domain.Checkpoint) *domain.WorkloadID { return &c.WorkloadID }),
		bigint("sequence", func(c *domain.Checkpoint) *int64 { return &c.Sequence }),
		bigint("generation", func(c *domain.Checkpoint) *int64 { return &c.Generation }),
		checkpointSize(),
		text("encoding", func(c *domain.Checkpoint) *string { return &c.Encoding }),
		digest("checksum", func(c *domain.Checkpoint) *[32]byte { return &c.Checksum }),
		instant("created_at", func(c *domain.Checkpoint) *time.Time { return &c.CreatedAt }),
		sparse(text("blob_id", func(c *domain.Checkpoint) *domain.BlobID { return &c.Blob }), "''"),
		blobSize(),
	}}
	insertCheckpoint = "INSERT INTO checkpoints (" + checkpointTable.names("") + ", data) SELECT " +
		checkpointTable.each(valueOf) + ", $10::bytea FROM " + checkpointTable.rows()

	// lockUpload locks the upload that a checkpoint refers to. Who sweeps uploads passes over it.
	lockUpload = "SELECT FROM uploads WHERE blob_id = $1::text AND workload_id = $2::text FOR UPDATE"
)

func valueOf(c *column[domain.Checkpoint], _ int) string { return c.value() }

// checkpointSize is the column of sizes as it was before there were large checkpoints: an integer.
func checkpointSize() column[domain.Checkpoint] {
	c := integer("size", func(c *domain.Checkpoint) *int { return &c.Size })
	c.array = func(rows []*domain.Checkpoint) any {
		return each(rows, func(c *domain.Checkpoint) int64 { return int64(min(c.Size, math.MaxInt32)) })
	}
	return c
}

// blobSize is the column of the sizes of checkpoints whose bytes are the value of an upload. It comes
// behind the column size.
func blobSize() column[domain.Checkpoint] {
	c := bigint("blob_size", func(*domain.Checkpoint) *int64 { return nil })
	c.array = func(rows []*domain.Checkpoint) any {
		return each(rows, func(c *domain.Checkpoint) *int64 {
			if c.Blob == "" {
				return nil
			}
			return new(int64(c.Size))
		})
	}
	c.target = func(c *domain.Checkpoint) any { return blobSizeTarget{&c.Size} }
	return c
}

// blobSizeTarget takes a size if there is one.
type blobSizeTarget struct{ size *int }

// ScanInt64 implements pgtype.Int64Scanner.
func (t blobSizeTarget) ScanInt64(v pgtype.Int8) error {
	if v.Valid {
		*t.size = int(v.Int64)
	}
	return nil
}

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
		if err := tx.holdUpload(ctx, &t, cp.Blob); err != nil {
			return domain.Result{}, err
		}
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
			if cp.Blob != "" {
				tx.queue("UPDATE uploads SET committed = true, loose = false WHERE blob_id = $1::text", string(cp.Blob))
			}
		}
		return results[0], tx.commit(ctx)
	})
}

// holdUpload locks the upload that t commits, if any.
func (t *tx) holdUpload(ctx context.Context, commits *domain.Transition, id domain.BlobID) error {
	if id == "" {
		return nil
	}
	var held bool
	t.queue(lockUpload, string(id), string(commits.WorkloadID)).Exec(func(tag pgconn.CommandTag) error {
		held = tag.RowsAffected() > 0
		return nil
	})
	if err := t.flush(ctx); err != nil {
		return err
	}
	if !held {
		return domain.NoUpload()
	}
	return nil
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

// Workload implements ports.CheckpointStore.
func (c checkpoints) Workload(ctx context.Context, id domain.WorkloadID) (domain.Workload, error) {
	found, err := query(ctx, c.s.pool, workloadTable.scan,
		"SELECT "+hotColumns+" FROM workloads w WHERE w.workload_id = $1::text", string(id))
	if err == nil && len(found) == 0 {
		err = domain.NotFound("workload")
	}
	if err != nil {
		return domain.Workload{}, err
	}
	return found[0], nil
}

// List implements ports.CheckpointStore.
func (c checkpoints) List(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID,
) ([]domain.Checkpoint, error) {
	return query(ctx, c.s.pool, checkpointTable.scan, "SELECT "+checkpointTable.names("c")+` FROM checkpoints c
    JOIN workloads w USING (workload_id)
 WHERE c.workload_id = $1::text AND w.customer_id = $2::text ORDER BY c.sequence DESC`, string(id), string(customer))
}
