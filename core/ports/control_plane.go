package ports

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// ControlPlane is a worker's view of the coordinators. It is served in process, over a Bus and over
// HTTP; the same suite holds for all three. Errors: CodeFenced when the session is over (the worker
// stops its runs and registers anew), CodeConflict when another process owns the worker id (the
// worker ends), CodeInvalidInput for what can never succeed, CodeUnavailable (or any other error)
// when trying again makes sense. Every call but Register names its session: without a worker id and
// a session id it is CodeInvalidInput. All calls may be repeated.
type ControlPlane interface {
	// Register starts a session. See WorkerStore.Register; CodeConflict carries the details
	// "lease_left_ms", "lease_ms" and "heartbeat_interval_ms": the worker tries again each interval
	// for one lease, then ends.
	Register(ctx context.Context, r domain.Registration) (Grant, error)
	// Heartbeat renews the session's lease and reconciles: the answer carries whatever the worker
	// must do that it may have missed. CodeFenced and CodeConflict as above; CodeInvalidInput for
	// an inventory that names no workload or a state that is not known. What a worker has in its
	// hands takes its slot, whatever the store says of the workload (domain.Ending). An inventory has
	// at most MaxInventory items.
	Heartbeat(ctx context.Context, h Heartbeat) (HeartbeatAnswer, error)
	// Poll returns commands for the session, waiting for the first one at most as long as wait.
	// Commands are hints: they may be lost and repeated; what matters comes again with heartbeats
	// or by reconciliation. Without a bus, a session hears commands from its first poll on. What was
	// assigned before comes with that poll, what was not heard of with polls that wait. CodeFenced
	// when the session is not live; such a poll takes nothing from the session that came after it.
	Poll(ctx context.Context, s SessionRef, wait time.Duration) ([]Command, error)
	// Report delivers at most domain.MaxReports reports; they are committed in order when it
	// returns, and answered each in its place. Repeating a batch is safe. The reports of a session
	// that is not live are fenced, each. What is wrong with one report is its own answer and costs
	// the others nothing: illegal for what no worker may say, refused for what the store cannot
	// take, each with a reason. An outcome always lands: results and text are cleaned and cut,
	// never refused; see domain.CleanResult. The lines of a run are kept with the report that
	// brings them, so that whoever sees an outcome sees the lines sent before it.
	Report(ctx context.Context, s SessionRef, reports []Report) ([]ReportAnswer, error)
	// SaveCheckpoint stores a checkpoint; it is durable when the answer is applied or already.
	// Fenced as reports are.
	SaveCheckpoint(ctx context.Context, s SessionRef, c CheckpointUpload) (ReportAnswer, error)
	// LoadCheckpoint returns the newest checkpoint whose checksum holds, at or below the given
	// sequence. Only the holder of the workload at that generation may, in a live session:
	// CodeFenced otherwise. CodeNotFound when there is none.
	LoadCheckpoint(
		ctx context.Context, s SessionRef, id domain.WorkloadID, generation, sequence int64,
	) (CheckpointData, error)
	// End ends a session before its lease does, by its holder's own word or by a death certificate;
	// what it held moves at once. The holder gives its word only when nothing of the session runs
	// any more, a certificate is given only when nothing of the process is left. See
	// WorkerStore.End. Repeating it is safe. CodeForbidden when the certificate's secret is wrong.
	End(ctx context.Context, e domain.SessionEnd) error
}

// ErrUnanswered is wrapped by the errors of unanswered calls. It is unknown whether such a call had
// an effect.
var ErrUnanswered = errors.New("not answered")

// SessionRef identifies a session.
type SessionRef struct {
	WorkerID  domain.WorkerID  `json:"worker_id"`
	SessionID domain.SessionID `json:"session_id"`
}

// Validate checks both ids.
func (s SessionRef) Validate() error {
	if err := domain.ValidateWorkerID(s.WorkerID); err != nil {
		return err
	}
	return domain.ValidateSessionID(s.SessionID)
}

// Grant is the lease of a new session and its heartbeat interval. Durations in messages are whole
// milliseconds, because workers are written in any language.
type Grant struct {
	LeaseMS             int64 `json:"lease_ms"`
	HeartbeatIntervalMS int64 `json:"heartbeat_interval_ms"`
}

// Heartbeat is the regular message of a worker.
type Heartbeat struct {
	SessionRef
	// Number grows with each heartbeat of a session and stays the same when one is repeated. A
	// heartbeat that arrives twice or late does not count again as an inventory that lacks a run. 0
	// means not numbered.
	Number int64 `json:"number,omitempty"`
	// Draining reports that the worker takes no new work by its own decision. Drained reports that
	// it obeys a CommandDrain, which CommandUndrain ends.
	Draining  bool            `json:"draining,omitempty"`
	Drained   bool            `json:"drained,omitempty"`
	FreeSlots int             `json:"free_slots"`
	Inventory []InventoryItem `json:"inventory"`
}

// RunState is what a worker does with a workload.
type RunState string

// The run states.
const (
	RunStarting  RunState = "starting"
	RunRunning   RunState = "running"
	RunStopping  RunState = "stopping"  // told to end; its handler has not returned
	RunReporting RunState = "reporting" // ended; its last report is not acknowledged yet
)

// InventoryItem is one run on a worker: each run whose handler has not returned, whichever session
// it was started in, and each run whose last report is not answered. Each takes a slot unless it is
// reporting.
type InventoryItem struct {
	WorkloadID domain.WorkloadID `json:"workload_id"`
	Generation int64             `json:"generation"`
	State      RunState          `json:"state"`
	// Stuck reports that the run was told to end and has not returned within its grace. It is set
	// until a heartbeat that carries it is answered, so that coordinators count the run about once.
	Stuck bool `json:"stuck,omitempty"`
	// Devices are what the run holds of the worker's devices.
	Devices []domain.DeviceShare `json:"devices,omitempty"`
}

// Run identifies the run.
func (i *InventoryItem) Run() domain.RunID {
	return domain.RunID{WorkloadID: i.WorkloadID, Generation: i.Generation}
}

// MaxInventory bounds the items of an inventory. A worker has at most domain.MaxSlots runs that take a
// slot; the rest is for runs whose last report is not answered.
const MaxInventory = 2 * domain.MaxSlots

// Validate checks the session and the inventory.
func (h Heartbeat) Validate() error {
	if err := h.SessionRef.Validate(); err != nil {
		return err
	}
	if len(h.Inventory) > MaxInventory {
		return domain.Invalid("inventory", "must be at most %d items", MaxInventory)
	}
	for i := range h.Inventory {
		if !domain.StorableID(h.Inventory[i].WorkloadID) {
			return domain.Invalid("inventory", "item %d names no workload", i)
		}
		switch h.Inventory[i].State {
		case RunStarting, RunRunning, RunStopping, RunReporting:
		default:
			return domain.Invalid("inventory",
				"the state of item %d must be starting, running, stopping or reporting", i)
		}
		if err := domain.ValidateShares("inventory", h.Inventory[i].Devices); err != nil {
			return err
		}
	}
	return nil
}

// HeartbeatAnswer renews the lease, counted from when the heartbeat was sent.
type HeartbeatAnswer struct {
	LeaseMS  int64     `json:"lease_ms"`
	Commands []Command `json:"commands,omitempty"`
}

// CommandKind is the kind of a command.
type CommandKind string

// The commands. Their names are those of the messages on the bus.
const (
	CommandAssign CommandKind = "workload.assign"
	CommandCancel CommandKind = "workload.cancel"
	CommandPause  CommandKind = "workload.pause"
	// CommandCheckpoint asks for a checkpoint now. It is sent once: heartbeats don't repeat it.
	CommandCheckpoint CommandKind = "workload.checkpoint"
	// CommandPreempt asks for a checkpoint; once it is durable, the run makes room for a workload
	// of a higher tier and is released.
	CommandPreempt CommandKind = "workload.preempt"
	// CommandDrop tells the worker that the generation it holds is no longer the workload's.
	CommandDrop  CommandKind = "workload.drop"
	CommandDrain CommandKind = "worker.drain"
	// CommandUndrain ends a CommandDrain: the worker takes work again.
	CommandUndrain CommandKind = "worker.undrain"
)

// Command is one instruction. All but drain and undrain concern one workload at one generation; a
// worker that does not hold that generation ignores them.
type Command struct {
	Kind CommandKind `json:"kind"`
	// SessionID is the session that the command is for. Other sessions ignore it.
	SessionID  domain.SessionID  `json:"session_id"`
	WorkloadID domain.WorkloadID `json:"workload_id,omitempty"`
	Generation int64             `json:"generation,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	Assignment *Assignment       `json:"assignment,omitempty"`
}

// AssignCommand returns the command to run an assigned workload.
func AssignCommand(w *domain.Workload) Command {
	return Command{
		Kind: CommandAssign, SessionID: w.SessionID, WorkloadID: w.ID, Generation: w.Generation,
		Assignment: &Assignment{
			WorkloadID: w.ID, CustomerID: w.CustomerID, Type: w.Type, Generation: w.Generation,
			Input: w.Input, Labels: w.Labels, Config: w.Run.Config, Limits: w.Run.Limits,
			Resources: w.Run.Resources, Devices: w.Devices,
			CheckpointIntervalMS: w.Run.CheckpointInterval.Milliseconds(),
			TimeoutMS:            w.Run.Timeout.Milliseconds(),
			MaxRetries:           w.Run.MaxRetries, Attempt: w.RetryCount,
			CheckpointSequence: w.CheckpointSequence, ProgressPercent: w.ProgressPercent,
			RequestID: w.Origin.RequestID,
			Trace:     w.Origin.RunSpan(domain.RunID{WorkloadID: w.ID, Generation: w.Generation}).String(),
		},
	}
}

// Assignment is all that a worker needs to run a workload.
type Assignment struct {
	WorkloadID domain.WorkloadID `json:"workload_id"`
	CustomerID domain.CustomerID `json:"customer_id"`
	Type       string            `json:"workload_type"`
	Generation int64             `json:"generation"`
	Input      domain.JSON       `json:"input_params"`
	Labels     map[string]string `json:"labels,omitempty"`
	// Config is the customer's configuration of the type.
	Config domain.JSON `json:"config_json,omitempty"`
	// Limits are what the run may use. Resources are what it reserves, and Devices what it gets of
	// the worker's devices.
	Limits    domain.Amounts       `json:"resource_limits,omitzero"`
	Resources domain.Resources     `json:"resources,omitzero"`
	Devices   []domain.DeviceShare `json:"devices,omitempty"`
	// CheckpointIntervalMS is the time between automatic checkpoints, TimeoutMS the longest
	// duration of the run. 0 means none.
	CheckpointIntervalMS int64 `json:"checkpoint_interval_ms,omitempty"`
	TimeoutMS            int64 `json:"timeout_ms,omitempty"`
	MaxRetries           int   `json:"max_retries"`
	// Attempt counts the failed runs before this one.
	Attempt int `json:"attempt"`
	// CheckpointSequence is the sequence of the newest checkpoint to restore. 0 means none.
	CheckpointSequence int64   `json:"checkpoint_sequence,omitempty"`
	ProgressPercent    float64 `json:"progress_percent,omitempty"`
	// RequestID is the id of the request that submitted the workload. Trace is the span of this run,
	// as a header traceparent.
	RequestID string `json:"request_id,omitempty"`
	Trace     string `json:"traceparent,omitempty"`
}

// Size bounds the bytes of what customers wrote into the assignment.
func (a *Assignment) Size() int {
	n := len(a.Input) + len(a.Config)
	for k, v := range a.Labels {
		n += len(k) + len(v)
	}
	return n
}

// Bare returns an assign command without its assignment if that is large. Whoever polls gets the
// assignment from the store.
func (c Command) Bare() Command {
	if c.Assignment != nil && c.Assignment.Size() > bareAbove {
		c.Assignment = nil
	}
	return c
}

// bareAbove is the size from which on an assignment is not kept for a poll, in bytes.
const bareAbove = 16 << 10

// Origin returns what goes on with everything that is done for the run.
func (a *Assignment) Origin() domain.Origin {
	return domain.Origin{RequestID: a.RequestID, Trace: domain.ParseSpanRef(a.Trace)}
}

// Run identifies the run that the command concerns.
func (c *Command) Run() domain.RunID {
	return domain.RunID{WorkloadID: c.WorkloadID, Generation: c.Generation}
}

// Run identifies the run.
func (a *Assignment) Run() domain.RunID {
	return domain.RunID{WorkloadID: a.WorkloadID, Generation: a.Generation}
}

// Report is what a worker reports of one workload.
type Report = domain.Report

// LogEntry is one line of a report.
type LogEntry = domain.LogEntry

// ReportAnswer is the outcome of a report and the workload's state after it.
type ReportAnswer struct {
	ReportID string         `json:"report_id,omitempty"`
	Outcome  domain.Outcome `json:"outcome"`
	Status   domain.Status  `json:"status,omitempty"`
	Reason   string         `json:"reason,omitempty"`
}

// CheckpointUpload is a checkpoint to store. A nil Percent leaves the progress unchanged.
type CheckpointUpload struct {
	WorkloadID domain.WorkloadID `json:"workload_id"`
	Generation int64             `json:"generation"`
	Sequence   int64             `json:"sequence"`
	Percent    *float64          `json:"progress_percent,omitempty"`
	Message    string            `json:"progress_message,omitempty"`
	Data       []byte            `json:"data"`
	// Body has the bytes if Data does not. A transport that does not stream answers CodeTooLarge.
	Body *Body `json:"-"`
}

// Body are the bytes of a value that need not fit in memory.
type Body struct {
	// Size is their number. -1 means that it is not known.
	Size int64
	// Open returns a reader of all of them, from the first one on. The caller closes it. A body that
	// comes from a request is opened once.
	Open func() (io.ReadCloser, error)
}

// CheckpointData is a checkpoint with the bytes that the workload saved.
type CheckpointData struct {
	Sequence int64  `json:"sequence"`
	Data     []byte `json:"data"`
	// Body, if not nil, delivers the bytes instead of Data, Size in all; -1: as many as there are. The
	// caller closes it. It ends with io.EOF only if they are what was saved.
	Body io.ReadCloser `json:"-"`
	Size int64         `json:"-"`
}
