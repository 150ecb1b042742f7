package niyanta

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Definition is a workload type: its name and the types of its input, its checkpoint state and its
// output, all of which travel as JSON.
type Definition[In, State, Out any] struct {
	name string
}

// Define names a workload type: a letter or digit, then up to 99 of letters, digits, ".", "_" and
// "-".
func Define[In, State, Out any](name string) *Definition[In, State, Out] {
	return &Definition[In, State, Out]{name: name}
}

// Name returns the type's name.
func (d *Definition[In, State, Out]) Name() string { return d.name }

// Handler does the work. It returns soon after ctx ends; context.Cause(ctx) is one of the Err…
// causes. Its error is transient (the workload is tried again, with backoff, as often as its config
// allows) unless wrapped by Permanent.
//
// After ctx has ended, a handler that stopped because it was asked to returns an error that wraps
// context.Cause(ctx) or ctx.Err(): then the workload is paused, or given back to continue
// elsewhere. A nil error says that it is done, and any other one that it failed. A panic, and
// runtime.Goexit, fail the run with the stack in its log, and the worker goes on; a panic in a
// goroutine that the handler started itself ends the process.
type Handler[In, State, Out any] func(ctx context.Context, t *Task[In, State]) (Out, error)

// Registrar is what handlers are registered with: a Worker, or the test kit.
type Registrar interface {
	// RegisterType offers a type. It panics on a name that is not valid or registered twice,
	// because both are mistakes in the program.
	RegisterType(name string, f ports.WorkloadFactory)
}

// Handle has the worker run the type with h.
func (d *Definition[In, State, Out]) Handle(w Registrar, h Handler[In, State, Out]) {
	w.RegisterType(d.name, func() ports.Workload {
		r := &run[In, State, Out]{handler: h}
		if _, streams := any(r.task.state).(Stream); streams {
			return streamed[In, State, Out]{r}
		}
		return r
	})
}

// run adapts a handler to ports.Workload.
type run[In, State, Out any] struct {
	handler Handler[In, State, Out]
	task    Task[In, State]
}

// Init implements ports.Workload.
func (r *run[In, State, Out]) Init(_ context.Context, t ports.Task) error {
	r.task.info = t.Assignment
	if t.Input != "" {
		if err := json.Unmarshal([]byte(t.Input), &r.task.input); err != nil {
			return Permanent(fmt.Errorf("input_params: %w", err))
		}
	}
	if t.Checkpoint != nil {
		if err := json.Unmarshal(t.Checkpoint, &r.task.state); err != nil {
			return Permanent(fmt.Errorf("checkpoint state: %w", err))
		}
		r.task.resumed = true
	}
	return nil
}

// Execute implements ports.Workload.
func (r *run[In, State, Out]) Execute(ctx context.Context, p ports.Progress) (domain.JSON, error) {
	r.task.progress = p
	out, err := r.handler(context.WithValue(ctx, progressKey{}, p), &r.task)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(out)
	if err != nil {
		return "", Permanent(fmt.Errorf("result: %w", err))
	}
	return domain.JSON(b), nil
}

// Checkpoint implements ports.Workload: handlers save on their own, unless they gave a snapshot
// function.
func (r *run[In, State, Out]) Checkpoint(context.Context) ([]byte, error) {
	snapshot := r.task.snapshotFunc()
	if snapshot == nil {
		return nil, ports.ErrNoCheckpoint
	}
	return json.Marshal(snapshot())
}

// Close implements ports.Workload.
func (r *run[In, State, Out]) Close() error { return nil }
