package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

type uploads struct{ s *Store }

// beginUpload holds the customer, so that a deletion that ends meanwhile sees the upload.
const beginUpload = `INSERT INTO uploads (blob_id, customer_id, workload_id, began_at)
 SELECT $1::text, customer_id, $3::text, niyanta_now() FROM customers
  WHERE customer_id = $2::text AND deleting_at IS NULL FOR KEY SHARE`

// Begin implements ports.UploadStore.
func (u uploads) Begin(ctx context.Context, up domain.Upload) error {
	n, err := exec(ctx, u.s.pool, beginUpload, string(up.ID), string(up.CustomerID), string(up.WorkloadID))
	if err == nil && n == 0 {
		return domain.NotFound("customer")
	}
	return err
}

// lockSwept locks loose uploads. Those that a transaction is about to commit are locked by it, and
// left out.
const lockSwept = `SELECT u.blob_id FROM uploads u WHERE u.loose AND (u.committed
  OR u.began_at <= niyanta_now() - $2::bigint * interval '1 microsecond'
  OR EXISTS (SELECT FROM customers c WHERE c.customer_id = u.customer_id AND c.deleting_at IS NOT NULL))
 ORDER BY u.began_at LIMIT $1::bigint FOR UPDATE OF u SKIP LOCKED`

// Sweep implements ports.UploadStore.
func (u uploads) Sweep(ctx context.Context, limit int) (int, error) {
	return u.discard(ctx, lockSwept, limit, domain.UploadAge.Microseconds())
}

// Discard implements ports.UploadStore.
func (u uploads) Discard(ctx context.Context, id domain.BlobID) error {
	_, err := u.discard(ctx, "SELECT blob_id FROM uploads WHERE blob_id = $1::text FOR UPDATE SKIP LOCKED", string(id))
	return err
}

// discard makes garbage of the uploads that a statement locks, except those that checkpoints refer to.
// These are looked for when the locks are held: whoever refers to an upload for the first time holds
// its lock, and whoever copies a reference holds the checkpoint that it copies.
func (u uploads) discard(ctx context.Context, lock string, args ...any) (int, error) {
	return inTx(ctx, u.s, u.s.pool, func(ctx context.Context, t *tx) (int, error) {
		var ids []string
		t.queue(lock, args...).Query(func(rows pgx.Rows) (err error) {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
		if err := t.read(ctx); err != nil {
			return 0, err
		}
		t.queue(`UPDATE uploads u SET loose = false WHERE u.blob_id = ANY($1::text[])
 AND EXISTS (SELECT FROM checkpoints c WHERE c.blob_id = u.blob_id)`, ids)
		t.queue(`WITH gone AS (DELETE FROM uploads WHERE blob_id = ANY($1::text[]) AND loose RETURNING blob_id, customer_id)
 INSERT INTO upload_garbage (blob_id, customer_id, due_at) SELECT blob_id, customer_id, niyanta_now() FROM gone`, ids)
		return len(ids), t.commit(ctx)
	})
}

// Garbage implements ports.UploadStore.
func (u uploads) Garbage(ctx context.Context, after domain.BlobID, limit int) ([]domain.BlobID, error) {
	return query(ctx, u.s.pool, pgx.RowTo[domain.BlobID], `SELECT blob_id FROM upload_garbage
 WHERE blob_id > $1::text AND due_at <= niyanta_now() ORDER BY blob_id LIMIT $2::bigint`, string(after), limit)
}

// Deleted implements ports.UploadStore.
func (u uploads) Deleted(ctx context.Context, ids ...domain.BlobID) error {
	_, err := inTx(ctx, u.s, u.s.pool, func(ctx context.Context, t *tx) (struct{}, error) {
		t.queue(`DELETE FROM upload_garbage
 WHERE blob_id = ANY($1::text[]) AND customer_id IS NULL AND due_at <= niyanta_now()`, texts(ids))
		t.queue(`UPDATE upload_garbage SET customer_id = NULL,
 due_at = niyanta_now() + $2::bigint * interval '1 microsecond'
 WHERE blob_id = ANY($1::text[]) AND customer_id IS NOT NULL`, texts(ids), domain.GarbageAgain.Microseconds())
		if err := t.read(ctx); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, t.commit(ctx)
	})
	return err
}
