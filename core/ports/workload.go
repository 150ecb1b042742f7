package ports

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Workload is one run of something. The worker's engine calls Init once, then Execute once, then
// Close once, whatever happened before; Checkpoint may be called while Execute runs, from another
// goroutine. A panic in any of them, or runtime.Goexit, fails the run and leaves the worker as it
// was; one in a goroutine that the workload started itself ends the process, which nothing can
// prevent.
type Workload interface {
	// Init prepares the run. Checkpoint data, if any, stands in the task. An error fails the run as
	// from Execute.
	Init(ctx context.Context, t Task) error
	// Execute does the work and returns the result, a JSON value or empty. It must return soon
	// after ctx ends; context.Cause(ctx) is one of the Err… causes below. On pause, drain and
	// preemption it may still save a checkpoint before it returns. An error is transient unless it
	// is a *RunError that says otherwise. What it returns after ctx has ended counts: nil says that
	// the work is done; an error that wraps context.Cause(ctx) or ctx.Err() that it stopped because
	// it was asked to, and only such a run is paused or released; any other error, and a permanent
	// one always, that it failed.
	Execute(ctx context.Context, p Progress) (domain.JSON, error)
	// Checkpoint returns the state to continue from. ErrNoCheckpoint when there is nothing new to
	// save or the workload saves on its own.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Close releases what the run held; afterwards nothing of it (goroutines, processes, files) is
	// left.
	Close() error
}

// StreamWorkload is a Workload whose state need not fit in memory. It finds the checkpoint to continue
// from in Task.Stored, and CheckpointTo is called instead of Checkpoint.
type StreamWorkload interface {
	Workload
	// CheckpointTo writes the state to continue from to w. An error as from Checkpoint; then what was
	// written is dropped.
	CheckpointTo(ctx context.Context, w io.Writer) error
}

// WorkloadFactory makes a new Workload for one run. Factories are safe for concurrent use. They are
// called on the goroutine of the run and may block. A panic or a nil Workload fails the run.
type WorkloadFactory func() Workload

// Task describes what a run has to do.
type Task struct {
	Assignment
	// Checkpoint is the data to continue from. nil means to start from the beginning.
	Checkpoint []byte
	// Stored has it for a StreamWorkload, whole and verified, until Execute returns.
	Stored *Body
}

// Progress is how a run reports. Safe for concurrent use.
type Progress interface {
	// Report reports percent (0 to 100) and a message. It never blocks. Not every call is
	// delivered.
	Report(percent float64, message string)
	// Log writes a line. Never blocks; lines beyond what can be delivered are dropped and counted
	// in a line of their own.
	Log(e LogEntry)
	// Used states what the run has used so far, for those who measure it. The last statement before
	// the run ends counts.
	Used(c domain.Consumption)
	// Checkpoint saves data (and progress, if percent is not nil) and returns nil only when it is
	// durable and the run still holds its workload. It works for a grace after ctx ended by pause,
	// drain or preemption. All calls share that one grace; after it they fail with the cause.
	Checkpoint(ctx context.Context, data []byte, percent *float64, message string) error
	// CheckpointStream saves what write writes, which is called once, likewise. Where coordinators keep
	// large checkpoints, it may be as large as they take. An error of write is returned, and nothing
	// is saved.
	CheckpointStream(
		ctx context.Context, write func(w io.Writer) error, percent *float64, message string,
	) error
}

// The causes for which a run's context ends.
var (
	ErrCancelled = errors.New("workload cancelled")
	ErrPaused    = errors.New("workload paused")
	ErrDraining  = errors.New("worker draining")
	ErrPreempted = errors.New("workload made room for one of a higher tier")
	ErrLeaseLost = errors.New("worker lease lost")
	ErrFenced    = errors.New("workload runs elsewhere at a newer generation")
	ErrTimeout   = errors.New("workload timed out")
)

// ErrNoCheckpoint reports that a workload has nothing to save now.
var ErrNoCheckpoint = errors.New("no checkpoint to save")

// RunError is an error of a run with details for the retry policy.
type RunError struct {
	// Type is a short machine-readable class, for example "exit_status". Empty means "error".
	Type      string
	Permanent bool
	// RetryAfter is the delay before the next attempt. nil means backoff.
	RetryAfter *time.Duration
	Err        error
}

// Error implements error.
func (e *RunError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RunError) Unwrap() error { return e.Err }
