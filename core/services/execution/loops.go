package execution

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	// tickInterval is the time between two ticks of the agent.
	tickInterval = 50 * time.Millisecond
	// pollTimeout bounds how long a poll waits for commands.
	pollTimeout = 20 * time.Second
	// callTimeout bounds any other call to the control plane.
	callTimeout = 10 * time.Second
	// beatPause is the shortest time between two urgent heartbeats.
	beatPause = 100 * time.Millisecond
	// beatRetry is the pause after an unanswered heartbeat or poll.
	beatRetry = 250 * time.Millisecond
	// connectBackoffLimit bounds the pause between attempts to register.
	connectBackoffLimit = 5 * time.Second
)

// sessionLoop keeps a session: it registers, sends heartbeats, and registers again when the session
// is lost.
func (e *Engine) sessionLoop(ctx context.Context) error {
	for ctx.Err() == nil {
		if e.leaving.Load() {
			<-ctx.Done() // a lost session has nothing left to report
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

// untilBeat waits until a heartbeat is due. It returns false when ctx ends.
func (e *Engine) untilBeat(ctx context.Context, interval time.Duration) bool {
	due, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	select {
	case <-due.Done():
	case <-e.agent.urgent:
		return e.deps.Sleep(ctx, min(beatPause, interval)) == nil // let more changes gather
	}
	return ctx.Err() == nil
}

// connect registers until it succeeds.
func (e *Engine) connect(ctx context.Context) error {
	var taken contention
	for delay := retryFirst; ctx.Err() == nil && !e.leaving.Load(); delay = min(2*delay, connectBackoffLimit) {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		err := e.agent.Connect(call)
		cancel()
		switch {
		case err == nil:
			return nil
		case domain.IsCode(err, domain.CodeConflict):
			wait, gaveUp := taken.again(err, e.deps.Clock.Now())
			if gaveUp {
				return fmt.Errorf("register: %w", err)
			}
			e.deps.Log.Warn("worker id is held by another process, trying again until its lease is over", "in", wait,
				"error", err)
			if e.deps.Sleep(ctx, wait) != nil {
				return nil
			}
			continue
		case fatal(err):
			return fmt.Errorf("register: %w", err)
		case ctx.Err() == nil:
			e.deps.Log.Debug("cannot register, trying again", "in", delay, "error", err)
		}
		if e.deps.Sleep(ctx, delay/2+time.Duration(e.deps.IDs.Float64()*float64(delay))) != nil {
			return nil
		}
	}
	return nil
}

// fatal reports whether repeating the registration is pointless: another process owns the id, or
// the worker's description of itself is invalid.
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

// beatUntilAnswered sends a heartbeat, and repeats it soon until it is answered or the session is
// over.
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
		e.deps.Log.Debug("heartbeat not answered", "error", err)
		if e.deps.Sleep(ctx, beatRetry) != nil {
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
			if e.deps.Sleep(ctx, tickInterval) != nil {
				return nil
			}
			continue
		}
		commands, err := e.deps.Plane.Poll(ctx, ref, pollTimeout)
		if err != nil {
			if !e.agent.sessionError(ref, err) && ctx.Err() == nil {
				e.deps.Log.Debug("cannot receive commands", "error", err)
			}
			if e.deps.Sleep(ctx, beatRetry) != nil {
				return nil
			}
		}
		e.agent.Handle(commands...)
	}
	return nil
}

// tickLoop calls Tick regularly.
func (e *Engine) tickLoop(ctx context.Context) error {
	for e.deps.Sleep(ctx, tickInterval) == nil {
		e.agent.Tick()
	}
	return nil
}
