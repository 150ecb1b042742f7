package domain

import "time"

// ActorKind says who caused an audited event.
type ActorKind string

// The actors.
const (
	ActorUser        ActorKind = "user"
	ActorCoordinator ActorKind = "coordinator"
	ActorWorker      ActorKind = "worker"
	ActorSystem      ActorKind = "system"
)

// Actor is who caused an event: a key, a coordinator, a worker.
type Actor struct {
	Kind ActorKind
	ID   string
	// Admin is the administrator who acts for a customer; nil: none does. Stores record what such an
	// actor does, see AdminEvent. What they read has no Admin.
	Admin *Admin
}

// bare returns the actor as a workload's audit trail names it.
func (a Actor) bare() Actor { return Actor{Kind: a.Kind, ID: a.ID} }

// AuditType names an audited event.
type AuditType string

// The audited events.
const (
	AuditCreated           AuditType = "workload.created"
	AuditScheduled         AuditType = "workload.scheduled"
	AuditStarted           AuditType = "workload.started"
	AuditDeclined          AuditType = "workload.declined"
	AuditProgress          AuditType = "workload.progress_updated"
	AuditCheckpoint        AuditType = "workload.checkpoint_created"
	AuditCheckpointSkipped AuditType = "workload.checkpoint_skipped"
	AuditPauseRequested    AuditType = "workload.pause_requested"
	AuditPaused            AuditType = "workload.paused"
	AuditResumed           AuditType = "workload.resumed"
	AuditRetried           AuditType = "workload.retried"
	AuditFailed            AuditType = "workload.failed"
	AuditCompleted         AuditType = "workload.completed"
	AuditCancelled         AuditType = "workload.cancelled"
	AuditRedistributed     AuditType = "workload.redistributed"
	AuditReleased          AuditType = "workload.released"
	AuditUnplaceable       AuditType = "workload.unplaceable"
	AuditWorkerJoined      AuditType = "worker.registered"
	AuditHeartbeatMissed   AuditType = "worker.heartbeat_missed"
	AuditWorkerDead        AuditType = "worker.marked_dead"
	AuditWorkerDraining    AuditType = "worker.draining"
	AuditWorkerUndrained   AuditType = "worker.undrained"
	AuditWorkerRemoved     AuditType = "worker.removed"
)

// AuditEvent records one applied transition. Append only; ids grow in commit order per workload.
type AuditEvent struct {
	ID         int64
	WorkloadID WorkloadID // empty for worker events
	CustomerID CustomerID // empty for worker events
	Type       AuditType
	Actor      Actor
	// From and To are the states around the transition; From is empty for a submission.
	From, To   Status
	Generation int64
	// WorkerID is the worker concerned: the one assigned, or the one that held the work.
	WorkerID WorkerID
	// CheckpointSequence is set on checkpoint, pause, release and redistribution. On a skip it is the
	// one that the run continues from; 0: it begins anew.
	CheckpointSequence int64
	Reason             string
	// ProgressPercent is the progress after the transition. ProgressMessage is what the workload said
	// about it, if the transition brought it.
	ProgressPercent float64
	ProgressMessage string
	// Used is what the run used that this event ended.
	Used Consumption
	At   time.Time
}

// LogLine is one line that a workload wrote.
type LogLine struct {
	WorkloadID WorkloadID
	CustomerID CustomerID
	Generation int64
	// Seq numbers the lines of one workload in the order the store took them.
	Seq     int64
	At      time.Time
	Level   string // LevelDebug, LevelInfo, LevelWarn or LevelError
	Stream  string // stdout, stderr, or empty for structured messages
	Message string
	// Details is what the workload logged beside the message: a JSON object, or empty for none.
	Details JSON
}

// Bounds of a log line, in bytes. Workers cut longer messages; larger details are dropped.
const (
	MaxLogMessage = 8 << 10
	MaxLogDetails = 8 << 10
)

// MaxLogLines is the number of lines kept per workload. The oldest are dropped first.
const MaxLogLines = 10_000

// Bounds of checkpoints.
const (
	// MaxInlineCheckpoint is the largest checkpoint stored inline, before compression.
	MaxInlineCheckpoint = 10 << 20
	// CheckpointsKept is the number of checkpoints kept per workload.
	CheckpointsKept = 10
)

// Checkpoint describes one saved checkpoint. Its bytes are passed separately.
type Checkpoint struct {
	WorkloadID WorkloadID
	Sequence   int64
	Generation int64
	// Size is the length of the data that the workload saved, in bytes. Encoding is the encoding of
	// the stored bytes ("" or "zstd"), Checksum their SHA-256.
	Size     int
	Encoding string
	Checksum [32]byte
	// Blob is the upload whose value the bytes are. Empty: they are stored beside this.
	Blob      BlobID
	CreatedAt time.Time
}
