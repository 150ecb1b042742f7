package niyanta

import (
	"encoding/json"
	"time"
)

// The states of a workload. IsFinal tells the last ones.
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

// IsFinal reports whether a workload in this state never changes again.
func (s Status) IsFinal() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// How sure an estimate is.
const (
	ConfidenceHigh   Confidence = "high"
	ConfidenceMedium Confidence = "medium"
	ConfidenceLow    Confidence = "low"
)

// What lists of workloads can be ordered by, and how.
const (
	OrderByCreatedAt OrderBy = "created_at"
	OrderByPriority  OrderBy = "priority"
	OrderByUpdatedAt OrderBy = "updated_at"

	OrderAscending  Order = "asc"
	OrderDescending Order = "desc"
)

// Workload is a workload with all that is known of it.
type Workload struct {
	// AffinityRules: see AffinityRules.
	AffinityRules AffinityRules `json:"affinity_rules"`

	// ArchivedAt is when it moved to the archive; nil: it has not. Lists leave it out then, and its
	// log and its checkpoints are gone.
	ArchivedAt *time.Time `json:"archived_at,omitempty"`

	// CheckpointSequence is the newest durable checkpoint; 0: none.
	CheckpointSequence int64      `json:"checkpoint_sequence"`
	CompletedAt        *time.Time `json:"completed_at"`
	CreatedAt          time.Time  `json:"created_at"`
	CustomerID         string     `json:"customer_id"`

	// ErrorMessage says why it failed; nil: it has not.
	ErrorMessage *string `json:"error_message"`

	// ErrorType is the class of the failure, such as "timeout"; nil: it has not failed.
	ErrorType *string `json:"error_type"`

	// EstimatedCompletionTime: from start and progress; null while unknown.
	EstimatedCompletionTime *time.Time `json:"estimated_completion_time"`

	// Devices are what it holds of its worker's devices.
	Devices *[]DeviceShare `json:"devices,omitempty"`

	// Generation: fencing token; grows with every assignment.
	Generation int64 `json:"generation"`

	// InputParams: the submitted object; null for viewers.
	InputParams json.RawMessage   `json:"input_params"`
	Labels      map[string]string `json:"labels"`

	// LastWorkerID is the worker that holds it, or held it last; nil: none ever did.
	LastWorkerID *string `json:"last_worker_id"`
	MaxRetries   int     `json:"max_retries"`

	// Priority is 0 to 1000; higher ones are placed first.
	Priority        int     `json:"priority"`
	ProgressMessage *string `json:"progress_message"`

	// ProgressPercent is 0 to 100.
	ProgressPercent float64 `json:"progress_percent"`

	// RedistributionCount counts how often its worker was lost.
	RedistributionCount int `json:"redistribution_count"`

	// Resources are what it reserves; nil: nothing but a slot.
	Resources *Resources `json:"resources,omitempty"`

	// ResultData: any JSON value, or an `EncodedResult`; null until completed and for viewers.
	ResultData json.RawMessage `json:"result_data"`

	// RetryCount: failures of its own that were retried.
	RetryCount int `json:"retry_count"`

	// RetryOf is the workload that this one runs again; nil: none.
	RetryOf     *string    `json:"retry_of"`
	RunAt       *time.Time `json:"run_at"`
	ScheduledAt *time.Time `json:"scheduled_at"`
	StartedAt   *time.Time `json:"started_at"`
	Status      Status     `json:"status"`

	// StatusReason says why it is in its status; nil: nothing to add.
	StatusReason *string   `json:"status_reason"`
	UpdatedAt    time.Time `json:"updated_at"`

	// WorkerID: set exactly while SCHEDULED or RUNNING.
	WorkerID     *string `json:"worker_id"`
	WorkloadID   string  `json:"workload_id"`
	WorkloadType string  `json:"workload_type"`
}

// WorkloadList is a page of workloads. Pass Pagination.NextCursor in ListParams.Cursor for the
// next one.
type WorkloadList struct {
	// Newer is how many workloads that match are newer than ListParams.CountSince; only with it.
	Newer *int `json:"newer,omitempty"`

	// NewerEstimated reports whether Newer is an estimate, as it may be beyond 10,000.
	NewerEstimated *bool      `json:"newer_estimated,omitempty"`
	Pagination     Pagination `json:"pagination"`
	Workloads      []Workload `json:"workloads"`
}

// Status is the state of a workload.
type Status string

// Log holds lines of a workload's log, oldest first.
type Log struct {
	// HasMore reports whether LogParams.Limit left lines out: newer ones if Since or After is set,
	// older ones if not.
	HasMore    bool      `json:"has_more"`
	Logs       []LogLine `json:"logs"`
	WorkloadID string    `json:"workload_id"`
}

// LogLine is a line of a workload's log.
type LogLine struct {
	// Details is what the workload logged beside the message: an object.
	Details    json.RawMessage `json:"details"`
	Generation int64           `json:"generation"`
	Level      LogLevel        `json:"level"`
	Message    string          `json:"message"`

	// Seq orders the lines of a workload. Pass the last one in LogParams.After to continue.
	Seq int64 `json:"seq"`

	// Stream is stdout or stderr for programs, and nil for what the workload logged itself.
	Stream    *string   `json:"stream"`
	Timestamp time.Time `json:"timestamp"`
}

// LogLevel says how serious a log line is.
type LogLevel string

// The levels of log lines.
const (
	LogDebug LogLevel = "DEBUG"
	LogInfo  LogLevel = "INFO"
	LogWarn  LogLevel = "WARN"
	LogError LogLevel = "ERROR"
)

// AuditEvent is a change of a workload: who changed it, when, from what to what, and why.
type AuditEvent struct {
	ActorID   string    `json:"actor_id"`
	ActorType ActorType `json:"actor_type"`
	Details   struct {
		CheckpointSequence *int64 `json:"checkpoint_sequence,omitempty"`
		// CPUSeconds is the CPU time that the run used which this event ended. nil: not measured.
		CPUSeconds *float64 `json:"cpu_seconds,omitempty"`
		From       *Status  `json:"from,omitempty"`
		Generation int64    `json:"generation"`
		// PeakMemoryMB is the most memory that this run used.
		PeakMemoryMB *int64 `json:"peak_memory_mb,omitempty"`
		// ProgressPercent is the progress after the change, of events of a run.
		ProgressPercent *float64 `json:"progress_percent,omitempty"`
		Reason          *string  `json:"reason,omitempty"`
		To              Status   `json:"to"`
		WorkerID        *string  `json:"worker_id,omitempty"`
	} `json:"details"`
	EventID int64 `json:"event_id"`

	// EventType is such as "workload.created".
	EventType  string    `json:"event_type"`
	Timestamp  time.Time `json:"timestamp"`
	WorkloadID string    `json:"workload_id"`
}

// Placement tells why a workload waits, and when it may start.
type Placement struct {
	// Confidence: how sure an estimate is, by how many placements of the last 5 minutes it rests
	// on, made while something had to wait: high at least 100 over as long a time as the estimate,
	// or a worker could take the workload now; medium at least 10 over a quarter of that; low
	// fewer, or more workloads are before it than were counted. Absent without an estimate.
	Confidence *Confidence `json:"confidence,omitempty"`

	// EstimatedStartTime: when it may start, at the throughput of its workload type in the last 5
	// minutes while some of it had to wait (with its customer at the limit also at its
	// customer's). Absent when it does not wait, when no worker could run it, or when nothing
	// tells yet.
	EstimatedStartTime *time.Time `json:"estimated_start_time,omitempty"`

	// Placeable: some worker that is registered and not draining could run it, were that worker
	// empty; false when it does not wait.
	Placeable bool `json:"placeable"`

	// Position: place in the queue of the whole fleet, all customers and workload types together;
	// 1 is next. Absent when it does not wait, and while it may not be placed yet (`not_before`).
	Position *int `json:"position,omitempty"`

	// PositionEstimated reports whether the position is an estimate: more than 10,000 workloads are
	// ahead, or the policy is fair, with which no position is fixed.
	PositionEstimated bool `json:"position_estimated"`

	// Reasons: about the workload and its customer first, then about workers, the most common
	// first. Empty when it does not wait.
	Reasons []PlacementReason `json:"reasons"`
	Status  Status            `json:"status"`

	// UsualWait is how long workloads of its lane had waited that were placed lately: those of the
	// same customer, type, priority, rules of affinity and resources. Nil if it does not wait, or
	// nothing was measured.
	UsualWait *Waited `json:"usual_wait,omitempty"`

	// Waiting: PENDING or REDISTRIBUTING; in any other status only `worker_id` is told beside it.
	Waiting bool `json:"waiting"`

	// WorkerID: who holds it; set exactly while SCHEDULED or RUNNING.
	WorkerID   *string `json:"worker_id,omitempty"`
	WorkloadID string  `json:"workload_id"`
}

// PlacementReason is one reason why a workload waits.
type PlacementReason struct {
	// Code: about the workload or its customer: `not_before` (`run_at` is to come),
	// `retry_backoff` (the wait before a retry is to come; the message says which retry),
	// `customer_suspended` (its customer is suspended),
	// `customer_limit` (its customer runs `max_concurrent_workloads`), `type_not_offered` (no
	// worker that is registered offers its type), `no_worker` (none is registered).
	//
	// About workers, each of which is counted once, under the first that applies:
	// `worker_draining`, `missing_type` (does not offer the workload type), `other_worker_id`,
	// `missing_tag` and `missing_workload_types` (`affinity_rules.hard_affinity`), `excluded`
	// (`affinity_rules.anti_affinity`), `too_small` (too little of a resource even when it is
	// empty), `full` (no free slot), `run_ending` (no free slot, one of them kept by a run that has
	// ended but does not return), `declined` (gave this workload back a moment ago), `suspects`
	// (workers died under this workload and under one that runs there), `conflict`
	// (`anti_affinity.workload_types`, its own or of what runs there), `resources_taken` (free
	// slots, but not enough of a resource left), `reserved` (what it needs is reserved for a workload
	// that waits longer), `next` (could take it now: it is about to be placed, or others are before
	// it). More may be added.
	Code string `json:"code"`

	// Message: for people.
	Message string `json:"message"`

	// Workers: how many workers it applies to; absent for reasons about the workload or its
	// customer.
	Workers *int `json:"workers,omitempty"`

	// WorkerIDs: the workers that it applies to, at most 10 of them; only for administrators.
	WorkerIDs *[]string `json:"worker_ids,omitempty"`
}

// Confidence says how sure an estimate is.
type Confidence string

// CheckpointInfo describes a checkpoint that is kept.
type CheckpointInfo struct {
	// Checksum: SHA-256 of the bytes as they are stored, which may be compressed; hexadecimal.
	Checksum  string    `json:"checksum"`
	CreatedAt time.Time `json:"created_at"`

	// Generation: the generation that wrote it.
	Generation int64 `json:"generation"`
	Sequence   int64 `json:"sequence"`

	// SizeBytes: before compression.
	SizeBytes int `json:"size_bytes"`
}

// ListParams select workloads. What is nil selects all; several fields must all match.
type ListParams struct {
	// Status: repeatable.
	Status       *[]Status
	WorkloadType *string

	// Label: `key=value`, repeatable; all must match.
	Label *[]string

	// CreatedAfter: exclusive, compared in milliseconds, as `created_at` is shown.
	CreatedAfter *time.Time

	// CreatedBefore: exclusive, compared in milliseconds, as `created_at` is shown.
	CreatedBefore *time.Time
	OrderBy       *OrderBy
	Order         *Order

	// Limit: items per page.
	Limit *int

	// Cursor: `next_cursor` of the page before, with the same filters.
	Cursor *string

	// Offset: instead of a cursor; the answer then carries `total`.
	Offset *int

	// CountSince: a `newest_cursor` or `next_cursor` with the same filters. The answer then has no
	// workloads, only how many newer ones match.
	CountSince *string
}

// LogParams select log lines. Limit is 1 to 1000; nil: 100.
type LogParams struct {
	Limit *int

	// Since: inclusive.
	Since *time.Time

	// Until: exclusive.
	Until *time.Time

	// After: continue behind the line with this `seq`.
	After *int64
}

// AffinityRules say where a workload runs: HardAffinity must match, SoftAffinity is preferred,
// AntiAffinity must not match.
type AffinityRules struct {
	AntiAffinity *AffinityTerms `json:"anti_affinity,omitempty"`
	HardAffinity *AffinityTerms `json:"hard_affinity,omitempty"`
	SoftAffinity *AffinityTerms `json:"soft_affinity,omitempty"`
}

// AffinityTerms name workers: by id, by tags, by the workload types that they offer (HardAffinity:
// all of them; SoftAffinity: the more the better) or that are assigned to them (AntiAffinity: none,
// whoever's). All that are given must match, except in SoftAffinity. What runs with an anti rule
// keeps those types of its own customer away, and of others where the operator allows it for its
// type.
type AffinityTerms struct {
	WorkerID      *string            `json:"worker_id,omitempty"`
	WorkerTags    *map[string]string `json:"worker_tags,omitempty"`
	WorkloadTypes *[]string          `json:"workload_types,omitempty"`
}

// SubmitAnswer tells what became of a submission.
type SubmitAnswer struct {
	CreatedAt time.Time `json:"created_at"`

	// EstimateConfidence: how sure an estimate is, by how many placements of the last 5 minutes it
	// rests on, made while something had to wait: high at least 100 over as long a time as the
	// estimate, or a worker could take the workload now; medium at least 10 over a quarter of
	// that; low fewer, or more workloads are before it than were counted. Absent without an
	// estimate.
	EstimateConfidence *Confidence `json:"estimate_confidence,omitempty"`

	// EstimatedStartTime: when it may start, never before a `run_at` that lies ahead; from a look
	// at the queue that may be 2 s old. `run_at` itself when there is nothing to estimate from;
	// null when that is not set either, and for a repeated submission whose workload no longer
	// waits.
	EstimatedStartTime *time.Time `json:"estimated_start_time"`
	Status             Status     `json:"status"`

	// StatusReason: that no worker offers its type yet; absent otherwise.
	StatusReason *string `json:"status_reason,omitempty"`
	WorkloadID   string  `json:"workload_id"`
}

// ControlAnswer tells what became of a cancel, a pause or a resume.
type ControlAnswer struct {
	// CancelledAt is set if it is CANCELLED.
	CancelledAt *time.Time `json:"cancelled_at,omitempty"`

	// CheckpointSequence: newest checkpoint; 0: none.
	CheckpointSequence int64 `json:"checkpoint_sequence"`

	// PausedAt is set if it is PAUSED.
	PausedAt   *time.Time `json:"paused_at,omitempty"`
	Status     Status     `json:"status"`
	WorkloadID string     `json:"workload_id"`
}

// Submission is a workload to run. Priority is 0 to 1000, nil: 10.
type Submission struct {
	// AffinityRules: see AffinityRules.
	AffinityRules *AffinityRules `json:"affinity_rules,omitempty"`

	// InputParams: any JSON object.
	InputParams json.RawMessage    `json:"input_params"`
	Labels      *map[string]string `json:"labels,omitempty"`

	// MaxRetries: how often it is tried again after a failure of its own. Default: the config's,
	// or 5.
	MaxRetries *int `json:"max_retries,omitempty"`
	Priority   *int `json:"priority,omitempty"`

	// Resources are what it reserves. Default: the config's, or nothing but a slot.
	Resources *Resources `json:"resources,omitempty"`

	// RunAt: not before this time.
	RunAt *time.Time `json:"run_at,omitempty"`

	// TimeoutSeconds: longest time of one run; 0: none. Default: the config's, or 3600.
	TimeoutSeconds *int `json:"timeout_seconds,omitempty"`

	// WorkloadType is such as "sleep".
	WorkloadType string `json:"workload_type"`
}

// OrderBy names the field that a list is ordered by.
type OrderBy string

// Order is the direction of a list.
type Order string

// Pagination says where a page stands in its list.
type Pagination struct {
	// HasMore reports whether another page follows.
	HasMore bool `json:"has_more"`
	Limit   int  `json:"limit"`

	// NewestCursor is the place of the newest workload of the page, for ListParams.CountSince.
	NewestCursor *string `json:"newest_cursor,omitempty"`

	// NextCursor stands for the next page; nil: this is the last.
	NextCursor *string `json:"next_cursor"`
	Offset     *int    `json:"offset,omitempty"`

	// Total counts the whole list; only with an offset.
	Total *int `json:"total,omitempty"`

	// TotalEstimated reports whether Total is an estimate, as it may be beyond 10,000.
	TotalEstimated *bool `json:"total_estimated,omitempty"`
}

// ActorType says who changed a workload: a client, a worker, or the system.
type ActorType string
