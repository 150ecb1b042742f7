package checkpointing

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"

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
}

// Service saves and restores checkpoints. Safe for concurrent use.
type Service struct{ deps Deps }

// New returns the service.
func New(deps Deps) *Service { return &Service{deps: deps} }

// Save stores a checkpoint under its run's fence. CodeTooLarge above domain.MaxInlineCheckpoint.
func (s *Service) Save(ctx context.Context, ref ports.SessionRef, up ports.CheckpointUpload) (domain.Result, error) {
	began := s.deps.Clock.Now()
	res, err := s.save(ctx, ref, up)
	took := s.deps.Clock.Now().Sub(began)
	s.deps.Observer.Checkpointed(ports.CheckpointAttempt{Size: len(up.Data), Took: took, Result: res, Err: err})
	return res, err
}

func (s *Service) save(ctx context.Context, ref ports.SessionRef, up ports.CheckpointUpload) (domain.Result, error) {
	if len(up.Data) > domain.MaxInlineCheckpoint {
		return domain.Result{}, domain.NewError(domain.CodeTooLarge,
			"a checkpoint is at most %d bytes, this one has %d", domain.MaxInlineCheckpoint, len(up.Data))
	}
	if up.Sequence < 1 {
		return domain.Result{}, domain.Invalid("sequence", "must be at least 1")
	}
	if err := domain.ValidatePercent(up.Percent); err != nil {
		return domain.Result{}, err
	}
	stored, encoding := s.deps.Compressor.Encode(up.Data)
	t := domain.Transition{
		WorkloadID: up.WorkloadID, Event: domain.EventCheckpoint, Generation: up.Generation, SessionID: ref.SessionID,
		Actor:              domain.Actor{Kind: domain.ActorWorker, ID: string(ref.WorkerID)},
		CheckpointSequence: up.Sequence, Percent: up.Percent,
		Message: domain.CleanAndCut(up.Message, domain.MaxProgressMessage),
	}
	c := domain.Checkpoint{Size: len(up.Data), Encoding: encoding, Checksum: sha256.Sum256(stored)}
	began := s.deps.Clock.Now()
	res, err := s.deps.Checkpoints.Save(ctx, t, c, stored)
	if err != nil {
		return domain.Result{}, err
	}
	s.deps.Applier.Announce(ctx, domain.Batch{Transitions: []domain.Transition{t}}, []domain.Result{res},
		s.deps.Clock.Now().Sub(began))
	return res, nil
}

// Load returns the newest checkpoint at or below sequence whose bytes are as they were stored; a
// damaged one is logged and counted, and the one before it is tried. CodeNotFound when none is
// left.
func (s *Service) Load(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, sequence int64,
) (ports.CheckpointData, error) {
	kept, err := s.deps.Checkpoints.List(ctx, customer, id)
	if err != nil {
		return ports.CheckpointData{}, err
	}
	for _, c := range kept {
		if c.Sequence > sequence {
			continue
		}
		data, damaged, err := s.read(ctx, c)
		switch {
		case damaged || domain.IsCode(err, domain.CodeNotFound): // or pruned since it was listed
		case err != nil:
			return ports.CheckpointData{}, err
		default:
			return ports.CheckpointData{Sequence: c.Sequence, Data: data}, nil
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
// more, CodeInternal when it is damaged.
func (s *Service) Data(ctx context.Context, c domain.Checkpoint) ([]byte, error) {
	data, damaged, err := s.read(ctx, c)
	if damaged {
		return nil, domain.NewError(domain.CodeInternal, "checkpoint %d is damaged", c.Sequence)
	}
	return data, err
}

// read returns the bytes of a checkpoint. damaged reports whether they are not those that were
// saved, which is logged and counted.
func (s *Service) read(ctx context.Context, c domain.Checkpoint) (data []byte, damaged bool, err error) {
	_, stored, err := s.deps.Checkpoints.Load(ctx, c.WorkloadID, c.Sequence)
	if err != nil {
		return nil, false, err
	}
	if data, err = s.decode(c, stored); err != nil {
		s.deps.Observer.Count("checkpoint_damaged", 1)
		s.deps.Log.Error("checkpoint is damaged", "workload_id", c.WorkloadID, "sequence", c.Sequence, "error", err)
		return nil, true, nil
	}
	return data, false, nil
}

func (s *Service) decode(c domain.Checkpoint, stored []byte) ([]byte, error) {
	if sha256.Sum256(stored) != c.Checksum {
		return nil, domain.NewError(domain.CodeInternal, "checksum of checkpoint %d does not hold", c.Sequence)
	}
	return s.deps.Compressor.Decode(stored, c.Encoding, c.Size)
}
