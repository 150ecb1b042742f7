package domain

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"time"
)

// Restore names a checkpoint of the workload that is run again.
type Restore struct {
	// Sequence of the checkpoint; 0: the newest whose checksum holds, or none if there is none.
	Sequence int64
}

// RestoredSequence is the sequence that a restored checkpoint has in the new workload. Its own
// checkpoints follow.
const RestoredSequence = 1

// RestoredFor returns the description of the copy of c that a new workload continues from. No
// generation of that workload wrote it.
func (c Checkpoint) RestoredFor(id WorkloadID, now time.Time) Checkpoint {
	c.WorkloadID, c.Sequence, c.Generation, c.CreatedAt = id, RestoredSequence, 0, now
	return c
}

// RunAgainFrom returns the states in which a workload can be run again.
func RunAgainFrom() []Status { return []Status{StatusFailed, StatusCancelled} }

// RunAgain returns the submission of a new workload that does again what w did, with what w was
// submitted with: the type, the input, the labels, the rules, the priority and the run
// configuration that was in effect. It starts a life of its own: at generation 0, with all retries.
// CodeInvalidState with the detail "status" unless w is FAILED or CANCELLED.
func (w *Workload) RunAgain(id WorkloadID, restore *Restore) (Submission, error) {
	if !slices.Contains(RunAgainFrom(), w.Status) {
		return Submission{}, NewError(CodeInvalidState, "a workload that is %s cannot be retried", w.Status).
			With("status", string(w.Status))
	}
	if restore != nil && restore.Sequence == 0 && !w.ArchivedAt.IsZero() && w.CheckpointSequence > 0 {
		// Its checkpoints are gone. To start without one must be asked for.
		restore = &Restore{Sequence: w.CheckpointSequence}
	}
	spec := w.Clone().Spec
	spec.ID, spec.RetryOf, spec.CreatedAt, spec.QueueAt = id, w.ID, time.Time{}, time.Time{}
	return Submission{Spec: spec, Reason: "retry of " + string(w.ID), Restore: restore}, nil
}

// RetryDigest identifies a request to run a workload again by what it states.
func RetryDigest(of WorkloadID, restore *Restore) [32]byte {
	from := "scratch"
	if restore != nil {
		from = strconv.FormatInt(restore.Sequence, 10)
	}
	return sha256.Sum256([]byte("retry " + string(of) + " from " + from))
}
