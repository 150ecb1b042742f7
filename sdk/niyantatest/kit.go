// Package niyantatest runs a workload type in a test, without servers, and crashes it after any checkpoint, to prove that
// a crash costs nothing.
package niyantatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// Kit runs one definition. Not safe for concurrent use.
type Kit[In, State, Out any] struct {
	def     *niyanta.Definition[In, State, Out]
	factory ports.WorkloadFactory

	// MaxRuns ends a test whose workload never finishes; 0 means 1000.
	MaxRuns int

	mu     sync.Mutex
	saved  []byte
	states []State
	runs   int
	lines  []string
}

// New returns a kit for a definition and its handler.
func New[In, State, Out any](d *niyanta.Definition[In, State, Out], h niyanta.Handler[In, State, Out]) *Kit[In, State, Out] {
	k := &Kit[In, State, Out]{def: d}
	d.Handle(registrar(func(f ports.WorkloadFactory) { k.factory = f }), h)
	return k
}

type registrar func(ports.WorkloadFactory)

// RegisterType implements niyanta.Registrar.
func (r registrar) RegisterType(_ string, f ports.WorkloadFactory) { r(f) }

// errCrash is what a crashed run sees, if it looks: its process is gone.
var errCrash = errors.New("niyantatest: crashed")

// Run runs the workload to its end without a crash.
func (k *Kit[In, State, Out]) Run(ctx context.Context, in In) (Out, error) { return k.run(ctx, in, 0) }

// RunCrashingAfter runs the workload and crashes every run after its n-th checkpoint (n >= 1), each time starting another
// from what was saved, until one ends by itself.
func (k *Kit[In, State, Out]) RunCrashingAfter(ctx context.Context, n int, in In) (Out, error) {
	if n < 1 {
		var none Out
		return none, fmt.Errorf("niyantatest: crash after checkpoint %d: must be at least 1", n)
	}
	return k.run(ctx, in, n)
}

func (k *Kit[In, State, Out]) run(ctx context.Context, in In, crashAfter int) (Out, error) {
	var out Out
	input, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	k.saved, k.states, k.runs, k.lines = nil, nil, 0, nil
	limit := k.MaxRuns
	if limit == 0 {
		limit = 1000
	}
	for k.runs < limit {
		k.runs++
		result, err := k.once(ctx, domain.JSON(input), crashAfter)
		switch {
		case errors.Is(err, errCrash):
			continue
		case err != nil:
			return out, err
		}
		return out, json.Unmarshal([]byte(result), &out)
	}
	return out, fmt.Errorf("niyantatest: not finished after %d runs", limit)
}

// once is one run on one worker.
func (k *Kit[In, State, Out]) once(ctx context.Context, input domain.JSON, crashAfter int) (domain.JSON, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := k.factory()
	task := ports.Task{
		Assignment: ports.Assignment{
			WorkloadID: "wl_test", CustomerID: "cust_test", Type: k.def.Name(), Generation: int64(k.runs), Input: input,
		},
		Checkpoint: k.saved,
	}
	if err := w.Init(ctx, task); err != nil {
		return "", err
	}
	p := &progress[State]{left: crashAfter, cancel: cancel, save: k.save, log: k.log}
	result, err := w.Execute(ctx, p)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if p.isCrashed() {
		return "", errCrash // whatever the handler returned is lost with its process
	}
	return result, err
}

func (k *Kit[In, State, Out]) save(data []byte) error {
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("niyantatest: state does not survive JSON: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.saved = append([]byte(nil), data...)
	k.states = append(k.states, s)
	return nil
}

func (k *Kit[In, State, Out]) log(line string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = append(k.lines, line)
}

// Checkpoints returns the states saved by the last Run, oldest first.
func (k *Kit[In, State, Out]) Checkpoints() []State { return append([]State(nil), k.states...) }

// Runs is how many runs the last Run took: 1, and one more per crash.
func (k *Kit[In, State, Out]) Runs() int { return k.runs }

// Log returns what the last Run wrote.
func (k *Kit[In, State, Out]) Log() []string { return append([]string(nil), k.lines...) }

// progress counts checkpoints and crashes after the n-th: from then on nothing of the run gets out.
type progress[State any] struct {
	mu      sync.Mutex
	left    int
	crashed bool
	cancel  context.CancelCauseFunc
	save    func([]byte) error
	log     func(string)
}

// Report implements ports.Progress.
func (p *progress[State]) Report(float64, string) {}

// Log implements ports.Progress.
func (p *progress[State]) Log(e ports.LogEntry) {
	if !p.isCrashed() {
		p.log(e.Message)
	}
}

// Checkpoint implements ports.Progress.
func (p *progress[State]) Checkpoint(ctx context.Context, data []byte, _ *float64, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.crashed {
		return errCrash
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := p.save(data); err != nil {
		return err
	}
	if p.left--; p.left == 0 {
		p.crashed = true
		p.cancel(errCrash)
	}
	return nil
}

func (p *progress[State]) isCrashed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crashed
}
