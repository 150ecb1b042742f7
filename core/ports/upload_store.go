package ports

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// UploadStore records the values in a BlobStore beside what refers to them (same storage as
// CheckpointStore). An upload is recorded before its value is written. CheckpointStore.Save commits
// it. When nothing refers to it any more, it becomes garbage; then its value is deleted, and at last
// forgotten. Whoever removes a checkpoint need not know of uploads.
type UploadStore interface {
	// Begin records an upload; BeganAt is the store's time. CodeNotFound when its customer does not
	// exist or is being deleted.
	Begin(ctx context.Context, u domain.Upload) error

	// Sweep makes garbage of up to limit uploads that no checkpoint refers to: committed ones, those
	// that began domain.UploadAge ago, and those of customers that are being deleted. An upload that
	// Save is about to commit is garbage or committed, never both. It returns how many uploads it has
	// looked at; if they are fewer than limit, nothing is left to sweep now.
	Sweep(ctx context.Context, limit int) (looked int, err error)

	// Discard makes garbage of an upload at once, unless a checkpoint refers to it or it is being
	// committed.
	Discard(ctx context.Context, id domain.BlobID) error

	// Garbage returns up to limit uploads behind the id after whose values are to be deleted now,
	// ordered by id. Each comes twice: at once, and domain.GarbageAgain after it was deleted.
	Garbage(ctx context.Context, after domain.BlobID, limit int) ([]domain.BlobID, error)

	// Deleted notes that the values of garbage have been deleted. It ignores ids that Garbage does not
	// return.
	Deleted(ctx context.Context, ids ...domain.BlobID) error
}
