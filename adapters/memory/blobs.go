package memory

import (
	"bytes"
	"context"
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
	clock ports.Clock

	mu     sync.Mutex
	values map[string]blob
}

type blob struct {
	domain.Blob
	data []byte
}

// NewBlobs returns an empty storage that reads its time from clock.
func NewBlobs(clock ports.Clock) *Blobs { return &Blobs{clock: clock, values: map[string]blob{}} }

// Put implements ports.BlobStore.
func (b *Blobs) Put(ctx context.Context, key string, r io.Reader) (ports.BlobSum, error) {
	if err := domain.ValidateBlobKey(key); err != nil {
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
	b.values[key] = blob{domain.Blob{Key: key, Size: sum.Size, ModifiedAt: b.clock.Now()}, data}
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
