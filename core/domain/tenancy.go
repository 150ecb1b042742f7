package domain

import "time"

// Decisions on customers, configs and keys, and on saves of checkpoints, that stores execute.

// ErrCustomerExists is the answer to the creation of a customer whose id is taken.
func ErrCustomerExists(id CustomerID) error {
	return NewError(CodeConflict, "customer id %s is taken; ids are never given out again", id).With(
		"field", "customer_id")
}

// ErrConfigExists is the answer to the creation of a config whose id is taken.
func ErrConfigExists(id ConfigID) error {
	return NewError(CodeConflict, "config %s exists already", id)
}

// ErrTypeConfigured is the answer to the creation of a config for a type that the customer has
// one for.
func ErrTypeConfigured(workloadType string) error {
	return NewError(CodeConflict, "a config for workload type %q exists already", workloadType).With(
		"field", "workload_type",
	)
}

// ErrKeyExists is the answer to the creation of a key whose id or prefix is taken.
func ErrKeyExists() error { return NewError(CodeConflict, "the key exists already") }

// CheckUnused returns CodeConflict, with the detail "unfinished", while workloads that were
// submitted under a config are not final.
func CheckUnused(unfinished int) error {
	if unfinished == 0 {
		return nil
	}
	return NewError(CodeConflict, "%d unfinished workloads use this config", unfinished).With("unfinished", unfinished)
}

// SavesCheckpoint returns CodeInternal unless the transition is one that saves a checkpoint.
func (t *Transition) SavesCheckpoint() error {
	if t.Event != EventCheckpoint {
		return NewError(CodeInternal, "a checkpoint is saved by event %q", t.Event)
	}
	return nil
}

// SavedBy is the checkpoint as it is stored with the transition.
func (c Checkpoint) SavedBy(t *Transition, now time.Time) Checkpoint {
	c.WorkloadID, c.Sequence, c.Generation, c.CreatedAt = t.WorkloadID, t.CheckpointSequence, t.Generation, now
	return c
}

// CheckEpoch returns CodeFenced unless epoch is that of the current leader: current, 0 while
// nobody leads.
func CheckEpoch(epoch, current int64) error {
	if epoch <= 0 || epoch != current {
		return NewError(CodeFenced, "epoch %d is not the current leader's", epoch)
	}
	return nil
}
