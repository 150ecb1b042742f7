package execution

import (
	"context"
	"errors"
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

// saving says how long one checkpoint may be saved: until the caller's context ends, the run or the session. When the run
// was paused, drained or preempted, it may still save for a short grace, and a save under way goes on.
type saving struct {
	run   *run
	ctx   context.Context //nolint:containedctx // the caller's
	grace context.Context //nolint:containedctx // follows on the caller's
	end   context.CancelFunc
}

func (s *saving) next() (context.Context, error) {
	cause := context.Cause(s.run.ctx)
	switch {
	case cause != nil && !errors.Is(cause, ports.ErrPaused) && !errors.Is(cause, ports.ErrDraining) && !errors.Is(cause, ports.ErrPreempted):
		return nil, cause
	case cause == nil && s.ctx.Err() == nil:
		return s.ctx, nil
	case s.ctx.Err() != nil && (cause == nil || !errors.Is(context.Cause(s.ctx), cause)):
		return nil, context.Cause(s.ctx) // the caller's own end
	case s.grace == nil && s.ctx.Err() == nil:
		s.grace, s.end = context.WithTimeout(s.ctx, s.run.agent.leaseTime())
	case s.grace == nil:
		s.grace, s.end = context.WithTimeout(context.WithoutCancel(s.ctx), s.run.agent.leaseTime())
	case s.grace.Err() != nil:
		return nil, cause
	}
	return s.grace, nil
}

func (s *saving) close() {
	if s.end != nil {
		s.end()
	}
}

func (a *Agent) leaseTime() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(a.lease, time.Second)
}
