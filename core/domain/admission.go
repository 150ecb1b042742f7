package domain

import "time"

// Admission is the decision on a submission.
type Admission int

// The decisions.
const (
	// Admitted: the workload is stored.
	Admitted Admission = iota
	// AdmittedBefore: it repeats a stored submission. The answer is the workload of that one.
	AdmittedBefore
	// AdmissionConflict: its idempotency key was used for something else, or its id is another
	// customer's.
	AdmissionConflict
	// AdmissionQueueFull: the customer has as many waiting workloads as its limit allows.
	AdmissionQueueFull
	// AdmissionNoCustomer: the customer does not exist.
	AdmissionNoCustomer
	// AdmissionSuspended: the customer is suspended.
	AdmissionSuspended
	// AdmissionNoCheckpoint: the checkpoint that it names is not kept, or its checksum does not hold.
	AdmissionNoCheckpoint
	// AdmissionRefused: Submission.Refused says why.
	AdmissionRefused
)

// KeyUse is the first submission under an idempotency key.
type KeyUse struct {
	CustomerID CustomerID
	Key        string
	WorkloadID WorkloadID
	Digest     [32]byte
	Meaning    [32]byte
	At         time.Time
}

// Forgotten reports whether the key may be used anew.
func (u *KeyUse) Forgotten(now time.Time) bool { return now.Sub(u.At) >= IdempotencyRetention }

// Use returns what is stored under the idempotency key of the submission when it is admitted.
func (s *Submission) Use(now time.Time) KeyUse {
	return KeyUse{s.CustomerID, s.IdempotencyKey, s.ID, s.Digest, s.Meaning, now}
}

// KnownWorkloads is the stored data that a submission may conflict with. It includes the
// submissions before it in the batch.
type KnownWorkloads struct {
	// Customer is the customer that submits; nil if it does not exist.
	Customer *Customer
	// Owner is the customer of the workload with the id of the submission; empty if there is none.
	Owner CustomerID
	// Use is the first submission under the customer's idempotency key; nil when there is none.
	Use *KeyUse
	// Queued is the number of the customer's waiting workloads, or an upper bound of it.
	Queued int
	// Restored is the checkpoint that Submission.Restore means; nil if there is none.
	Restored *Checkpoint
}

// QueueUse is how much of a customer's queue is used, in workloads.
type QueueUse struct{ Depth, Max int }

// Queue returns how much of the queue is used. The customer must be known.
func (k *KnownWorkloads) Queue() QueueUse {
	return QueueUse{Depth: k.Queued, Max: k.Customer.Limits().MaxQueueDepth}
}

// Admit decides on a submission. For AdmittedBefore, existing is the workload that it repeats. A
// store that passed an upper bound as Queued must count exactly before it answers
// AdmissionQueueFull.
func (s *Submission) Admit(known KnownWorkloads, now time.Time) (a Admission, existing WorkloadID) {
	switch {
	case known.Customer == nil || known.Customer.Deleting():
		return AdmissionNoCustomer, ""
	case known.Owner == s.CustomerID:
		return AdmittedBefore, s.ID
	case known.Owner != "":
		return AdmissionConflict, ""
	}
	if u := known.Use; s.IdempotencyKey != "" && u != nil && !u.Forgotten(now) {
		if !s.Repeats(u.Digest, u.Meaning) {
			return AdmissionConflict, ""
		}
		return AdmittedBefore, u.WorkloadID
	}
	if known.Customer.Suspended() {
		return AdmissionSuspended, ""
	}
	if s.Refused != nil {
		return AdmissionRefused, ""
	}
	if s.Restore != nil && s.Restore.Sequence > 0 && known.Restored == nil {
		return AdmissionNoCheckpoint, ""
	}
	if q := known.Queue(); q.Depth >= q.Max {
		return AdmissionQueueFull, ""
	}
	return Admitted, ""
}
