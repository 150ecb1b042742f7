package domain

import (
	"maps"
	"slices"
	"time"
)

// WorkerStatus is the state of a worker's current session.
type WorkerStatus string

// The worker states.
const (
	WorkerHealthy  WorkerStatus = "HEALTHY"
	WorkerDraining WorkerStatus = "DRAINING"
	WorkerDead     WorkerStatus = "DEAD"
)

// MaxSlots bounds the slots of one worker.
const MaxSlots = 10_000

// Registration describes a worker. The worker sends it when its session starts.
type Registration struct {
	WorkerID  WorkerID  `json:"worker_id"`
	SessionID SessionID `json:"session_id"`
	// PreviousSessionID is set by a process that registers again. It proves that the process held
	// the id before, so that its old session ends at once.
	PreviousSessionID SessionID `json:"previous_session_id,omitempty"`
	// ProcessID names the process, for its whole life. Registrations of one process end each
	// other's sessions at once, so that a registration whose answer was lost can be made again.
	// If it is empty, only PreviousSessionID proves that.
	ProcessID string `json:"process_id,omitempty"`
	// CertificateDigest is the SHA-256, in hexadecimal, of the secret that ProcessID's death
	// certificate carries. Empty: the process has no supervisor, and nobody can certify its death.
	CertificateDigest string `json:"certificate_digest,omitempty"`
	// TakeOver ends the session of another process that holds the id, although its lease still
	// runs.
	TakeOver bool `json:"take_over,omitempty"`
	// Draining is set by a process that drains. Its session starts DRAINING, so that a drain
	// outlasts the loss of a session.
	Draining     bool              `json:"draining,omitempty"`
	Capabilities []string          `json:"capabilities"`
	Slots        int               `json:"slots"`
	Resources    Offer             `json:"resources,omitzero"`
	Tags         map[string]string `json:"tags,omitempty"`
	Version      string            `json:"version,omitempty"`
}

// Validate checks a registration.
func (r Registration) Validate() error {
	if err := ValidateWorkerID(r.WorkerID); err != nil {
		return err
	}
	if err := ValidateSessionID(r.SessionID); err != nil {
		return err
	}
	if err := validateText("previous_session_id", string(r.PreviousSessionID), 0, 64); err != nil {
		return err
	}
	if err := validateProcess(&r); err != nil {
		return err
	}
	if len(r.Capabilities) == 0 || len(r.Capabilities) > 1000 {
		return Invalid("capabilities", "must name 1 to 1000 workload types and programs")
	}
	for _, t := range r.Capabilities {
		if err := validateCapability("capabilities", t); err != nil {
			return err
		}
	}
	if r.Slots < 1 || r.Slots > MaxSlots {
		return Invalid("slots", "must be 1 to %d", MaxSlots)
	}
	if err := validateText("version", r.Version, 0, 100); err != nil {
		return err
	}
	if err := r.Resources.Validate("resources"); err != nil {
		return err
	}
	return ValidateTags("tags", r.Tags)
}

// Status returns the status that the session starts with.
func (r Registration) Status() WorkerStatus {
	if r.Draining {
		return WorkerDraining
	}
	return WorkerHealthy
}

// Clone returns a deep copy.
func (r Registration) Clone() Registration {
	r.Capabilities = slices.Clone(r.Capabilities)
	r.Tags = maps.Clone(r.Tags)
	r.Resources = r.Resources.Clone()
	return r
}

// Worker is a stored worker with its current session, or with its last one if it is DEAD.
type Worker struct {
	ID           WorkerID
	SessionID    SessionID
	Status       WorkerStatus
	Capabilities []string
	Slots        int
	Resources    Offer
	Tags         map[string]string
	Version      string
	// ProcessID and CertificateDigest are those of the session's registration.
	ProcessID         string
	CertificateDigest string
	RegisteredAt      time.Time
	HeartbeatAt       time.Time
	// LeaseUntil is when the session may be declared dead, by the store's clock.
	LeaseUntil time.Time
}

// Clone returns a deep copy.
func (w Worker) Clone() Worker {
	w.Capabilities = slices.Clone(w.Capabilities)
	w.Tags = maps.Clone(w.Tags)
	w.Resources = w.Resources.Clone()
	return w
}

// Live reports whether the session may hold work.
func (w Worker) Live() bool { return w.Status != WorkerDead }

// HasTags reports whether the worker has all of these tags with these values.
func (w *Worker) HasTags(tags map[string]string) bool {
	for k, v := range tags {
		if got, ok := w.Tags[k]; !ok || got != v {
			return false
		}
	}
	return true
}
