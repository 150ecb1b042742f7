package execution

import (
	"context"
	"errors"
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

// saving bounds the save of one checkpoint. A save may last until the context of its caller or of
// its run ends. After a pause, a drain or a preemption it may last for the rest of the run's grace.
// All saves of a run share one grace: otherwise a handler that learns of its end only from
// Checkpoint would save for ever.
type saving struct {
	run      *run
	ctx      context.Context //nolint:containedctx // the caller's
	grace    context.Context //nolint:containedctx // used after the caller's has ended
	end      context.CancelFunc
	reported int             // that of the run when the progress was told
	pulls    bool            // the agent asked for it, not the handler
	begun    int             // if pulls: that of the run before the state was taken
	file     ports.SpoolFile // holds the bytes, if they are not in memory
}

// next returns the context of the next attempt, or an error that says why there is none.
func (s *saving) next() (context.Context, error) {
	cause := context.Cause(s.run.ctx)
	switch {
	case cause == nil && s.ctx.Err() == nil:
		return s.ctx, nil
	case cause != nil && !hasGrace(cause):
		return nil, cause
	case s.ctx.Err() != nil && (cause == nil || !errors.Is(context.Cause(s.ctx), cause)):
		return nil, context.Cause(s.ctx) // the caller's context has ended
	}
	left := s.run.graceLeft()
	if s.grace == nil {
		parent := s.ctx
		if parent.Err() != nil {
			parent = context.WithoutCancel(parent)
		}
		s.grace, s.end = context.WithTimeout(parent, left)
	}
	if left <= 0 || s.grace.Err() != nil {
		return nil, cause
	}
	return s.grace, nil
}

func (s *saving) close() {
	if s.end != nil {
		s.end()
	}
	if s.file != nil {
		_ = s.file.Close() // nobody needs it any more
	}
}

// hasGrace reports whether a run may still save after its context has ended for this cause.
func hasGrace(cause error) bool {
	return errors.Is(cause, ports.ErrPaused) || errors.Is(cause, ports.ErrDraining) ||
		errors.Is(cause, ports.ErrPreempted)
}

// graceLeft returns how much longer a run may save and return after its context has ended.
func (r *run) graceLeft() time.Duration {
	r.agent.mu.Lock()
	defer r.agent.mu.Unlock()
	return r.graceLeftLocked(r.agent.deps.Clock.Now())
}

func (r *run) graceLeftLocked(now time.Time) time.Duration {
	return r.cancelledAt.Add(r.agent.cfg.StopGrace).Sub(now)
}
