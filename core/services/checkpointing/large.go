package checkpointing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// discardTimeout bounds how long it is tried to note that an upload is not needed. The sweep finds
	// it later.
	discardTimeout = 5 * time.Second
	// damagedLimit bounds the values that are remembered as damaged.
	damagedLimit = 10_000
	// sweepLimit bounds the uploads and the values of one batch of the sweep.
	sweepLimit = 100
)

// bodyOf returns the bytes of a checkpoint as a stream.
func bodyOf(up *ports.CheckpointUpload) ports.Body {
	if up.Body != nil {
		return *up.Body
	}
	return ports.Body{Size: int64(len(up.Data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(up.Data)), nil
	}}
}

// upload writes a large checkpoint and commits it. See docs/decisions/0030-large-checkpoints.md for
// the order of the steps.
func (s *Service) upload(
	ctx context.Context, t domain.Transition, body ports.Body,
) (size int, res domain.Result, err error) {
	w, out, err := s.expected(ctx, &t)
	if err != nil || out.Outcome != domain.OutcomeApplied {
		return 0, out, err
	}
	// It is read for each value, so that a key that is set applies to all that is written from then on.
	customer, err := s.deps.Customers.Get(ctx, w.CustomerID)
	if err != nil {
		return 0, res, fmt.Errorf("look for the key of the checkpoint: %w", err)
	}
	u := domain.Upload{
		ID: domain.BlobID(s.deps.IDs.New("blob_")), CustomerID: w.CustomerID, WorkloadID: w.ID,
	}
	if err := s.deps.Uploads.Begin(ctx, u); err != nil {
		return 0, res, err
	}
	defer func() {
		if err != nil || res.Outcome != domain.OutcomeApplied {
			s.discard(ctx, u.ID)
		}
	}()
	sum, err := s.put(ctx, u.ID, body, customer.EncryptionKeyID)
	if err != nil {
		s.notEncrypted(u, t.CheckpointSequence, err)
		return int(sum.Size), res, err
	}
	c := domain.Checkpoint{Size: int(sum.Size), Checksum: sum.Checksum, Blob: u.ID}
	res, err = s.commit(ctx, t, c, nil)
	return c.Size, res, err
}

// expected returns the workload, and what would become of the transition now. Unless that is
// OutcomeApplied, its value need not be written.
func (s *Service) expected(ctx context.Context, t *domain.Transition) (w domain.Workload, r domain.Result, err error) {
	r = domain.Result{WorkloadID: t.WorkloadID, Outcome: domain.OutcomeNotFound}
	switch w, err = s.deps.Checkpoints.Workload(ctx, t.WorkloadID); {
	case domain.IsCode(err, domain.CodeNotFound):
		return w, r, nil
	case err != nil:
		return w, r, err
	}
	r.Outcome, _, _ = domain.Decide(&w, t, s.deps.Clock.Now())
	r.State = w.State
	return w, r, nil
}

// notEncrypted tells of a value that was refused because of its key.
func (s *Service) notEncrypted(u domain.Upload, sequence int64, err error) {
	if domain.IsNotEncrypted(err) {
		s.deps.Observer.Count("encryption_refused", 1)
		s.deps.Log.Error("large checkpoint is not saved: it cannot be encrypted with the key of its customer",
			"customer_id", u.CustomerID, "workload_id", u.WorkloadID, "sequence", sequence, "error", err)
	}
}

// put writes a value under a key.
func (s *Service) put(
	ctx context.Context, id domain.BlobID, body ports.Body, under domain.EncryptionKeyID,
) (sum ports.BlobSum, err error) {
	from, err := body.Open()
	if err != nil {
		return sum, err
	}
	defer func() { _ = from.Close() }() // it was read
	ctx, cancel := context.WithTimeout(ctx, domain.UploadTimeout)
	defer cancel()
	bounded := &bounded{r: from, left: s.deps.Max, over: s.tooLarge(0)}
	sum, err = s.deps.Blobs.Put(ctx, id.Key(), bounded, under)
	switch {
	case err != nil && bounded.failed != nil && ctx.Err() == nil:
		return sum, bounded.failed
	case err == nil && body.Size >= 0 && sum.Size != body.Size:
		return sum, domain.Invalid("body", "has %d bytes instead of %d", sum.Size, body.Size)
	}
	s.storageFailed(ctx, err)
	return sum, err
}

// storageFailed counts a failure of the storage. What the caller has given up is none.
func (s *Service) storageFailed(ctx context.Context, err error) {
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		s.deps.Observer.Count("checkpoint_storage_failed", 1)
	}
}

// bounded reads up to a number of bytes, and notes why it failed.
type bounded struct {
	r      io.Reader
	left   int64
	over   error // is returned behind them
	failed error
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		b.failed = b.over
		return 0, b.over
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed = domain.Invalid("body", "could not be read to its end")
		err = b.failed
	}
	return n, err
}

// discard gives up an upload. What fails is left to the sweep.
func (s *Service) discard(ctx context.Context, id domain.BlobID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	if err := s.deps.Uploads.Discard(ctx, id); err != nil {
		s.deps.Log.Debug("upload is not discarded yet", "blob_id", id, "error", err)
	}
}

// download opens the value of a checkpoint. damaged reports whether it is known not to be what was
// saved.
func (s *Service) download(ctx context.Context, c domain.Checkpoint) (r io.ReadCloser, damaged bool, err error) {
	if s.deps.Blobs == nil {
		return nil, false, domain.NewError(domain.CodeUnavailable,
			"checkpoint %d is in a storage that this coordinator is not configured for", c.Sequence)
	}
	if s.knownDamaged(c.Blob) {
		return nil, true, nil
	}
	r, b, err := s.deps.Blobs.Get(ctx, c.Blob.Key())
	switch {
	case domain.IsCode(err, domain.CodeNotFound):
		s.noteDamaged(c, errors.New("its value is missing"))
		return nil, true, nil
	case err != nil:
		s.storageFailed(ctx, err)
		return nil, false, err
	case b.Size != int64(c.Size):
		_ = r.Close() // nothing of it is used
		s.noteDamaged(c, fmt.Errorf("its value has %d bytes instead of %d", b.Size, c.Size))
		return nil, true, nil
	}
	return &verified{ReadCloser: r, ctx: ctx, service: s, checkpoint: c, sum: sha256.New()}, false, nil
}

func (s *Service) knownDamaged(id domain.BlobID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damaged[id]
}

func (s *Service) noteDamaged(c domain.Checkpoint, why error) {
	s.isDamaged(c, why)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.damaged) >= damagedLimit {
		clear(s.damaged) // they are found again
	}
	s.damaged[c.Blob] = true
}

// verified reads a value. It delivers the last bytes only if the checksum of all of them holds.
type verified struct {
	io.ReadCloser
	ctx        context.Context //nolint:containedctx // the one that the storage reads with
	service    *Service
	checkpoint domain.Checkpoint
	sum        hash.Hash
	n          int64
	failed     error
}

// Read implements io.Reader.
func (v *verified) Read(p []byte) (int, error) {
	if v.failed != nil {
		return 0, v.failed
	}
	n, err := v.ReadCloser.Read(p)
	v.sum.Write(p[:n]) // never fails
	v.n += int64(n)
	size := int64(v.checkpoint.Size)
	switch {
	case v.n > size, v.n == size && n > 0 && [32]byte(v.sum.Sum(nil)) != v.checkpoint.Checksum:
		v.failed = domain.NewError(domain.CodeInternal, "checksum of checkpoint %d does not hold", v.checkpoint.Sequence)
		v.service.noteDamaged(v.checkpoint, v.failed)
	case errors.Is(err, io.EOF) && v.n < size:
		v.failed = domain.Unavailable(0, "the value of checkpoint %d ends too early", v.checkpoint.Sequence)
		v.service.storageFailed(v.ctx, v.failed)
	case err != nil && !errors.Is(err, io.EOF):
		v.service.storageFailed(v.ctx, err)
	}
	if v.failed != nil {
		return 0, v.failed
	}
	return n, err
}

// Sweep makes garbage of uploads that nothing refers to, and deletes garbage. It runs on the leader.
// What cannot be deleted does not keep the rest from being deleted.
func (s *Service) Sweep(ctx context.Context) error {
	if s.deps.Blobs == nil {
		return nil
	}
	for {
		n, err := s.deps.Uploads.Sweep(ctx, sweepLimit)
		if err != nil {
			return fmt.Errorf("look for uploads that are not used: %w", err)
		}
		if n < sweepLimit {
			break
		}
	}
	var failures []error
	for after := domain.BlobID(""); ; {
		page, err := s.deps.Uploads.Garbage(ctx, after, sweepLimit)
		if err != nil || len(page) == 0 {
			return errors.Join(append(failures, err)...)
		}
		after = page[len(page)-1]
		deleted := page[:0]
		for _, id := range page {
			if err := s.deps.Blobs.Delete(ctx, id.Key()); err != nil {
				s.storageFailed(ctx, err)
				failures = append(failures, fmt.Errorf("delete the value %s: %w", id, err))
				if len(failures) >= failuresLimit {
					break
				}
				continue
			}
			deleted = append(deleted, id)
		}
		if len(deleted) > 0 {
			if err := s.deps.Uploads.Deleted(ctx, deleted...); err != nil {
				return errors.Join(append(failures, err)...)
			}
			s.deps.Observer.Count("checkpoint_values_deleted", len(deleted))
		}
		if len(failures) >= failuresLimit {
			return errors.Join(failures...)
		}
	}
}

// failuresLimit is after how many failures a round of deletions ends: the storage is away.
const failuresLimit = 10
