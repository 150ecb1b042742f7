package execution

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	// flightTimeout is how long a report waits for the answer to an earlier call before another
	// call starts beside it. flightLimit is the number of calls of one kind under way at the same
	// time.
	flightTimeout = 200 * time.Millisecond
	flightLimit   = 4
	// linesTimeout bounds a call that carries log lines. It is short, because an outcome may wait
	// for it.
	linesTimeout = outcomeDelay
)

const (
	// gatherRuns is the number of runs that begin together from which on their reports gather.
	// gatherInterval is the time between two looks at them, gatherLooks the number of looks.
	gatherRuns     = 32
	gatherInterval = time.Millisecond
	gatherLooks    = 10
	// glance is how long the start of a run waits for its end when few begin.
	glance = 200 * time.Microsecond
)

// reportLoop sends reports as soon as there are any.
func (e *Engine) reportLoop(ctx context.Context) error {
	return e.deliver(ctx, e.agent.wake, callTimeout, func(ctx context.Context) (bool, error) {
		e.gather(ctx)
		return e.agent.sendReports(ctx)
	})
}

// gather waits as long as many runs begin and some of them end, and for a moment when few begin. The
// start and the end of a run that are sent together cost the store one write instead of two, and the
// end is known a commit sooner. It does not wait for runs that take longer.
func (e *Engine) gather(ctx context.Context) {
	now := e.agent.beginning()
	if now.coming+now.started < gatherRuns {
		if now.ended < now.started {
			_ = e.deps.Sleep(ctx, glance)
		}
		return
	}
	for range gatherLooks {
		over := now.coming == 0 && now.ended == now.started
		if over || now.coming+now.started < gatherRuns || e.deps.Sleep(ctx, gatherInterval) != nil {
			return
		}
		before := now
		if now = e.agent.beginning(); now.coming == before.coming && now.ended == before.ended {
			return
		}
	}
}

// linesLoop sends log lines as soon as there are any.
func (e *Engine) linesLoop(ctx context.Context) error {
	return e.deliver(ctx, e.agent.wakeLines, linesTimeout, e.agent.sendLines)
}

// deliver calls send whenever there may be something to send. While calls are answered soon, there
// is one at a time, so that the next reports gather. A call that is not answered soon does not
// delay later reports: another call starts beside it.
func (e *Engine) deliver(
	ctx context.Context, wake <-chan struct{}, timeout time.Duration, send func(context.Context) (bool, error),
) error {
	var flights sync.WaitGroup
	defer flights.Wait()
	free := make(chan struct{}, flightLimit)
	for {
		if !receive(ctx, wake) || !offer(ctx, free) {
			return nil
		}
		done := make(chan struct{})
		flights.Go(func() {
			defer close(done)
			defer func() { <-free }()
			e.sendAll(ctx, timeout, send)
		})
		patience, cancel := context.WithTimeout(ctx, flightTimeout)
		select {
		case <-done:
		case <-patience.Done():
		}
		cancel()
	}
}

func receive(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}

func offer(ctx context.Context, c chan<- struct{}) bool {
	select {
	case c <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// sendAll calls send until nothing is left to send, with backoff while it fails.
func (e *Engine) sendAll(ctx context.Context, timeout time.Duration, send func(context.Context) (bool, error)) {
	for delay := retryFirst; ctx.Err() == nil; {
		call, cancel := context.WithTimeout(ctx, timeout)
		sent, err := send(call)
		cancel()
		switch {
		case err == nil && !sent, errors.Is(err, errNoSession):
			return
		case err == nil:
			delay = retryFirst
			continue
		case ctx.Err() == nil && !domain.IsCode(err, domain.CodeFenced):
			e.deps.Log.Debug("reports not answered, trying again", "in", delay, "error", err)
		}
		if e.deps.Sleep(ctx, delay/2+time.Duration(e.deps.IDs.Float64()*float64(delay))) != nil {
			return
		}
		delay = min(2*delay, retryMax)
	}
}
