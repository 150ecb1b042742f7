package niyanta

import (
	"errors"
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

// Why a handler's context ended; compare context.Cause(ctx) with errors.Is.
var (
	ErrCancelled = ports.ErrCancelled // a client cancelled the workload
	ErrPaused    = ports.ErrPaused    // a client paused it; it continues from its last checkpoint when resumed
	ErrDraining  = ports.ErrDraining  // the worker shuts down; another one continues
	ErrPreempted = ports.ErrPreempted // a workload of a higher tier needs the place; it continues later
	ErrLeaseLost = ports.ErrLeaseLost // the worker lost contact and may no longer act
	ErrFenced    = ports.ErrFenced    // the workload runs elsewhere at a newer generation
	ErrTimeout   = ports.ErrTimeout   // the run took longer than its timeout
)

// Permanent marks an error as one that trying again cannot mend: the workload fails at once.
// Permanent(nil) is nil.
func Permanent(err error) error {
	return runError(err, func(e *ports.RunError) { e.Permanent = true })
}

// RetryAfter asks for the next try after d, at most 24 h, instead of the usual backoff.
// RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	return runError(err, func(e *ports.RunError) { e.RetryAfter = &d })
}

// WithType gives an error a machine-readable class, which clients see as error_type. WithType(nil,
// t) is nil.
func WithType(err error, errorType string) error {
	return runError(err, func(e *ports.RunError) { e.Type = errorType })
}

// runError wraps err, keeping what an inner RunError says.
func runError(err error, set func(*ports.RunError)) error {
	if err == nil {
		return nil
	}
	wrapped := &ports.RunError{Err: err}
	var inner *ports.RunError
	if errors.As(err, &inner) {
		wrapped.Type, wrapped.Permanent, wrapped.RetryAfter = inner.Type, inner.Permanent, inner.RetryAfter
	}
	set(wrapped)
	return wrapped
}
