package niyanta

import (
	"encoding/json"
	"time"
)

// The tiers.
const (
	TierFree       Tier = "free"
	TierStandard   Tier = "standard"
	TierPremium    Tier = "premium"
	TierEnterprise Tier = "enterprise"
)

// The roles of a customer's keys. A viewer reads, and sees no payloads.
const (
	RoleCustomer KeyRole = "customer"
	RoleViewer   KeyRole = "viewer"
)

// The roles of operator keys.
const (
	RoleAdmin  OperatorRole = "admin"
	RoleScaler OperatorRole = "scaler"
	RoleWorker OperatorRole = "worker"
)

// The states of a worker.
const (
	WorkerHealthy  WorkerStatus = "HEALTHY"
	WorkerDraining WorkerStatus = "DRAINING"
	WorkerDead     WorkerStatus = "DEAD"
)

// WorkloadConfig holds a customer's defaults for a workload type.
type WorkloadConfig struct {
	// CheckpointIntervalSec is in seconds; 0: only when the workload asks.
	CheckpointIntervalSec int    `json:"checkpoint_interval_sec"`
	ConfigID              string `json:"config_id"`

	// ConfigJSON: an object; null for viewers.
	ConfigJSON     json.RawMessage `json:"config_json"`
	CreatedAt      time.Time       `json:"created_at"`
	CustomerID     string          `json:"customer_id"`
	Description    string          `json:"description"`
	MaxRetries     int             `json:"max_retries"`
	ResourceLimits Amounts         `json:"resource_limits"`

	// Resources are what its workloads reserve; nil: nothing but a slot.
	Resources *Resources `json:"resources,omitempty"`

	// RetryBackoff: the wait before a retry: `initial_seconds` before the first, `factor` times as
	// long before each further one, at most `max_seconds`; half of each wait is fixed and half is
	// random. With the defaults and five retries: 5, 15, 45, 135 and 405 s, or half of that. A
	// workload may ask for another wait when it fails.
	RetryBackoff RetryBackoff `json:"retry_backoff"`

	// TimeoutSeconds bounds one run; 0: nothing does.
	TimeoutSeconds int       `json:"timeout_seconds"`
	UpdatedAt      time.Time `json:"updated_at"`
	WorkloadType   string    `json:"workload_type"`
}

// ConfigInput is what a config is made of. What is nil gets its default.
type ConfigInput struct {
	// CheckpointIntervalSec: 0: only when the workload asks.
	CheckpointIntervalSec *int `json:"checkpoint_interval_sec,omitempty"`

	// ConfigJSON: any JSON object.
	ConfigJSON  *json.RawMessage `json:"config_json,omitempty"`
	Description *string          `json:"description,omitempty"`

	// MaxRetries: how often a workload is tried again after a failure of its own.
	MaxRetries     *int     `json:"max_retries,omitempty"`
	ResourceLimits *Amounts `json:"resource_limits,omitempty"`

	// Resources are what its workloads reserve.
	Resources *Resources `json:"resources,omitempty"`

	// RetryBackoff: the wait before a retry: `initial_seconds` before the first, `factor` times as
	// long before each further one, at most `max_seconds`; half of each wait is fixed and half is
	// random. With the defaults and five retries: 5, 15, 45, 135 and 405 s, or half of that. A
	// workload may ask for another wait when it fails.
	RetryBackoff *RetryBackoff `json:"retry_backoff,omitempty"`

	// TimeoutSeconds: 0: none.
	TimeoutSeconds *int   `json:"timeout_seconds,omitempty"`
	WorkloadType   string `json:"workload_type"`
}

// ConfigChange changes a config. What is nil stays as it is, also within ResourceLimits and RetryBackoff.
type ConfigChange struct {
	CheckpointIntervalSec *int             `json:"checkpoint_interval_sec,omitempty"`
	ConfigJSON            *json.RawMessage `json:"config_json,omitempty"`
	Description           *string          `json:"description,omitempty"`
	MaxRetries            *int             `json:"max_retries,omitempty"`
	ResourceLimits        *Amounts         `json:"resource_limits,omitempty"`

	// Resources are what its workloads reserve.
	Resources      *Resources    `json:"resources,omitempty"`
	RetryBackoff   *RetryBackoff `json:"retry_backoff,omitempty"`
	TimeoutSeconds *int          `json:"timeout_seconds,omitempty"`

	// WorkloadType is the config's type, which cannot change.
	WorkloadType *string `json:"workload_type,omitempty"`
}

// RetryBackoff is the wait before a retry: InitialSeconds before the first, Factor times as long
// before each further one, at most MaxSeconds. Half of each wait is fixed and half is random. A
// workload may ask for another wait when it fails.
type RetryBackoff struct {
	Factor         *float64 `json:"factor,omitempty"`
	InitialSeconds *float64 `json:"initial_seconds,omitempty"`

	// MaxSeconds: left out: 600, or `initial_seconds` if that is more.
	MaxSeconds *float64 `json:"max_seconds,omitempty"`
}

// Customer is a customer of the deployment.
type Customer struct {
	CreatedAt  time.Time `json:"created_at"`
	CustomerID string    `json:"customer_id"`
	Limits     Limits    `json:"limits"`
	Name       string    `json:"name"`

	// Preemptible: whether its running workloads may be asked to checkpoint and make room for a
	// higher tier's, where the deployment has switched that on (`NIYANTA_PREEMPTION`). True for a
	// customer that was onboarded without it.
	Preemptible bool `json:"preemptible"`

	// EncryptionKeyID is the key that what the storages outside the database get is encrypted with;
	// nil: none of its own.
	EncryptionKeyID *string `json:"encryption_key_id,omitempty"`

	// Retention is how long its finished workloads are kept; see Retention.
	Retention *Retention `json:"retention,omitempty"`

	// SuspendedAt is when the customer was suspended; nil: it is not.
	SuspendedAt *time.Time `json:"suspended_at"`
	Tier        Tier       `json:"tier"`

	// Usage is what it uses now. Only lists have it.
	Usage *UsageFigures `json:"usage,omitempty"`
}

// UsageFigures are what a customer uses now.
type UsageFigures struct {
	// CurrentQueueDepth: what is PENDING or REDISTRIBUTING.
	CurrentQueueDepth int `json:"current_queue_depth"`

	// CurrentRunningWorkloads: what is SCHEDULED or RUNNING.
	CurrentRunningWorkloads int `json:"current_running_workloads"`

	// WorkloadsToday: what was submitted since midnight UTC.
	WorkloadsToday int `json:"workloads_today"`
}

// Deleting is the progress of the deletion of a customer.
type Deleting struct {
	// Remaining is the number of workloads that are not removed yet, counted up to 10,000.
	// RemainingEstimated reports whether there are more.
	Remaining          int       `json:"remaining"`
	RemainingEstimated bool      `json:"remaining_estimated"`
	Since              time.Time `json:"since"`
}

// CustomerUsage is a customer with what it uses now.
type CustomerUsage struct {
	CreatedAt  time.Time `json:"created_at"`
	CustomerID string    `json:"customer_id"`

	// Deleting is the progress of the deletion; nil: the customer is not being deleted.
	Deleting *Deleting `json:"deleting,omitempty"`
	Limits   Limits    `json:"limits"`
	Name     string    `json:"name"`

	// Preemptible: whether its running workloads may be asked to checkpoint and make room for a
	// higher tier's, where the deployment has switched that on (`NIYANTA_PREEMPTION`). True for a
	// customer that was onboarded without it.
	Preemptible bool `json:"preemptible"`

	// EncryptionKeyID is the key that what the storages outside the database get is encrypted with;
	// nil: none of its own.
	EncryptionKeyID *string `json:"encryption_key_id,omitempty"`

	// Retention is how long its finished workloads are kept; see Retention.
	Retention *Retention `json:"retention,omitempty"`

	// SuspendedAt is when the customer was suspended; nil: it is not.
	SuspendedAt *time.Time   `json:"suspended_at"`
	Tier        Tier         `json:"tier"`
	Usage       UsageFigures `json:"usage"`
}

// CustomerInput is what a customer is onboarded with.
type CustomerInput struct {
	// CustomerID: `cust_` and a-z, 0-9, `-`, `_`; made when left out.
	CustomerID *string      `json:"customer_id,omitempty"`
	Limits     *LimitsInput `json:"limits,omitempty"`
	Name       string       `json:"name"`

	// Preemptible: whether its running workloads may be asked to checkpoint and make room for a
	// higher tier's, where the deployment has switched that on (`NIYANTA_PREEMPTION`). True for a
	// customer that was onboarded without it.
	Preemptible *bool `json:"preemptible,omitempty"`

	// EncryptionKeyID is the key that its large checkpoints and its lines of the archive are encrypted
	// with, as S3 with SSE-KMS names it. Empty: none of its own.
	EncryptionKeyID *string `json:"encryption_key_id,omitempty"`

	// Retention is how long its finished workloads are kept; see Retention.
	Retention *Retention `json:"retention,omitempty"`
	Tier      Tier       `json:"tier"`
}

// Retention is how long a customer's finished workloads are kept. A period that is nil is the
// deployment's.
type Retention struct {
	// LogDays: days after the end until the log lines go. They go with the workload at the latest.
	LogDays *int `json:"log_days,omitempty"`

	// WorkloadDays: days after the end until a workload moves to the archive.
	WorkloadDays *int `json:"workload_days,omitempty"`
}

// Key describes an API key, without its secret.
type Key struct {
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	KeyID     string     `json:"key_id"`
	Name      string     `json:"name"`

	// Prefix: start of the key.
	Prefix    string     `json:"prefix"`
	RevokedAt *time.Time `json:"revoked_at"`
	Role      KeyRole    `json:"role"`
}

// NewKey is an API key that was just made. Key is its secret, which is shown only here.
type NewKey struct {
	ExpiresAt *time.Time `json:"expires_at"`
	Key       string     `json:"key"`
	KeyID     string     `json:"key_id"`
	Name      string     `json:"name"`
	Role      KeyRole    `json:"role"`
}

// KeyInput says what key to make.
type KeyInput struct {
	// ExpiresAt: in the future; left out: never.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Name      *string    `json:"name,omitempty"`
	Role      KeyRole    `json:"role"`
}

// OperatorKey describes a key that belongs to no customer, without its secret.
type OperatorKey struct {
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	KeyID     string     `json:"key_id"`
	Name      string     `json:"name"`

	// Prefix: start of the key.
	Prefix    string       `json:"prefix"`
	RevokedAt *time.Time   `json:"revoked_at"`
	Role      OperatorRole `json:"role"`

	// WorkerIds: the worker ids that a worker's key is for; `*` stands for any number of
	// characters.
	WorkerIds *string `json:"worker_ids,omitempty"`
}

// NewOperatorKey is an operator key that was just made. Key is its secret, which is shown only
// here.
type NewOperatorKey struct {
	ExpiresAt *time.Time   `json:"expires_at"`
	Key       string       `json:"key"`
	KeyID     string       `json:"key_id"`
	Name      string       `json:"name"`
	Role      OperatorRole `json:"role"`
	WorkerIds *string      `json:"worker_ids,omitempty"`
}

// OperatorKeyInput says what operator key to make.
type OperatorKeyInput struct {
	// ExpiresAt: in the future; left out: never.
	ExpiresAt *time.Time   `json:"expires_at,omitempty"`
	Name      string       `json:"name"`
	Role      OperatorRole `json:"role"`

	// WorkerIds: the worker ids that a worker's key is for; `*` stands for any number of
	// characters.
	WorkerIds *string `json:"worker_ids,omitempty"`
}

// WorkerInfo is a worker with what it runs.
type WorkerInfo struct {
	Capabilities []string `json:"capabilities"`

	// CapacityTotal counts its slots, CapacityUsed those taken by the workloads that it holds and
	// by ending runs.
	CapacityTotal int `json:"capacity_total"`
	CapacityUsed  int `json:"capacity_used"`

	// EndingRuns: runs that have ended (cancelled, timed out) but that the worker still has in its
	// hands. Each keeps its slot. One that stays for longer than a few seconds ignores its
	// cancellation; restarting the worker frees the slot.
	EndingRuns []struct {
		CustomerID       string  `json:"customer_id"`
		EndingForSeconds float64 `json:"ending_for_seconds"`
		Generation       int64   `json:"generation"`
		WorkloadID       string  `json:"workload_id"`
	} `json:"ending_runs"`
	LastHeartbeat time.Time       `json:"last_heartbeat"`
	LeaseUntil    time.Time       `json:"lease_until"`
	RegisteredAt  time.Time       `json:"registered_at"`
	Resources     WorkerResources `json:"resources"`

	// Allocated is what its runs hold of its resources, ending runs included.
	Allocated *AllocatedResources `json:"allocated,omitempty"`

	// RunningWorkloads are the ids of the workloads that it holds, SCHEDULED or RUNNING.
	RunningWorkloads []string          `json:"running_workloads"`
	SessionID        string            `json:"session_id"`
	Status           WorkerStatus      `json:"status"`
	Tags             map[string]string `json:"tags"`
	Version          string            `json:"version"`
	WorkerID         string            `json:"worker_id"`
}

// WorkerEvent is one change of a worker.
type WorkerEvent struct {
	// ActorID is the id of who caused it; of a user, the id of the key.
	ActorID   string    `json:"actor_id"`
	ActorType ActorType `json:"actor_type"`
	Details   struct {
		Reason *string `json:"reason,omitempty"`
	} `json:"details"`
	EventID int64 `json:"event_id"`

	// EventType is such as "worker.draining".
	EventType string    `json:"event_type"`
	Timestamp time.Time `json:"timestamp"`
	WorkerID  string    `json:"worker_id"`
}

// Tier is what a customer is entitled to.
type Tier string

// KeyRole says what a customer's key may do.
type KeyRole string

// OperatorRole says what an operator key may do.
type OperatorRole string

// CustomerPatch changes a customer. What is nil stays as it is.
type CustomerPatch struct {
	// Limits: a limit that is left out stays as it is; null takes it back to the tier's.
	Limits *LimitsPatch `json:"limits,omitempty"`
	Name   *string      `json:"name,omitempty"`

	// Preemptible: whether its running workloads may be asked to checkpoint and make room for a
	// higher tier's, where the deployment has switched that on (`NIYANTA_PREEMPTION`). True for a
	// customer that was onboarded without it.
	Preemptible *bool `json:"preemptible,omitempty"`

	// EncryptionKeyID is the key that its large checkpoints and its lines of the archive are encrypted
	// with, as S3 with SSE-KMS names it. Empty: none of its own.
	EncryptionKeyID *string `json:"encryption_key_id,omitempty"`

	// Retention: a period that is left out stays as it is; null takes it back to the deployment's.
	Retention *RetentionPatch `json:"retention,omitempty"`
	Tier      *Tier           `json:"tier,omitempty"`
}

// RetentionPatch are the periods to change. See To.
type RetentionPatch struct {
	LogDays      Change[int] `json:"log_days,omitempty,omitzero"`
	WorkloadDays Change[int] `json:"workload_days,omitempty,omitzero"`
}

// LimitsInput are limits of a customer. What is nil is the tier's.
type LimitsInput struct {
	Burst                  *int     `json:"burst,omitempty"`
	MaxConcurrentWorkloads *int     `json:"max_concurrent_workloads,omitempty"`
	MaxQueueDepth          *int     `json:"max_queue_depth,omitempty"`
	RateLimitPerSec        *float64 `json:"rate_limit_per_sec,omitempty"`
}

// LimitsPatch changes limits of a customer. The zero Change leaves a limit as it is.
type LimitsPatch struct {
	Burst                  Change[int]     `json:"burst,omitempty,omitzero"`
	MaxConcurrentWorkloads Change[int]     `json:"max_concurrent_workloads,omitempty,omitzero"`
	MaxQueueDepth          Change[int]     `json:"max_queue_depth,omitempty,omitzero"`
	RateLimitPerSec        Change[float64] `json:"rate_limit_per_sec,omitempty,omitzero"`
}

// Limits are those in force for a customer.
type Limits struct {
	Burst                  int `json:"burst"`
	MaxConcurrentWorkloads int `json:"max_concurrent_workloads"`
	MaxQueueDepth          int `json:"max_queue_depth"`

	// RateLimitPerSec is in requests per second, Burst in requests at once.
	RateLimitPerSec float64 `json:"rate_limit_per_sec"`
}

// WorkerStatus is the state of a worker.
type WorkerStatus string
