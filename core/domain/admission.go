package domain

import "time"

// Admission is what is decided on a submission.
type Admission int

// The decisions.
const (
	// Admitted: the workload is stored.
	Admitted Admission = iota
	// AdmittedBefore: it repeats a submission that was stored, whose workload is the answer.
	AdmittedBefore
	// AdmissionConflict: its idempotency key was used for something else, or its id is another
	// customer's.
	AdmissionConflict
	// AdmissionQueueFull: as much waits already as the customer may have waiting.
	AdmissionQueueFull
	// AdmissionNoCustomer: the customer does not exist.
	AdmissionNoCustomer
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

// Use is what the submission leaves under its idempotency key when it is admitted.
func (s *Submission) Use(now time.Time) KeyUse {
	return KeyUse{s.CustomerID, s.IdempotencyKey, s.ID, s.Digest, s.Meaning, now}
}

// KnownWorkloads is what a store knows that a submission may collide with, the submissions before
// it in the batch included.
type KnownWorkloads struct {
	// Customer is whose submission it is; nil when there is no such customer.
	Customer *Customer
	// Owner is the customer of the workload that has the submission's id; empty when there is
	// none.
	Owner CustomerID
	// Use is the first submission under the customer's idempotency key; nil when there is none.
	Use *KeyUse
	// Queued is how much of the customer's waits, or an upper bound of it.
	Queued int
}

// Admit decides on a submission. existing is the workload that it repeats (AdmittedBefore). A
// store that gave an upper bound as Queued counts before it refuses the submission
// (AdmissionQueueFull).
func (s *Submission) Admit(known KnownWorkloads, now time.Time) (a Admission, existing WorkloadID) {
	switch {
	case known.Customer == nil:
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
	if known.Queued >= known.Customer.Limits().MaxQueueDepth {
		return AdmissionQueueFull, ""
	}
	return Admitted, ""
}
