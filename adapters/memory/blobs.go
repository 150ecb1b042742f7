package memory

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/niyanta/niyanta/adapters/internal/summed"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Blobs implements ports.BlobStore. Its values are in memory as a whole.
type Blobs struct {
	clock    ports.Clock
	encrypts bool

	mu     sync.Mutex
	refuse map[domain.EncryptionKeyID]bool
	values map[string]blob
}

type blob struct {
	domain.Blob
	data  []byte
	under domain.EncryptionKeyID
}

// NewBlobs returns an empty storage that reads its time from clock.
func NewBlobs(clock ports.Clock) *Blobs { return &Blobs{clock: clock, values: map[string]blob{}} }

// NewKeyedBlobs returns an empty storage for tests that notes the key of each value, as if it encrypted.
func NewKeyedBlobs(clock ports.Clock) *Blobs {
	b := NewBlobs(clock)
	b.encrypts, b.refuse = true, map[domain.EncryptionKeyID]bool{}
	return b
}

// Refuse says whether a storage of NewKeyedBlobs may use a key.
func (b *Blobs) Refuse(under domain.EncryptionKeyID, refused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse[under] = refused
}

// Under returns the key that a value was stored under.
func (b *Blobs) Under(key string) domain.EncryptionKeyID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.values[key].under
}

// Encrypts implements ports.BlobStore.
func (b *Blobs) Encrypts() bool { return b.encrypts }

// mayUse returns an error unless the storage may use a key.
func (b *Blobs) mayUse(under domain.EncryptionKeyID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case under == "":
	case !b.encrypts:
		return domain.ErrNotEncrypted("the storage does not encrypt with keys", nil)
	case b.refuse[under]:
		return domain.ErrNotEncrypted("the storage may not use the key", nil)
	}
	return nil
}

// Put implements ports.BlobStore.
func (b *Blobs) Put(
	ctx context.Context, key string, r io.Reader, under domain.EncryptionKeyID,
) (ports.BlobSum, error) {
	if err := errors.Join(domain.ValidateBlobKey(key), under.Validate("under")); err != nil {
		return ports.BlobSum{}, err
	}
	if err := b.mayUse(under); err != nil {
		return ports.BlobSum{}, err
	}
	s := summed.New(ctx, r)
	data, _ := io.ReadAll(s) // s has the error
	if err := s.Err(); err != nil {
		return ports.BlobSum{}, err
	}
	sum := s.Sum()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.values[key] = blob{domain.Blob{Key: key, Size: sum.Size, ModifiedAt: b.clock.Now()}, data, under}
	return sum, nil
}

// Get implements ports.BlobStore.
func (b *Blobs) Get(ctx context.Context, key string) (io.ReadCloser, domain.Blob, error) {
	if err := domain.ValidateBlobKey(key); err != nil {
		return nil, domain.Blob{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, domain.Blob{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v, found := b.values[key]
	if !found {
		return nil, domain.Blob{}, domain.NotFound("blob")
	}
	return value{ctx, bytes.NewReader(v.data)}, v.Blob, nil // nobody changes v.data
}

// Delete implements ports.BlobStore.
func (b *Blobs) Delete(ctx context.Context, key string) error {
	if err := domain.ValidateBlobKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.values, key)
	return nil
}

// List implements ports.BlobStore.
func (b *Blobs) List(ctx context.Context, prefix, after string, limit int) ([]domain.Blob, error) {
	if err := domain.ValidateBlobPrefix(prefix); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []domain.Blob
	for _, key := range slices.Sorted(maps.Keys(b.values)) {
		if strings.HasPrefix(key, prefix) && key > after && len(out) < limit {
			out = append(out, b.values[key].Blob)
		}
	}
	return out, nil
}

// value reads a value until its context is over.
type value struct {
	ctx context.Context //nolint:containedctx // it belongs to the call that returned it
	r   *bytes.Reader
}

// Read implements io.Reader.
func (v value) Read(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}
	return v.r.Read(p)
}

// Close implements io.Closer.
func (value) Close() error { return nil }
