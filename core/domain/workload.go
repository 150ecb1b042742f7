package domain

import (
	"maps"
	"slices"
	"time"
)

// Status is the state of a workload.
type Status string

// The states; the last three are final.
const (
	StatusPending        Status = "PENDING"
	StatusScheduled      Status = "SCHEDULED"
	StatusRunning        Status = "RUNNING"
	StatusPaused         Status = "PAUSED"
	StatusRedistributing Status = "REDISTRIBUTING"
	StatusCompleted      Status = "COMPLETED"
	StatusFailed         Status = "FAILED"
	StatusCancelled      Status = "CANCELLED"
)

// Statuses lists every state, in the order of a workload's life.
func Statuses() []Status {
	return []Status{
		StatusPending, StatusScheduled, StatusRunning, StatusPaused,
		StatusRedistributing, StatusCompleted, StatusFailed, StatusCancelled,
	}
}

// Final reports whether no transition leaves s.
func (s Status) Final() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// Held reports whether exactly one worker session holds a workload in this state.
func (s Status) Held() bool { return s == StatusScheduled || s == StatusRunning }

// Waiting reports whether a workload in this state counts against the queue depth.
func (s Status) Waiting() bool { return s == StatusPending || s == StatusRedistributing }

// Bounds of a submission.
const (
	MaxPriority          = 1000
	DefaultPriority      = 10
	MaxIdempotencyKey    = 255
	IdempotencyRetention = 24 * time.Hour
)

// Spec is the part of a workload that never changes after submission.
type Spec struct {
	ID         WorkloadID
	CustomerID CustomerID
	Type       string
	// ConfigID is the config the workload was submitted under, empty for the defaults.
	ConfigID ConfigID
	Run      RunConfig
	Input    JSON
	Labels   map[string]string
	Priority int
	Affinity Affinity
	RunAt    time.Time // zero: at once
	// RetryOf is the workload that it runs again; empty: none.
	RetryOf WorkloadID
	// Origin is the request that submitted it.
	Origin Origin
	// CreatedAt and QueueAt are fixed by the store at submission; QueueAt is when it begins to
	// wait: then, or at RunAt if that is later.
	CreatedAt time.Time
	QueueAt   time.Time
	Lane      LaneID
}

// State is the part that transitions change. Decide is the only code that computes a new one.
type State struct {
	Status Status
	// Reason says why the workload is in this state.
	Reason     string
	WorkerID   WorkerID  // set exactly while Status.Held()
	SessionID  SessionID // likewise
	Generation int64
	// Devices are what it holds of the worker's devices. Empty unless Status.Held(). The slice is
	// never changed in place.
	Devices []DeviceShare
	// LastWorkerID is the worker that holds it or, if none does, that held it last.
	LastWorkerID WorkerID

	RetryCount          int
	RedistributionCount int
	// Deaths are the sessions that died in a row while they ran this workload; see MaxLossStreak.
	// LossStreak counts them. SuspectSince is since when the workload is a suspect, or waits again
	// as one. The slice is never changed in place.
	Deaths       []SessionID
	LossStreak   int
	SuspectSince time.Time

	ProgressPercent float64
	ProgressMessage string

	CheckpointSequence   int64
	CheckpointGeneration int64

	// PauseRequested is set from the request for a pause until the workload is paused.
	PauseRequested bool

	Result  JSON
	Failure *Failure

	// Declines are the workers that declined it recently; see Candidate.Declined. The slice is
	// never changed in place.
	Declines []Decline

	// NotBefore delays the next assignment: run_at or retry backoff.
	NotBefore time.Time
	// Deadline is when the current run times out; zero: never.
	Deadline    time.Time
	ScheduledAt time.Time
	StartedAt   time.Time
	FinishedAt  time.Time
	UpdatedAt   time.Time
	// Executed is how long its runs that have ended ran, from their starts.
	Executed time.Duration

	// StartedGeneration, EndedGeneration and EndedEvent are what the last run reported. They
	// distinguish a repeated report from a stale one. Resumed reports whether the last event was a
	// resume.
	StartedGeneration int64
	EndedGeneration   int64
	EndedEvent        Event
	Resumed           bool
	// CancelRequest is the Transition.Request that cancelled it.
	CancelRequest string
}

// Failure is why a run failed.
type Failure struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Permanent bool   `json:"permanent,omitempty"`
}

// The types of failures that the platform sets. Workloads add their own.
const (
	FailureTimeout    = "timeout"
	FailureWorkerLost = "worker_lost"
	FailurePoison     = "poison"
	// FailureError is the type of a failure that came without one.
	FailureError = "error"
)

// MaxFailureMessage is the longest error message kept, in bytes.
const MaxFailureMessage = 4 << 10

// Workload is one submitted unit of work.
type Workload struct {
	Spec
	State
	// ArchivedAt is when it moved to the archive; zero: it is not archived.
	ArchivedAt time.Time
}

// Brief returns the workload without what may be large and without what only its run needs.
func (w Workload) Brief() Workload {
	w.Input, w.Labels, w.Affinity, w.Result, w.RunAt, w.RetryOf = "", nil, Affinity{}, "", time.Time{}, ""
	w.Run.Config, w.Run.Limits, w.Run.Resources, w.Run.CheckpointInterval = "", Amounts{}, Resources{}, 0
	return w
}

// Clone returns a copy that shares nothing mutable.
func (w Workload) Clone() Workload {
	w.Labels = maps.Clone(w.Labels)
	w.Run.Resources = w.Run.Resources.Clone()
	if !w.Affinity.IsZero() {
		w.Affinity = w.Affinity.Clone()
	}
	w.State = w.State.Clone()
	return w
}

// Clone returns a copy that shares nothing mutable.
func (s State) Clone() State {
	if s.Failure != nil {
		f := *s.Failure
		s.Failure = &f
	}
	s.Declines, s.Deaths, s.Devices = slices.Clone(s.Declines), slices.Clone(s.Deaths), slices.Clone(s.Devices)
	return s
}

// Submission is a workload before it is stored.
type Submission struct {
	Spec
	// IdempotencyKey makes a repeated submission return the first workload; empty: none.
	IdempotencyKey string
	// Digest identifies the body by what it states, Meaning by its effect; see Repeats. A zero
	// Meaning is not compared.
	Digest  [32]byte
	Meaning [32]byte
	Actor   Actor
	// Reason is kept in the audit trail.
	Reason string
	// Restore says which checkpoint of Spec.RetryOf the workload continues from; nil: none.
	Restore *Restore
	// Refused, if set, is why it is not accepted now, unless it repeats one that was.
	Refused error
}

// Validate checks what a client may set. Type existence and quotas are checked elsewhere.
func (s Submission) Validate() error {
	if err := ValidateType("workload_type", s.Type); err != nil {
		return err
	}
	if !s.Input.IsObject() {
		return Invalid("input_params", "must be a JSON object")
	}
	if err := CheckText("input_params", string(s.Input)); err != nil {
		return err
	}
	if s.Priority < 0 || s.Priority > MaxPriority {
		return Invalid("priority", "must be 0 to %d", MaxPriority)
	}
	if err := ValidateTags("labels", s.Labels); err != nil {
		return err
	}
	if err := s.Affinity.Validate("affinity_rules"); err != nil {
		return err
	}
	if err := validateNeeded(s.Type, s.Input); err != nil {
		return err
	}
	if len(s.IdempotencyKey) > MaxIdempotencyKey {
		return Invalid("Idempotency-Key", "must be at most %d bytes", MaxIdempotencyKey)
	}
	if err := CheckText("Idempotency-Key", s.IdempotencyKey); err != nil {
		return err
	}
	if !s.RunAt.IsZero() {
		if err := ValidateTime("run_at", s.RunAt); err != nil {
			return err
		}
	}
	if err := s.Run.Resources.Validate("resources"); err != nil {
		return err
	}
	if err := ValidateMaxRetries(s.Run.MaxRetries); err != nil {
		return err
	}
	return ValidateTimeout(s.Run.Timeout)
}

// NewWorkload returns the workload that a submission creates, with its audit event. restored is the
// checkpoint that it continues from, which the store copies for it; nil: it starts at its
// beginning.
func NewWorkload(s Submission, restored *Checkpoint, now time.Time) (Workload, AuditEvent) {
	w := Workload{Spec: s.Spec}
	w.CreatedAt = now
	w.QueueAt = now
	w.RunAt = StoredTime(s.RunAt)
	if w.RunAt.After(now) {
		w.QueueAt = w.RunAt
	}
	w.Lane = LaneOf(&w.Spec)
	w.State = State{Status: StatusPending, NotBefore: w.RunAt, UpdatedAt: now}
	if restored != nil {
		w.CheckpointSequence = RestoredSequence
	}
	return w, AuditEvent{
		WorkloadID: w.ID, CustomerID: w.CustomerID, Type: AuditCreated, Actor: s.Actor.bare(), To: StatusPending,
		CheckpointSequence: w.CheckpointSequence, Reason: s.Reason, At: now,
	}
}

// RegionKey is the label that names the region of a workload, and the tag that names that of a
// worker.
const RegionKey = "region"

// Rules returns the affinity rules that placement follows: the stated rules, the capability that
// the workload needs besides its type, and a preference for workers of the region in its label. A
// stated rule about the region replaces that preference.
func (s *Spec) Rules() Affinity {
	a := s.regionRules()
	if needed := NeededCapability(s.Type, s.Input); needed != "" {
		a = a.Clone()
		a.Hard.WorkloadTypes = append(a.Hard.WorkloadTypes, needed)
	}
	return a
}

func (s *Spec) regionRules() Affinity {
	region := s.Labels[RegionKey]
	_, must := s.Affinity.Hard.WorkerTags[RegionKey]
	_, should := s.Affinity.Soft.WorkerTags[RegionKey]
	if region == "" || must || should {
		return s.Affinity
	}
	a := s.Affinity.Clone()
	if a.Soft.WorkerTags == nil {
		a.Soft.WorkerTags = map[string]string{}
	}
	a.Soft.WorkerTags[RegionKey] = region
	return a
}
