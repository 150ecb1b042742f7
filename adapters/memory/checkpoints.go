package memory

import (
	"bytes"
	"context"
	"crypto/sha256"

	"github.com/niyanta/niyanta/core/domain"
)

type checkpoints struct{ s *Store }

// Save implements ports.CheckpointStore.
func (c checkpoints) Save(
	ctx context.Context, t domain.Transition, cp domain.Checkpoint, data []byte,
) (domain.Result, error) {
	if err := ctx.Err(); err != nil {
		return domain.Result{}, err
	}
	if err := t.SavesCheckpoint(); err != nil {
		return domain.Result{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if u := c.s.uploads[cp.Blob]; cp.Blob != "" && (u == nil || u.WorkloadID != t.WorkloadID) {
		return domain.Result{}, domain.NoUpload()
	}
	now := c.s.now()
	res := c.s.applyLocked(&t, now)
	if res.Outcome != domain.OutcomeApplied {
		return res, nil
	}
	r := c.s.workloads[t.WorkloadID]
	r.checkpoints = append(r.checkpoints, savedCheckpoint{cp.SavedBy(&t, now), bytes.Clone(data)})
	if over := len(r.checkpoints) - domain.CheckpointsKept; over > 0 {
		r.checkpoints = append([]savedCheckpoint(nil), r.checkpoints[over:]...)
	}
	if cp.Blob != "" {
		c.s.uploads[cp.Blob].committed = true
	}
	return res, nil
}

// restorableLocked returns the checkpoint that a submission is to continue from.
func (s *Store) restorableLocked(sub *domain.Submission) *savedCheckpoint {
	r := s.findLocked(sub.CustomerID, sub.RetryOf)
	if sub.Restore == nil || r == nil {
		return nil
	}
	for i := len(r.checkpoints) - 1; i >= 0; i-- {
		c := &r.checkpoints[i]
		if (sub.Restore.Sequence == 0 || sub.Restore.Sequence == c.Sequence) &&
			(c.Blob != "" || sha256.Sum256(c.data) == c.Checksum) {
			return c
		}
	}
	return nil
}

// Load implements ports.CheckpointStore.
func (c checkpoints) Load(
	ctx context.Context, id domain.WorkloadID, sequence int64,
) (domain.Checkpoint, []byte, error) {
	if err := ctx.Err(); err != nil {
		return domain.Checkpoint{}, nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if r := c.s.workloads[id]; r != nil {
		for i := len(r.checkpoints) - 1; i >= 0; i-- {
			if cp := r.checkpoints[i]; sequence == 0 || cp.Sequence == sequence {
				return cp.Checkpoint, bytes.Clone(cp.data), nil
			}
		}
	}
	return domain.Checkpoint{}, nil, domain.NotFound("checkpoint")
}

// Workload implements ports.CheckpointStore.
func (c checkpoints) Workload(ctx context.Context, id domain.WorkloadID) (domain.Workload, error) {
	if err := ctx.Err(); err != nil {
		return domain.Workload{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	r := c.s.workloads[id]
	if r == nil {
		return domain.Workload{}, domain.NotFound("workload")
	}
	return r.Workload.Brief().Clone(), nil
}

// List implements ports.CheckpointStore.
func (c checkpoints) List(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID,
) ([]domain.Checkpoint, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var out []domain.Checkpoint
	if r := c.s.findLocked(customer, id); r != nil {
		for i := len(r.checkpoints) - 1; i >= 0; i-- {
			out = append(out, r.checkpoints[i].Checkpoint)
		}
	}
	return out, nil
}
