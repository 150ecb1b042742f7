package execution

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Engine drives an Agent in real time.
type Engine struct {
	agent *Agent
	plane ports.ControlPlane
	log   *slog.Logger
	sleep func(ctx context.Context, d time.Duration) error
	ids   ports.IDs
	wg    sync.WaitGroup // runs
	end   context.CancelFunc
}

const (
	tickEvery = 50 * time.Millisecond
	pollWait  = 20 * time.Second
	// callMax bounds one call to the control plane.
	callMax = 10 * time.Second
	// announceMax bounds how long a drain waits until the coordinator knows of it.
	announceMax = 2 * time.Second
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
	e.end = end
	agent, err := NewAgent(base, cfg, plane, clock, ids, log)
	if err != nil {
		end()
		return nil, err
	}
	e.agent = agent
	return e, nil
}

// Run works until ctx ends, then drains: every run checkpoints, stops and is released, for at most drainTimeout; a second
// signal is the end of the context that NewEngine got. It returns nil after a drain, and an error when
// another process owns the worker id. No goroutine of a run is left when it returns, except runs that ignore their
// context.
func (e *Engine) Run(ctx context.Context, drainTimeout time.Duration) error {
	defer e.end()
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	fatal := make(chan error, 1)
	var wg sync.WaitGroup
	for _, loop := range []func(context.Context) error{e.sessionLoop, e.pollLoop, e.reportLoop, e.tickLoop} {
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
	select {
	case err = <-fatal:
	case <-e.agent.base.Done():
	case <-ctx.Done():
		err = e.drain(loops, fatal, drainTimeout)
	}
	stop()
	e.end()
	wg.Wait()
	e.waitRuns()
	return err
}

// Drain has the engine finish as if ctx of Run had ended, but keeps it registered; used by the drain command.
func (e *Engine) Drain() { e.agent.Drain() }

func (e *Engine) drain(ctx context.Context, fatal <-chan error, timeout time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// The coordinator should know before the first release that nothing more is to be sent here, or it would send that.
	e.agent.Refuse()
	announce, announced := context.WithTimeout(bounded, announceMax)
	if err := e.agent.Beat(announce); err != nil {
		e.log.Debug("telling the coordinator of the drain failed", "error", err)
	}
	announced()
	e.agent.Drain()
	for !e.agent.Idle() {
		select {
		case err := <-fatal:
			return err
		case <-e.agent.idle:
		case <-e.agent.base.Done():
			return errors.New("drain was cut short")
		case <-bounded.Done():
			return fmt.Errorf("drain did not finish within %s", timeout)
		}
	}
	return nil
}

// waitRuns waits for the goroutines of runs, as long as they may take to return.
func (e *Engine) waitRuns() {
	done := make(chan struct{})
	go func() {
		e.wg.Wait()
		close(done)
	}()
	grace, cancel := context.WithTimeout(context.WithoutCancel(e.agent.base), e.agent.cfg.StopGrace)
	defer cancel()
	select {
	case <-done:
	case <-grace.Done():
		e.log.Error("runs are left that ignore the end of their context")
	}
}

// sessionLoop keeps a session: registers, beats, registers again after the session was lost.
func (e *Engine) sessionLoop(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := e.connect(ctx); err != nil {
			return err
		}
		for ctx.Err() == nil {
			_, interval, live := e.agent.Session()
			if !live {
				break
			}
			if err := e.sleep(ctx, interval); err != nil {
				return nil
			}
			if err := e.beatUntilAnswered(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// connect registers until it succeeds.
func (e *Engine) connect(ctx context.Context) error {
	for delay := retryFirst; ctx.Err() == nil; delay = min(2*delay, connectMax) {
		call, cancel := context.WithTimeout(ctx, callMax)
		err := e.agent.Connect(call)
		cancel()
		switch {
		case err == nil:
			return nil
		case fatal(err):
			return fmt.Errorf("register: %w", err)
		case ctx.Err() == nil:
			e.log.Warn("cannot register, trying again", "in", delay, "error", err)
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
	call, cancel := context.WithTimeout(ctx, callMax)
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
		e.log.Warn("heartbeat not answered", "error", err)
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
				e.log.Warn("cannot receive commands", "error", err)
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

// reportLoop sends reports as soon as there are any.
func (e *Engine) reportLoop(ctx context.Context) error {
	delay := retryFirst
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.agent.wake:
		}
		call, cancel := context.WithTimeout(ctx, callMax)
		err := e.agent.Flush(call)
		cancel()
		if err == nil || errors.Is(err, errNoSession) {
			delay = retryFirst
			continue
		}
		if ctx.Err() == nil && !domain.IsCode(err, domain.CodeFenced) {
			e.log.Warn("reports not answered, trying again", "in", delay, "error", err)
		}
		if e.sleep(ctx, delay/2+time.Duration(e.ids.Float64()*float64(delay))) != nil {
			return nil
		}
		delay = min(2*delay, retryMax)
		e.agent.nudge()
	}
}

// tickLoop lets time pass.
func (e *Engine) tickLoop(ctx context.Context) error {
	for e.sleep(ctx, tickEvery) == nil {
		e.agent.Tick()
	}
	return nil
}
