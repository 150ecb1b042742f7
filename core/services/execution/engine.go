package execution

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Engine drives an Agent in real time. Calls that are not answered are no news each: that coordinators cannot be reached,
// and that they can again, is logged once by what carries the calls.
type Engine struct {
	agent *Agent
	plane ports.ControlPlane
	log   *slog.Logger
	sleep func(ctx context.Context, d time.Duration) error
	ids   ports.IDs
	wg    sync.WaitGroup  // runs
	hard  context.Context //nolint:containedctx // ends with the second signal
	end   context.CancelFunc
	// leaving is set when the process is to end: a session that is lost then is not replaced.
	leaving atomic.Bool
}

const (
	tickEvery = 50 * time.Millisecond
	pollWait  = 20 * time.Second
	// callTimeout bounds one call to the control plane.
	callTimeout = 10 * time.Second
	// announceTimeout bounds how long a drain waits until the coordinator knows of it.
	announceTimeout = 2 * time.Second
	// idleInterval is how often a drain looks whether it is done.
	idleInterval = 5 * time.Millisecond
	// farewell is what is kept of a drain's timeout for the end of the process.
	farewell = time.Second
	// beatPause is the least time between two heartbeats that do not wait for their interval.
	beatPause = 100 * time.Millisecond
	// connectMax bounds the pause between attempts to register.
	connectMax = 5 * time.Second
	// beatRetry is the pause after a heartbeat or poll that was not answered.
	beatRetry = 250 * time.Millisecond
)

// NewEngine returns an engine for a worker. Config.Spawn is the engine's own.
// ctx bounds the runs: when it ends, they are stopped without further ado. CodeInvalidInput names what is wrong with cfg.
func NewEngine(ctx context.Context, cfg Config, plane ports.ControlPlane, clock ports.Clock, ids ports.IDs, log *slog.Logger) (*Engine, error) {
	e := &Engine{plane: plane, log: log, sleep: cfg.Sleep, ids: ids}
	cfg.Spawn = func(f func()) { e.wg.Go(f) }
	base, end := context.WithCancel(ctx)
	e.hard, e.end = ctx, end
	agent, err := NewAgent(base, cfg, plane, clock, ids, log)
	if err != nil {
		end()
		return nil, err
	}
	e.agent = agent
	return e, nil
}

// Run works until ctx ends, then drains: every run checkpoints, stops and is released. It returns nil after a drain; within
// drainTimeout with an error that names them when runs ignore the end of their context or reports are not answered; at
// once, but for the time that runs may take to return, after a second signal, which is the end of the context that NewEngine
// got; and with an error when another process owns the worker id. The session is kept alive until Run returns. No
// goroutine of a run is left then, except those of runs that ignore the end of their context.
func (e *Engine) Run(ctx context.Context, drainTimeout time.Duration) error {
	defer e.end()
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	fatal := make(chan error, 1)
	var wg sync.WaitGroup
	for _, loop := range []func(context.Context) error{e.sessionLoop, e.pollLoop, e.reportLoop, e.linesLoop, e.tickLoop} {
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
		began := e.agent.clock.Now()
		err = e.drain(loops, fatal, drainTimeout)
		if e.hard.Err() == nil {
			rest = min(rest, max(drainTimeout-e.agent.clock.Now().Sub(began), 0))
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
	wait := timeout - min(farewell, timeout/10)
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer context.AfterFunc(e.hard, cancel)()
	e.leaving.Store(true)
	// The coordinator should know before the first release that nothing more is to be sent here, or it would send that.
	e.agent.Leave()
	announce, announced := context.WithTimeout(bounded, min(announceTimeout, wait/4))
	if err := e.agent.Beat(announce); err != nil {
		e.log.Debug("telling the coordinator of the drain failed", "error", err)
	}
	announced()
	e.agent.Drain()
	// What still takes its checkpoint near the end is stopped in time to be released.
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

// awaitIdle returns when nothing runs and nothing is left to report. It looks instead of waiting to be told: what makes a
// worker idle are many things.
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

// waitRuns waits for the goroutines of runs, at most rest, and not for runs that have had their time to return. It reports
// whether none is left.
func (e *Engine) waitRuns(ctx context.Context, rest time.Duration) bool {
	done := make(chan struct{})
	go func() {
		e.wg.Wait()
		close(done)
	}()
	grace, cancel := context.WithTimeout(ctx, min(rest, max(e.agent.patience(), farewell)))
	defer cancel()
	select {
	case <-done:
	case <-grace.Done():
		e.log.Error("the process ends with runs that ignore the end of their context", "runs", e.agent.left())
		return false
	}
	last, cancel := context.WithTimeout(grace, farewell)
	defer cancel()
	_ = e.awaitIdle(last, nil) // what they said last may still be reported
	return true
}

// sessionLoop keeps a session: registers, beats, registers again after the session was lost.
func (e *Engine) sessionLoop(ctx context.Context) error {
	for ctx.Err() == nil {
		if e.leaving.Load() {
			<-ctx.Done() // nothing of a lost session is left to report
			return nil
		}
		if err := e.connect(ctx); err != nil {
			return err
		}
		for ctx.Err() == nil {
			_, interval, live := e.agent.Session()
			if !live {
				break
			}
			if !e.untilBeat(ctx, interval) {
				return nil
			}
			if err := e.beatUntilAnswered(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// untilBeat waits until a heartbeat is due; false: ctx has ended.
func (e *Engine) untilBeat(ctx context.Context, interval time.Duration) bool {
	due, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	select {
	case <-due.Done():
	case <-e.agent.urgent:
		return e.sleep(ctx, min(beatPause, interval)) == nil // more may come
	}
	return ctx.Err() == nil
}

// connect registers until it succeeds.
func (e *Engine) connect(ctx context.Context) error {
	var taken contention
	for delay := retryFirst; ctx.Err() == nil && !e.leaving.Load(); delay = min(2*delay, connectMax) {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		err := e.agent.Connect(call)
		cancel()
		switch {
		case err == nil:
			return nil
		case domain.IsCode(err, domain.CodeConflict):
			wait, gaveUp := taken.again(err, e.agent.clock.Now())
			if gaveUp {
				return fmt.Errorf("register: %w", err)
			}
			e.log.Warn("worker id is held by another process, trying again until its lease is over", "in", wait, "error", err)
			if e.sleep(ctx, wait) != nil {
				return nil
			}
			continue
		case fatal(err):
			return fmt.Errorf("register: %w", err)
		case ctx.Err() == nil:
			e.log.Debug("cannot register, trying again", "in", delay, "error", err)
		}
		if e.sleep(ctx, delay/2+time.Duration(e.ids.Float64()*float64(delay))) != nil {
			return nil
		}
	}
	return nil
}

// fatal tells errors that trying again cannot mend: another process owns the id, or what the worker says of itself is wrong.
func fatal(err error) bool {
	switch domain.CodeOf(err) {
	case domain.CodeConflict, domain.CodeInvalidInput, domain.CodeUnauthorized, domain.CodeForbidden:
		return true
	default:
		return false
	}
}

func (e *Engine) beat(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return e.agent.Beat(call)
}

// beatUntilAnswered repeats a heartbeat that was not answered, soon, until it is or the session is over.
func (e *Engine) beatUntilAnswered(ctx context.Context) error {
	for ctx.Err() == nil {
		err := e.beat(ctx)
		switch {
		case err == nil || errors.Is(err, errNoSession) || domain.IsCode(err, domain.CodeFenced):
			return nil
		case domain.IsCode(err, domain.CodeConflict):
			return fmt.Errorf("heartbeat: %w", err)
		case ctx.Err() != nil:
			return nil
		}
		e.log.Debug("heartbeat not answered", "error", err)
		if e.sleep(ctx, beatRetry) != nil {
			return nil
		}
	}
	return nil
}

// pollLoop receives commands.
func (e *Engine) pollLoop(ctx context.Context) error {
	for ctx.Err() == nil {
		ref, _, live := e.agent.Session()
		if !live {
			if e.sleep(ctx, tickEvery) != nil {
				return nil
			}
			continue
		}
		commands, err := e.plane.Poll(ctx, ref, pollWait)
		if err != nil {
			if !e.agent.sessionError(ref, err) && ctx.Err() == nil {
				e.log.Debug("cannot receive commands", "error", err)
			}
			if e.sleep(ctx, beatRetry) != nil {
				return nil
			}
		}
		for _, c := range commands {
			e.agent.Handle(c)
		}
	}
	return nil
}

// tickLoop lets time pass.
func (e *Engine) tickLoop(ctx context.Context) error {
	for e.sleep(ctx, tickEvery) == nil {
		e.agent.Tick()
	}
	return nil
}
