package domain

import "time"

// Decisions on customers, configs and keys, and on saves of checkpoints, that stores execute.

// ErrCustomerExists is the answer to the creation of a customer whose id is taken.
func ErrCustomerExists(id CustomerID) error {
	return NewError(CodeConflict, "customer %s exists already", id).With("field", "customer_id")
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

// Revise is the config after an update to next: description and run configuration may change, the
// type may not.
func (c WorkloadConfig) Revise(next WorkloadConfig, now time.Time) (WorkloadConfig, error) {
	if c.Type != next.Type {
		return c, Invalid("workload_type", "cannot be changed from %q", c.Type)
	}
	c.Description, c.RunConfig, c.UpdatedAt = next.Description, next.RunConfig, now
	return c, nil
}

// CheckUnused returns CodeConflict, with the detail "unfinished", while workloads that were
// submitted under a config are not final.
func CheckUnused(unfinished int) error {
	if unfinished == 0 {
		return nil
	}
	return NewError(CodeConflict, "%d unfinished workloads use this config", unfinished).With("unfinished", unfinished)
}

// Issue is the key as it is stored at that time. CodeInvalidInput when it would have expired.
func (k APIKey) Issue(now time.Time) (APIKey, error) {
	k.CreatedAt = now
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		return k, Invalid("expires_at", "must be in the future")
	}
	return k, nil
}

// Revoke is the key after a revocation at that time. A key that was revoked before stays as it
// is.
func (k APIKey) Revoke(now time.Time) APIKey {
	if k.RevokedAt.IsZero() {
		k.RevokedAt = now
	}
	return k
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
