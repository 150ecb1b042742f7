package ports

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// CheckpointStore keeps the bytes of checkpoints beside the workloads (same storage as
// WorkloadStore).
type CheckpointStore interface {
	// Save applies t, whose event is domain.EventCheckpoint, exactly as WorkloadStore.Apply does
	// and, in the same transaction, stores the bytes and drops all but the newest
	// domain.CheckpointsKept. Nothing is stored unless the outcome is applied. c's WorkloadID,
	// Sequence and Generation are taken from t, CreatedAt from the store's clock.
	//
	// If c.Blob is set, the bytes are the value of that upload and data is empty. An upload that is
	// not recorded, or is another workload's, is refused with CodeConflict.
	Save(ctx context.Context, t domain.Transition, c domain.Checkpoint, data []byte) (domain.Result, error)

	// Load returns a checkpoint and its bytes, none if they are the value of an upload; sequence 0
	// means the newest. The checksum is not verified here. CodeNotFound when there is none.
	Load(ctx context.Context, id domain.WorkloadID, sequence int64) (domain.Checkpoint, []byte, error)

	// Workload returns the workload id as domain.Workload.Brief does, whoever it belongs to. It reads
	// nothing that may be large. It is for the control plane, which fences by session and generation:
	// nothing that answers a customer calls it. CodeNotFound when there is none.
	Workload(ctx context.Context, id domain.WorkloadID) (domain.Workload, error)

	// List returns the checkpoints kept of a customer's workload, newest first. A workload without
	// checkpoints has an empty list; so has one that does not exist or is another customer's
	// (callers check the workload).
	List(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID) ([]domain.Checkpoint, error)
}
