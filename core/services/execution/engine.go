package execution

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

// Engine drives an Agent in real time. It logs unanswered calls at DEBUG only: the transport logs
// once when no coordinator can be reached, and once when one can be reached again.
type Engine struct {
	agent *Agent
	deps  Deps
	wg    sync.WaitGroup  // runs
	hard  context.Context //nolint:containedctx // ends with the second signal
	end   context.CancelFunc
	// leaving is set when the process is about to end. A session that is lost then is not replaced.
	leaving atomic.Bool
}

const (
	// announceTimeout bounds how long a drain waits until the coordinator knows of it.
	announceTimeout = 2 * time.Second
	// idleInterval is how often a drain checks whether it is done.
	idleInterval = 5 * time.Millisecond
	// endReserve is the part of a drain's timeout that is reserved for the end of the process.
	endReserve = time.Second
)

// New returns the engine of a worker. When ctx ends, its runs are stopped at once. CodeInvalidInput
// names what is wrong with cfg.
func New(ctx context.Context, cfg Config, deps Deps) (*Engine, error) {
	e := &Engine{deps: deps, hard: ctx}
	deps.Spawn = func(f func()) { e.wg.Go(f) }
	base, end := context.WithCancel(ctx)
	agent, err := NewAgent(base, cfg, deps)
	if err != nil {
		end()
		return nil, err
	}
	e.agent, e.end = agent, end
	return e, nil
}

// Preempted as the cause of the end of a context says that the machine will be taken away.
type Preempted struct {
	// Within is how long there is left to drain.
	Within time.Duration
}

// Error implements error.
func (p *Preempted) Error() string {
	return fmt.Sprintf("the machine will be taken away within %s", p.Within)
}

// Run works until ctx ends, then drains: every run saves a checkpoint, stops, and is released. The
// session is kept alive until Run returns. If the cause of the end is Preempted, drainTimeout is at
// most what it leaves. Run returns
//
//   - nil after a complete drain;
//   - an error within drainTimeout that names the runs that ignore the end of their context, or says
//     that reports are not answered;
//   - at once when the context that New got ends, which is the second signal, apart from the time
//     that runs may take to return;
//   - an error when another process owns the worker id.
//
// When it returns, no goroutine of a run is left except those of runs that ignore the end of their
// context.
func (e *Engine) Run(ctx context.Context, drainTimeout time.Duration) error {
	defer e.end()
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	fatal := make(chan error, 1)
	var wg sync.WaitGroup
	for _, loop := range []func(context.Context) error{e.sessionLoop, e.pollLoop, e.reportLoop, e.linesLoop,
		e.tickLoop} {
		wg.Go(func() {
			if err := loop(loops); err != nil {
				select {
				case fatal <- err:
				default:
				}
			}
		})
	}
	var err error
	rest := e.agent.cfg.StopGrace
	select {
	case err = <-fatal:
	case <-e.hard.Done():
	case <-ctx.Done():
		if preempted := (*Preempted)(nil); errors.As(context.Cause(ctx), &preempted) {
			drainTimeout = min(drainTimeout, preempted.Within)
		}
		began := e.deps.Clock.Now()
		err = e.drain(loops, fatal, drainTimeout)
		if e.hard.Err() == nil {
			rest = min(rest, max(drainTimeout-e.deps.Clock.Now().Sub(began), 0))
		}
	}
	e.agent.cancelAll(context.Canceled)
	e.end()
	none := e.waitRuns(loops, rest)
	stop()
	wg.Wait()
	if none {
		e.deregister(ctx)
	}
	return err
}

func (e *Engine) drain(ctx context.Context, fatal <-chan error, timeout time.Duration) error {
	wait := timeout - min(endReserve, timeout/10)
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer context.AfterFunc(e.hard, cancel)()
	e.leaving.Store(true)
	// The coordinator must know of the drain before the first release, or it would place the
	// released work here again.
	e.agent.Leave()
	announce, announced := context.WithTimeout(bounded, min(announceTimeout, wait/4))
	if err := e.agent.Beat(announce); err != nil {
		e.deps.Log.Debug("telling the coordinator of the drain failed", "error", err)
	}
	announced()
	e.agent.Drain()
	// Runs whose checkpoint is not done by then are stopped, in time to be released.
	polite, cancel := context.WithTimeout(bounded, wait-min(e.agent.cfg.StopGrace, wait/4))
	defer cancel()
	err := e.awaitIdle(polite, fatal)
	if polite.Err() != nil && bounded.Err() == nil && e.hard.Err() == nil {
		e.agent.cancelAll(ports.ErrDraining)
		err = e.awaitIdle(bounded, fatal)
	}
	switch {
	case e.hard.Err() != nil && err != nil:
		return errors.New("drain was cut short")
	case errors.Is(err, context.DeadlineExceeded):
		return e.agent.undrained(timeout)
	}
	return err
}

// awaitIdle returns when nothing runs and nothing is left to report. It polls, because many
// different events make a worker idle.
func (e *Engine) awaitIdle(ctx context.Context, fatal <-chan error) error {
	for !e.agent.Idle() {
		look, cancel := context.WithTimeout(ctx, idleInterval)
		select {
		case err := <-fatal:
			cancel()
			return err
		case <-look.Done():
			cancel()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// waitRuns waits up to rest for the goroutines of runs, but not for runs whose time to return is
// over. It reports whether none is left.
func (e *Engine) waitRuns(ctx context.Context, rest time.Duration) bool {
	done := make(chan struct{})
	go func() {
		e.wg.Wait()
		close(done)
	}()
	grace, cancel := context.WithTimeout(ctx, min(rest, max(e.agent.patience(), endReserve)))
	defer cancel()
	select {
	case <-done:
	case <-grace.Done():
		e.deps.Log.Error("the process ends with runs that ignore the end of their context", "runs", e.agent.left())
		return false
	}
	last, cancel := context.WithTimeout(grace, endReserve)
	defer cancel()
	_ = e.awaitIdle(last, nil) // deliver the last reports
	return true
}

// deregisterTimeout bounds the call that ends the session.
const deregisterTimeout = 2 * time.Second

// deregister ends the session, so that nobody waits for its lease to end. It is called when no run
// is left.
func (e *Engine) deregister(ctx context.Context) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), deregisterTimeout)
	defer cancel()
	if err := e.agent.Deregister(bounded); err != nil {
		e.deps.Log.Warn("cannot deregister: the session ends with its lease, or by the supervisor's certificate",
			"error", err)
	}
}
