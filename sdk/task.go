package niyanta

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Task is one run of a workload, as its handler sees it. Safe for concurrent use.
type Task[In, State any] struct {
	info     ports.Assignment
	input    In
	state    State
	resumed  bool
	progress ports.Progress

	mu       sync.Mutex
	snapshot func() State
}

// Progress tells how far a run is: Percent from 0 to 100, and a message for people.
type Progress struct {
	Percent float64
	Message string
}

// Input is what was submitted.
func (t *Task[In, State]) Input() In { return t.input }

// State is what the last durable checkpoint held when this run began; the zero State if there was
// none.
func (t *Task[In, State]) State() State { return t.state }

// Resumed reports whether State comes from a checkpoint.
func (t *Task[In, State]) Resumed() bool { return t.resumed }

// WorkloadID identifies the workload, the same in every run.
func (t *Task[In, State]) WorkloadID() string { return string(t.info.WorkloadID) }

// CustomerID is whose workload it is.
func (t *Task[In, State]) CustomerID() string { return string(t.info.CustomerID) }

// Generation is the fencing token of this run: it grows with every assignment. Systems that the
// handler writes to can refuse older ones.
func (t *Task[In, State]) Generation() int64 { return t.info.Generation }

// Attempt counts the runs that failed before this one.
func (t *Task[In, State]) Attempt() int { return t.info.Attempt }

// RequestID names the API request that submitted the workload, as the coordinators' logs do. Empty:
// it is not known.
func (t *Task[In, State]) RequestID() string { return t.info.RequestID }

// TraceParent is the span of this run, as the value of a header traceparent of the W3C. A tracer that
// begins a handler's spans below it makes them part of the workload's trace. Requests of a Client with
// the handler's context carry it by themselves.
func (t *Task[In, State]) TraceParent() string { return t.info.Trace }

// Labels are the workload's labels.
func (t *Task[In, State]) Labels() map[string]string { return t.info.Labels }

// Config decodes the customer's configuration of the type into v; without one, v stays as it is.
func (t *Task[In, State]) Config(v any) error {
	if t.info.Config == "" {
		return nil
	}
	return json.Unmarshal([]byte(t.info.Config), v)
}

// Checkpoint saves state and progress. It returns nil only when they are durable and this run still
// holds the workload; after any error the handler should return it. A state is at most 10 MiB of
// JSON, or as much as the coordinators take where they keep large checkpoints. See Stream for states
// that do not fit in memory.
//
// After ctx ended by ErrPaused, ErrDraining or ErrPreempted it still works for 10 seconds in all,
// so that a handler can save where it stopped. Then it fails with that error.
func (t *Task[In, State]) Checkpoint(ctx context.Context, state State, p Progress) error {
	if s, streams := any(state).(Stream); streams {
		return public(t.progress.CheckpointStream(ctx, s.writeTo, &p.Percent, p.Message))
	}
	data, err := json.Marshal(state)
	if err != nil {
		return Permanent(fmt.Errorf("checkpoint state: %w", err))
	}
	return public(t.progress.Checkpoint(ctx, data, &p.Percent, p.Message))
}

// OnCheckpoint has the platform take checkpoints by itself: at the config's interval, at each tenth
// of progress, on pause and on drain it calls snapshot, from another goroutine.
func (t *Task[In, State]) OnCheckpoint(snapshot func() State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.snapshot = snapshot
}

func (t *Task[In, State]) snapshotFunc() func() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.snapshot
}

// Report tells progress without saving anything. It never blocks; reports are thinned on their way.
func (t *Task[In, State]) Report(p Progress) { t.progress.Report(p.Percent, p.Message) }

// Logf writes a line to the workload's log at level INFO. See Logger for levels and details.
func (t *Task[In, State]) Logf(format string, args ...any) {
	t.progress.Log(ports.LogEntry{Level: domain.LevelInfo, Message: fmt.Sprintf(format, args...)})
}
