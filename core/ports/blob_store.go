package ports

import (
	"context"
	"io"

	"github.com/niyanta/niyanta/core/domain"
)

// BlobStore keeps large values by key. It is a storage of its own, without transactions. What refers
// to a value is written after the value, and removed before it.
//
// A key is what domain.ValidateBlobKey accepts, a prefix what domain.ValidateBlobPrefix accepts; any
// other is refused with CodeInvalidInput. Callers do not use a key as the folder of another one: they
// store either "a" or "a/b". CodeUnavailable when the storage cannot be reached or refuses to work.
type BlobStore interface {
	// Put stores all that r delivers, in place of what the key had. It never holds more than a fixed
	// part of the value in memory. The value becomes visible as a whole, once it is as durable as the
	// storage makes it, so that readers see the old value or the new one. If r fails, Put returns its
	// error and nothing is stored; the same holds for a cancelled context, which Put looks at whenever
	// r has delivered something. After any other error the key has the old value or the new one. Of
	// concurrent calls with one key, the value of one remains. r is read by one goroutine, and never
	// after Put has returned.
	//
	// The value is encrypted with the key under. Without one, it is encrypted as the storage encrypts
	// everything, if at all. A storage that does not encrypt with that key, or does not say that it has,
	// returns domain.ErrNotEncrypted, and key has no value, or the old one. CodeInvalidInput if under
	// is no id of a key.
	Put(ctx context.Context, key string, r io.Reader, under domain.EncryptionKeyID) (BlobSum, error)

	// Encrypts reports whether the storage is of a kind that encrypts with keys. Whether it may use a
	// key, only Put finds out.
	Encrypts() bool

	// Get returns a reader of a value, and what it is. The caller closes the reader. It delivers the
	// whole value and then io.EOF, whatever it is encrypted with, even if the value is replaced or
	// deleted meanwhile; otherwise it fails with another error than io.EOF. A context that is cancelled
	// ends it. CodeNotFound when the key has no value.
	Get(ctx context.Context, key string) (io.ReadCloser, domain.Blob, error)

	// Delete removes the value of a key. It succeeds if there is none.
	Delete(ctx context.Context, key string) error

	// List returns up to limit values whose keys begin with prefix and are greater than after, in the
	// order of the bytes of their keys. after is any text. What is stored or deleted meanwhile may be
	// listed or not; nothing else is left out.
	List(ctx context.Context, prefix, after string, limit int) ([]domain.Blob, error)
}

// BlobSum is what Put has stored.
type BlobSum struct {
	Size int64
	// Checksum is the SHA-256 of the value as r delivered it.
	Checksum [32]byte
}
