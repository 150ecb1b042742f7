// Package niyantatest runs a workload type in a test, without servers. It crashes, pauses, drains
// or retries runs, to prove that none of it costs anything.
package niyantatest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

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
	// MaxRetries is how often a run is tried again after a failure of its own that is not
	// permanent; 0: never. The kit does not wait in between: see RetryAfter.
	MaxRetries int
	// Timeout ends the context of a run with niyanta.ErrTimeout; 0: nothing does.
	Timeout time.Duration
	// Labels are the workload's.
	Labels map[string]string

	mu     sync.Mutex
	saved  []byte
	states []State
	runs   int
	failed int
	waits  []time.Duration
	lines  []string
}

// New returns a kit for a definition and its handler.
func New[In, State, Out any](
	d *niyanta.Definition[In, State, Out], h niyanta.Handler[In, State, Out],
) *Kit[In, State, Out] {
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
func (k *Kit[In, State, Out]) Run(ctx context.Context, in In) (Out, error) {
	return k.run(ctx, in, 0, nil)
}

// RunCrashingAfter runs the workload and crashes every run after its n-th checkpoint (n >= 1), each
// time starting another from what was saved, until one ends by itself.
func (k *Kit[In, State, Out]) RunCrashingAfter(ctx context.Context, n int, in In) (Out, error) {
	if n < 1 {
		var none Out
		return none, fmt.Errorf("niyantatest: crash after checkpoint %d: must be at least 1", n)
	}
	return k.run(ctx, in, n, errCrash)
}

// RunStoppingAfter runs the workload and ends the context of every run after its n-th checkpoint (n
// >= 1), with one of niyanta.ErrPaused, ErrDraining, ErrPreempted and ErrLeaseLost as its cause.
// Another run continues when the handler has returned, until one ends by itself. Except after
// ErrLeaseLost, a run may still save one checkpoint; the next one fails with the cause.
func (k *Kit[In, State, Out]) RunStoppingAfter(ctx context.Context, n int, cause error, in In) (Out, error) {
	var none Out
	switch {
	case n < 1:
		return none, fmt.Errorf("niyantatest: stop after checkpoint %d: must be at least 1", n)
	case !resumes(cause) && !errors.Is(cause, niyanta.ErrLeaseLost):
		return none, fmt.Errorf("niyantatest: no run continues after %w", cause)
	}
	return k.run(ctx, in, n, cause)
}

// resumes reports whether a run that was stopped may save where it stopped.
func resumes(cause error) bool {
	return errors.Is(cause, niyanta.ErrPaused) || errors.Is(cause, niyanta.ErrDraining) ||
		errors.Is(cause, niyanta.ErrPreempted)
}

func (k *Kit[In, State, Out]) run(ctx context.Context, in In, stopAfter int, cause error) (Out, error) {
	var out Out
	input, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	k.saved, k.states, k.runs, k.failed, k.waits, k.lines = nil, nil, 0, 0, nil, nil
	limit := k.MaxRuns
	if limit == 0 {
		limit = 1000
	}
	for k.runs < limit {
		k.runs++
		result, err := k.once(ctx, domain.JSON(input), stopAfter, cause)
		switch {
		case errors.Is(err, errCrash), err != nil && resumes(cause) && errors.Is(err, cause):
			continue
		case err != nil && k.retries(err):
			continue
		case err != nil:
			return out, err
		}
		return out, json.Unmarshal([]byte(result), &out)
	}
	return out, fmt.Errorf("niyantatest: not finished after %d runs", limit)
}

// retries reports whether a run that failed is tried again.
func (k *Kit[In, State, Out]) retries(err error) bool {
	wait := time.Duration(-1)
	var e *ports.RunError
	if errors.As(err, &e) {
		if e.Permanent {
			return false
		}
		if e.RetryAfter != nil {
			wait = *e.RetryAfter
		}
	}
	if k.failed >= k.MaxRetries {
		return false
	}
	k.failed++
	k.waits = append(k.waits, wait)
	return true
}

// once is one run on one worker.
func (k *Kit[In, State, Out]) once(
	ctx context.Context, input domain.JSON, stopAfter int, cause error,
) (domain.JSON, error) {
	if k.Timeout > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, k.Timeout, niyanta.ErrTimeout)
		defer done()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := k.factory()
	task := ports.Task{
		Assignment: ports.Assignment{
			WorkloadID: "wl_test", CustomerID: "cust_test", Type: k.def.Name(), Generation: int64(k.runs), Input: input,
			Attempt: k.failed, Labels: k.Labels,
		},
		Checkpoint: k.saved,
	}
	if _, streams := w.(ports.StreamWorkload); streams && k.saved != nil {
		saved := k.saved
		task.Checkpoint, task.Stored = nil, &ports.Body{Size: int64(len(saved)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(saved)), nil
		}}
	}
	if err := w.Init(ctx, task); err != nil {
		return "", err
	}
	p := &progress[State]{left: stopAfter, cause: cause, cancel: cancel, save: k.save, log: k.log}
	result, err := w.Execute(ctx, p)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if p.isLost() {
		return "", errCrash // whatever the handler returned is lost with its process
	}
	return result, err
}

func (k *Kit[In, State, Out]) save(data []byte) error {
	var s State
	if stream, streams := any(&s).(*niyanta.Stream); streams {
		*stream = niyanta.StreamOf(data)
	} else if err := json.Unmarshal(data, &s); err != nil {
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

// RetryAfter returns what the failures asked for that were tried again, in order: the time of
// niyanta.RetryAfter, or -1 for the usual backoff.
func (k *Kit[In, State, Out]) RetryAfter() []time.Duration {
	return append([]time.Duration(nil), k.waits...)
}

// Runs is how many runs the last Run took: 1, and one more for each crash, stop and retry.
func (k *Kit[In, State, Out]) Runs() int { return k.runs }

// Log returns what the last Run wrote.
func (k *Kit[In, State, Out]) Log() []string { return append([]string(nil), k.lines...) }

// progress counts checkpoints and stops the run after the n-th. When it is lost, nothing of it gets
// out from then on.
type progress[State any] struct {
	mu     sync.Mutex
	left   int
	cause  error
	lost   error // why nothing gets out any more
	last   bool  // the checkpoint after the stop is taken
	cancel context.CancelCauseFunc
	save   func([]byte) error
	log    func(string)
}

// Report implements ports.Progress.
func (p *progress[State]) Report(float64, string) {}

// Log implements ports.Progress.
func (p *progress[State]) Log(e ports.LogEntry) {
	if !p.isLost() {
		p.log(strings.TrimSpace(e.Message + " " + string(e.Details)))
	}
}

// Used implements ports.Progress.
func (p *progress[State]) Used(domain.Consumption) {}

// Checkpoint implements ports.Progress.
func (p *progress[State]) Checkpoint(ctx context.Context, data []byte, _ *float64, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost != nil {
		return p.lost
	}
	if cause := context.Cause(ctx); cause != nil && (p.last || !resumes(cause)) {
		return cause
	}
	if err := p.save(data); err != nil {
		return err
	}
	p.last = ctx.Err() != nil
	if p.left--; p.left == 0 {
		if !resumes(p.cause) {
			p.lost = p.cause
		}
		p.cancel(p.cause)
	}
	return nil
}

// CheckpointStream implements ports.Progress.
func (p *progress[State]) CheckpointStream(
	ctx context.Context, write func(w io.Writer) error, percent *float64, message string,
) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return p.Checkpoint(ctx, append([]byte{}, b.Bytes()...), percent, message)
}

func (p *progress[State]) isLost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost != nil
}
