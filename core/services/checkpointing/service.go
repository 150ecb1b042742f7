package checkpointing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// Deps are what the service stands on.
type Deps struct {
	Checkpoints ports.CheckpointStore
	Compressor  ports.Compressor
	Applier     *transitions.Applier
	Observer    ports.Observer
	Clock       ports.Clock
	Log         *slog.Logger

	// Blobs is where large checkpoints are kept; nil: there are none, and MaxInlineCheckpoint is the
	// limit. The fields that follow it are needed with it only.
	Blobs     ports.BlobStore
	Uploads   ports.UploadStore
	Customers ports.CustomerStore
	IDs       ports.IDs
	// Threshold is the largest checkpoint that is kept in the store, Max the largest one at all.
	Threshold int
	Max       int64
}

// Service saves and restores checkpoints. Safe for concurrent use.
type Service struct {
	deps Deps

	mu      sync.Mutex
	damaged map[domain.BlobID]bool // values that were found to be damaged
}

// New returns the service.
func New(deps Deps) *Service { return &Service{deps: deps, damaged: map[domain.BlobID]bool{}} }

// Max returns the size of the largest checkpoint that can be saved.
func (s *Service) Max() int64 {
	if s.deps.Blobs == nil {
		return domain.MaxInlineCheckpoint
	}
	return s.deps.Max
}

// Save stores a checkpoint under its run's fence. CodeTooLarge above Max. A repetition, which is
// answered with domain.OutcomeAlready, has the bytes that are stored. Others under the same sequence
// would be lost, so that the outcome is illegal.
func (s *Service) Save(ctx context.Context, ref ports.SessionRef, up ports.CheckpointUpload) (domain.Result, error) {
	began := s.deps.Clock.Now()
	size, res, err := s.save(ctx, ref, up)
	if err == nil && res.Outcome == domain.OutcomeAlready {
		var other bool
		if other, err = s.differs(ctx, up); other {
			res.Outcome = domain.OutcomeIllegal
		}
	}
	took := s.deps.Clock.Now().Sub(began)
	s.deps.Observer.Checkpointed(ports.CheckpointAttempt{Size: size, Took: took, Result: res, Err: err})
	return res, err
}

func (s *Service) save(
	ctx context.Context, ref ports.SessionRef, up ports.CheckpointUpload,
) (size int, res domain.Result, err error) {
	size = len(up.Data)
	if up.Body != nil {
		size = int(max(up.Body.Size, 0))
	}
	if int64(size) > s.Max() || up.Body != nil && s.deps.Blobs == nil {
		return size, res, s.tooLarge(size)
	}
	if up.Sequence < 1 {
		return size, res, domain.Invalid("sequence", "must be at least 1")
	}
	if err := domain.ValidatePercent(up.Percent); err != nil {
		return size, res, err
	}
	t := domain.Transition{
		WorkloadID: up.WorkloadID, Event: domain.EventCheckpoint, Generation: up.Generation, SessionID: ref.SessionID,
		Actor:              domain.Actor{Kind: domain.ActorWorker, ID: string(ref.WorkerID)},
		CheckpointSequence: up.Sequence, Percent: up.Percent,
		Message: domain.CleanAndCut(up.Message, domain.MaxProgressMessage),
	}
	if up.Body != nil || s.deps.Blobs != nil && size > s.deps.Threshold {
		return s.upload(ctx, t, bodyOf(&up))
	}
	stored, encoding := s.deps.Compressor.Encode(up.Data)
	c := domain.Checkpoint{Size: len(up.Data), Encoding: encoding, Checksum: sha256.Sum256(stored)}
	res, err = s.commit(ctx, t, c, stored)
	return size, res, err
}

// differs reports whether another checkpoint than up is stored under its sequence, as far as that can
// be told without reading large values.
func (s *Service) differs(ctx context.Context, up ports.CheckpointUpload) (bool, error) {
	c, stored, err := s.deps.Checkpoints.Load(ctx, up.WorkloadID, up.Sequence)
	switch {
	case domain.IsCode(err, domain.CodeNotFound): // it was pruned meanwhile
		return false, nil
	case err != nil: // the worker asks again
		return false, err
	case up.Body != nil:
		return up.Body.Size >= 0 && up.Body.Size != int64(c.Size), nil
	case c.Size != len(up.Data):
		return true, nil
	case c.Blob != "":
		return sha256.Sum256(up.Data) != c.Checksum, nil
	}
	data, err := s.decode(c, stored)
	return err == nil && !bytes.Equal(data, up.Data), nil // one that is damaged is told when it is read
}

// commit stores a checkpoint whose bytes are data, or a value that is written.
func (s *Service) commit(
	ctx context.Context, t domain.Transition, c domain.Checkpoint, data []byte,
) (domain.Result, error) {
	began := s.deps.Clock.Now()
	res, err := s.deps.Checkpoints.Save(ctx, t, c, data)
	if err != nil {
		return domain.Result{}, err
	}
	s.deps.Applier.Announce(ctx, domain.Batch{Transitions: []domain.Transition{t}}, []domain.Result{res},
		s.deps.Clock.Now().Sub(began))
	return res, nil
}

func (s *Service) tooLarge(size int) error {
	if size == 0 {
		return domain.NewError(domain.CodeTooLarge, "a checkpoint is at most %d bytes", s.Max())
	}
	return domain.NewError(domain.CodeTooLarge, "a checkpoint is at most %d bytes, this one has %d", s.Max(), size)
}

// Restore is Load for the run that says that it holds the workload. CodeFenced if it does not.
func (s *Service) Restore(
	ctx context.Context, ref ports.SessionRef, run domain.RunID, sequence int64,
) (ports.CheckpointData, error) {
	w, err := s.deps.Checkpoints.Workload(ctx, run.WorkloadID)
	if err != nil && !domain.IsCode(err, domain.CodeNotFound) {
		return ports.CheckpointData{}, err
	}
	if err != nil || !w.Status.Held() || w.SessionID != ref.SessionID || w.Generation != run.Generation {
		return ports.CheckpointData{}, NotHeld(run.Generation)
	}
	return s.Load(ctx, ref, &w, sequence)
}

// NotHeld returns the error of a run that does not hold its workload.
func NotHeld(generation int64) error {
	return domain.NewError(domain.CodeFenced, "the workload is not held by this session at generation %d", generation)
}

// Load returns to the run that holds w the newest checkpoint at or below sequence whose bytes are as
// they were stored; a damaged one is logged and counted, and the one before it is tried. CodeNotFound
// when none is left. That it is not the newest of the workload is audited; CodeFenced if the run does
// not hold the workload any more.
func (s *Service) Load(
	ctx context.Context, ref ports.SessionRef, w *domain.Workload, sequence int64,
) (ports.CheckpointData, error) {
	data, err := s.load(ctx, w, sequence)
	if err != nil && !domain.IsCode(err, domain.CodeNotFound) || data.Sequence == sequence ||
		sequence != w.CheckpointSequence || sequence == 0 {
		return data, err
	}
	if failed := s.skip(ctx, ref, w, data.Sequence); failed != nil {
		if data.Body != nil {
			failed = errors.Join(failed, data.Body.Close())
		}
		return ports.CheckpointData{}, failed
	}
	return data, err
}

// skip audits that a run continues from an older checkpoint than the newest, or, without one, anew.
func (s *Service) skip(ctx context.Context, ref ports.SessionRef, w *domain.Workload, found int64) error {
	reason := fmt.Sprintf("checkpoint %d cannot be read; the run continues from checkpoint %d",
		w.CheckpointSequence, found)
	if found == 0 {
		reason = fmt.Sprintf("checkpoint %d cannot be read, and none is left; the run begins anew",
			w.CheckpointSequence)
	}
	r, err := s.deps.Applier.One(ctx, domain.Transition{
		WorkloadID: w.ID, CustomerID: w.CustomerID, Event: domain.EventSkipCheckpoint, Generation: w.Generation,
		SessionID: ref.SessionID, Actor: domain.Actor{Kind: domain.ActorWorker, ID: string(ref.WorkerID)},
		CheckpointSequence: found, Reason: reason,
	})
	if err == nil && !r.Outcome.OK() {
		err = domain.NewError(domain.CodeFenced, "the run does not hold the workload any more")
	}
	return err
}

func (s *Service) load(ctx context.Context, w *domain.Workload, sequence int64) (ports.CheckpointData, error) {
	kept, err := s.deps.Checkpoints.List(ctx, w.CustomerID, w.ID)
	if err != nil {
		return ports.CheckpointData{}, err
	}
	for _, c := range kept {
		if c.Sequence > sequence {
			continue
		}
		data, damaged, err := s.open(ctx, c)
		switch {
		case damaged || domain.IsCode(err, domain.CodeNotFound): // or pruned since it was listed
		case err != nil:
			return ports.CheckpointData{}, err
		default:
			return data, nil
		}
	}
	return ports.CheckpointData{}, domain.NotFound("checkpoint")
}

// Get returns one of the checkpoints kept of a customer's workload. CodeNotFound when there is none
// with that sequence, or when the workload is missing or another customer's.
func (s *Service) Get(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, sequence int64,
) (domain.Checkpoint, error) {
	kept, err := s.deps.Checkpoints.List(ctx, customer, id)
	if err != nil {
		return domain.Checkpoint{}, err
	}
	i := slices.IndexFunc(kept, func(c domain.Checkpoint) bool { return c.Sequence == sequence })
	if i < 0 {
		return domain.Checkpoint{}, domain.NotFound("checkpoint")
	}
	return kept[i], nil
}

// Data returns the bytes of a checkpoint that Get has returned. CodeNotFound when it is not kept any
// more, CodeInternal when it is damaged. Those of a large one are found to be damaged when they are
// read.
func (s *Service) Data(ctx context.Context, c domain.Checkpoint) (ports.CheckpointData, error) {
	data, damaged, err := s.open(ctx, c)
	if damaged {
		return ports.CheckpointData{}, domain.NewError(domain.CodeInternal, "checkpoint %d is damaged", c.Sequence)
	}
	return data, err
}

// open returns a checkpoint. damaged reports whether it is known not to be what was saved, which is
// logged and counted.
func (s *Service) open(ctx context.Context, c domain.Checkpoint) (d ports.CheckpointData, damaged bool, err error) {
	d.Sequence = c.Sequence
	if c.Blob == "" {
		d.Data, damaged, err = s.read(ctx, c)
		return d, damaged, err
	}
	d.Body, damaged, err = s.download(ctx, c)
	d.Size = int64(c.Size)
	return d, damaged, err
}

// read returns the bytes of a checkpoint. damaged reports whether they are not those that were
// saved, which is logged and counted.
func (s *Service) read(ctx context.Context, c domain.Checkpoint) (data []byte, damaged bool, err error) {
	_, stored, err := s.deps.Checkpoints.Load(ctx, c.WorkloadID, c.Sequence)
	if err != nil {
		return nil, false, err
	}
	if data, err = s.decode(c, stored); err != nil {
		s.isDamaged(c, err)
		return nil, true, nil
	}
	return data, false, nil
}

func (s *Service) isDamaged(c domain.Checkpoint, why error) {
	s.deps.Observer.Count("checkpoint_damaged", 1)
	s.deps.Log.Error("checkpoint is damaged", "workload_id", c.WorkloadID, "sequence", c.Sequence, "error", why)
}

func (s *Service) decode(c domain.Checkpoint, stored []byte) ([]byte, error) {
	if sha256.Sum256(stored) != c.Checksum {
		return nil, domain.NewError(domain.CodeInternal, "checksum of checkpoint %d does not hold", c.Sequence)
	}
	return s.deps.Compressor.Decode(stored, c.Encoding, c.Size)
}
