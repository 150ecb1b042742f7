package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// restoredCheckpoint is the copy of a checkpoint for a new workload.
type restoredCheckpoint struct{ copied, original domain.Checkpoint }

var (
	restoredTable = table[restoredCheckpoint]{"checkpoints", join(
		part(func(r *restoredCheckpoint) *domain.Checkpoint { return &r.copied }, checkpointTable.columns),
		[]column[restoredCheckpoint]{
			text("of", func(r *restoredCheckpoint) *domain.WorkloadID { return &r.original.WorkloadID }),
			bigint("of_sequence", func(r *restoredCheckpoint) *int64 { return &r.original.Sequence }),
		},
	)}
	// copyCheckpoints copies the bytes in the server: they may be large.
	copyCheckpoints = "INSERT INTO checkpoints (" + checkpointTable.names("") + ", data) SELECT " +
		checkpointTable.each(valueOf) +
		", c.data FROM " + restoredTable.rows() + " JOIN checkpoints c ON c.workload_id = u.of AND c.sequence = u.of_sequence"

	// selectRestored finds what submissions are to continue from. The rows are locked, so that they
	// can still be copied when the transaction writes.
	selectRestored = "SELECT u.workload_id, " + checkpointTable.names("c") + ` FROM
 unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS u(workload_id, customer_id, retry_of, sequence)
 CROSS JOIN LATERAL (SELECT ` + checkpointTable.names("c") + ` FROM workloads w JOIN checkpoints c USING (workload_id)
  WHERE w.workload_id = u.retry_of AND w.customer_id = u.customer_id AND (u.sequence = 0 OR c.sequence = u.sequence)
  AND (c.blob_id IS NOT NULL OR sha256(c.data) = c.checksum) ORDER BY c.sequence DESC LIMIT 1 FOR SHARE OF c) c`
)

// queueRestored reads the checkpoints that submissions are to continue from.
func (t *tx) queueRestored(batch []domain.Submission, into map[domain.WorkloadID]*domain.Checkpoint) {
	var ids, customers, originals []string
	var sequences []int64
	for i := range batch {
		if s := &batch[i]; s.Restore != nil {
			ids, customers = append(ids, string(s.ID)), append(customers, string(s.CustomerID))
			originals, sequences = append(originals, string(s.RetryOf)), append(sequences, s.Restore.Sequence)
		}
	}
	if len(ids) == 0 {
		return
	}
	t.queue(selectRestored, ids, customers, originals, sequences).Query(func(rows pgx.Rows) error {
		var id domain.WorkloadID
		var c domain.Checkpoint
		_, err := pgx.ForEachRow(rows, append([]any{&id}, checkpointTable.targets(&c)...), func() error {
			into[id] = new(c)
			return nil
		})
		return err
	})
}
