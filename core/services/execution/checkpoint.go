package execution

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Backoff of calls whose outcome is unknown, while the lease lasts.
const (
	retryFirst = 50 * time.Millisecond
	retryMax   = 2 * time.Second
)

// persist calls f until it succeeds, says that trying again is pointless, or the session is over. next returns the context
// of the next call, or why there is none. What a transport fails with is no outcome: the call is made again.
func (a *Agent) persist(r *run, next func() (context.Context, error), f func(ctx context.Context, ref ports.SessionRef) error) error {
	for delay := retryFirst; ; delay = min(2*delay, retryMax) {
		ctx, err := next()
		if err != nil {
			return err
		}
		ref, ok := a.ref()
		if !ok {
			return ports.ErrLeaseLost
		}
		err = f(ctx, ref)
		switch domain.CodeOf(err) {
		case "", domain.CodeFenced, domain.CodeNotFound, domain.CodeInvalidInput, domain.CodeTooLarge, domain.CodeUnauthorized, domain.CodeForbidden:
			return err
		default:
		}
		if ctx.Err() != nil {
			continue
		}
		a.log.Log(ctx, logLevel(delay), "checkpoint: no coordinator answers, trying again", "workload_id", string(r.key.WorkloadID), "in", delay, "error", err)
		if err := a.cfg.Sleep(ctx, delay/2+time.Duration(a.ids.Float64()*float64(delay))); err != nil && ctx.Err() == nil {
			return err // the process is gone; whether ctx has ended is for next to look at
		}
	}
}

// logLevel has the first of several failures in a row seen.
func logLevel(delay time.Duration) slog.Level {
	if delay == retryFirst {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// restore loads the checkpoint to continue from; nil when none is left.
func (a *Agent) restore(r *run) ([]byte, error) {
	var data []byte
	next := func() (context.Context, error) { return r.ctx, context.Cause(r.ctx) }
	err := a.persist(r, next, func(ctx context.Context, ref ports.SessionRef) error {
		if ref.SessionID != r.session {
			return ports.ErrLeaseLost
		}
		c, err := a.plane.LoadCheckpoint(ctx, ref, r.key.WorkloadID, r.key.Generation, r.assignment.CheckpointSequence)
		data = c.Data
		return err
	})
	switch {
	case domain.IsCode(err, domain.CodeNotFound):
		a.log.Warn("no checkpoint is left, starting from the beginning", "workload_id", string(r.key.WorkloadID))
		return nil, nil
	case domain.IsCode(err, domain.CodeFenced):
		a.stop(r, ports.ErrFenced)
		return nil, ports.ErrFenced
	}
	return data, err
}

// Checkpoint implements ports.Progress.
func (r *run) Checkpoint(ctx context.Context, data []byte, percent *float64, message string) error {
	if len(data) > domain.MaxInlineCheckpoint {
		return domain.NewError(domain.CodeTooLarge, "a checkpoint is at most %d bytes, this one has %d", domain.MaxInlineCheckpoint, len(data))
	}
	saving := &saving{run: r, ctx: ctx}
	defer saving.close()
	return r.agent.save(saving, data, percent, message)
}

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

// save stores one checkpoint. While its outcome is unknown, the same bytes are sent again under the same sequence, so that
// an acknowledged checkpoint is durable exactly once.
func (a *Agent) save(s *saving, data []byte, percent *float64, message string) error {
	r := s.run
	r.saving.Lock()
	defer r.saving.Unlock()
	percent = domain.ClampPercent(percent)
	up := ports.CheckpointUpload{
		WorkloadID: r.key.WorkloadID, Generation: r.key.Generation, Sequence: r.sequence + 1,
		Percent: percent, Message: domain.CleanAndCut(message, domain.MaxProgressMessage), Data: data,
	}
	var answer ports.ReportAnswer
	err := a.persist(r, s.next, func(ctx context.Context, ref ports.SessionRef) (err error) {
		if a.isAbandoned(r) || ref.SessionID != r.session {
			return domain.NewError(domain.CodeFenced, "the run was stopped")
		}
		if err := a.announce(ctx, r); err != nil { // the store takes checkpoints of what it knows to be running
			return err
		}
		answer, err = a.plane.SaveCheckpoint(ctx, ref, up)
		a.sessionError(ref, err)
		return err
	})
	switch {
	case domain.IsCode(err, domain.CodeFenced):
		return a.fencedOff(r, "")
	case err != nil:
		return err
	}
	switch answer.Outcome {
	case domain.OutcomeApplied, domain.OutcomeAlready:
		r.sequence = up.Sequence
		a.saved(r, percent)
		return nil
	case domain.OutcomeIllegal:
		return fmt.Errorf("checkpoint %d was not accepted in state %s", up.Sequence, answer.Status)
	case domain.OutcomeFenced, domain.OutcomeNotFound, domain.OutcomeRefused:
	}
	return a.fencedOff(r, answer.Status)
}

// saved notes the progress that a checkpoint carried.
func (a *Agent) saved(r *run, percent *float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.resumable = true
	if percent != nil {
		r.percent = *percent
		r.progress = nil // older than what is durable now
	}
	r.pulledAt = max(r.pulledAt, r.percent)
}

// fencedOff stops the run and returns why its context ended.
func (a *Agent) fencedOff(r *run, status domain.Status) error {
	cause := ports.ErrFenced
	if status == domain.StatusCancelled {
		cause = ports.ErrCancelled
	}
	a.stop(r, cause)
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return cause
}

func (a *Agent) isAbandoned(r *run) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return r.abandoned
}

// spawnPull takes a checkpoint beside the run; a.mu is held.
func (a *Agent) spawnPull(r *run) {
	r.pulling = true
	a.cfg.Spawn(func() {
		defer a.locked(func() {
			r.pulling = false
			if r.pullAgain {
				r.pullAgain = false
				a.spawnPull(r)
			}
		})
		_ = a.pull(r) // the last durable one stands
	})
}

// pull asks the workload for a checkpoint and saves it. Failing is not fatal: the last durable checkpoint stands. It returns
// ports.ErrNoCheckpoint when there is nothing to save now. A panic in the workload fails the run; see guard.
func (a *Agent) pull(r *run) error {
	a.mu.Lock()
	ready := r.initialised && !r.abandoned && r.state == ports.RunRunning
	percent, message := r.percent, r.message
	a.mu.Unlock()
	if !ready {
		return ports.ErrNoCheckpoint
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), a.cfg.StopGrace)
	defer cancel()
	data, err := r.snapshot(ctx)
	if err == nil {
		err = r.Checkpoint(ctx, data, &percent, message)
	}
	if err != nil && !errors.Is(err, ports.ErrNoCheckpoint) && !a.isAbandoned(r) {
		a.log.Warn("checkpoint failed", "workload_id", string(r.key.WorkloadID), "generation", r.key.Generation, "error", err)
	}
	return err
}

func (r *run) snapshot(ctx context.Context) (data []byte, err error) {
	if !r.guard("Checkpoint", func() { data, err = r.workload.Checkpoint(ctx) }) {
		return nil, r.fault()
	}
	return data, err
}
