package execution

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// The backoff of calls whose outcome is unknown.
const (
	retryFirst = 50 * time.Millisecond
	retryMax   = 2 * time.Second
)

// persist calls f until it succeeds, fails for good, or the session ends. next returns the context
// of the next call, or why there is none. An error of the transport does not say whether the call
// succeeded, so the call is repeated. It is also repeated when the worker's key is refused: that is no
// failure of the run, and if heartbeats are refused, too, the lease ends it. what is what no coordinator
// takes, for the log.
func (a *Agent) persist(
	r *run, what string, next func() (context.Context, error), f func(ctx context.Context, ref ports.SessionRef) error,
) error {
	told := false
	for delay := retryFirst; ; delay = min(2*delay, retryMax) {
		ctx, err := next()
		if err != nil {
			return err
		}
		ref, ok := a.ref()
		if !ok {
			return ports.ErrLeaseLost
		}
		err = f(ports.WithOrigin(ctx, r.assignment.Origin()), ref)
		if isFinal(err) {
			return err
		}
		if ctx.Err() != nil {
			continue
		}
		if domain.IsNotEncrypted(err) && !told {
			told = true
			r.tellNotEncrypted(err)
		}
		r.log.Log(ctx, logLevel(delay), what+": no coordinator takes it, trying again", "in", delay, "error", err)
		if err := a.deps.Sleep(ctx, delay/2+time.Duration(a.deps.IDs.Float64()*float64(delay))); err != nil &&
			ctx.Err() == nil {
			return err // the process is ending; next checks whether ctx has ended
		}
	}
}

// isFinal reports whether err, which may be nil, is an answer that stays the same.
func isFinal(err error) bool {
	switch domain.CodeOf(err) {
	case "", domain.CodeFenced, domain.CodeNotFound, domain.CodeInvalidInput, domain.CodeTooLarge:
		return true
	default:
		return false
	}
}

// tellNotEncrypted tells in the lines of the run what its customer may have to mend: the storage may not
// use the customer's key.
func (r *run) tellNotEncrypted(err error) {
	message := "the value cannot be encrypted"
	if e := (*domain.Error)(nil); errors.As(err, &e) {
		message = e.Message // without the cause, which is for the logs of operators
	}
	r.Log(ports.LogEntry{Level: domain.LevelWarn, Message: "checkpoint is tried again until it can be saved: " + message})
}

// logLevel returns WARN for the first of several failures in a row and DEBUG for the rest.
func logLevel(delay time.Duration) slog.Level {
	if delay == retryFirst {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// restore loads the checkpoint to continue from. The result is empty if there is none any more.
func (a *Agent) restore(r *run) (loaded kept, err error) {
	var local error
	next := func() (context.Context, error) { return r.ctx, context.Cause(r.ctx) }
	err = a.persist(r, "checkpoint", next, func(ctx context.Context, ref ports.SessionRef) error {
		if ref.SessionID != r.session {
			return ports.ErrLeaseLost
		}
		c, err := a.deps.Plane.LoadCheckpoint(ctx, ref, r.key.WorkloadID, r.key.Generation,
			r.assignment.CheckpointSequence)
		if err != nil {
			return err
		}
		loaded, local, err = a.receive(r, c)
		return err
	})
	switch {
	case domain.IsCode(err, domain.CodeNotFound):
		r.log.Warn("no checkpoint is left, starting from the beginning")
		return kept{}, nil
	case domain.IsCode(err, domain.CodeFenced):
		a.stop(r, ports.ErrFenced)
		return kept{}, ports.ErrFenced
	case err == nil:
		err = local
	}
	return loaded, err
}

// Checkpoint implements ports.Progress.
func (r *run) Checkpoint(ctx context.Context, data []byte, percent *float64, message string) error {
	s := r.begin(ctx)
	defer s.close()
	// The caller may use data again when this returns, and a transport may not be done with it then.
	return r.agent.save(s, ports.CheckpointUpload{Data: bytes.Clone(data)}, percent, message)
}

// begin begins a save of the handler.
func (r *run) begin(ctx context.Context) *saving {
	r.agent.mu.Lock()
	defer r.agent.mu.Unlock()
	r.begun++
	return &saving{run: r, ctx: ctx, reported: r.reported}
}

// save stores one checkpoint. One that the agent asked for carries the progress that the run has told
// so far: a save of the handler that was under way may have told it just now. While the outcome is
// unknown, the same bytes are sent again under the same sequence, so that an acknowledged checkpoint is
// durable exactly once.
func (a *Agent) save(s *saving, up ports.CheckpointUpload, percent *float64, message string) error {
	r := s.run
	r.saving.Lock()
	defer r.saving.Unlock()
	if s.pulls {
		a.mu.Lock()
		overtaken, told := r.begun != s.begun, r.percent
		percent, message, s.reported = &told, r.message, r.reported
		a.mu.Unlock()
		if overtaken {
			return errOvertaken
		}
	}
	if err := a.resolve(s); err != nil {
		return err
	}
	percent = domain.ClampPercent(percent)
	up.WorkloadID, up.Generation, up.Sequence = r.key.WorkloadID, r.key.Generation, r.sequence+1
	up.Percent, up.Message = percent, domain.CleanAndCut(message, domain.MaxProgressMessage)
	if err := a.put(s, up); err != nil {
		return err
	}
	a.saved(s, percent)
	return nil
}

// saved records the progress that a durable checkpoint carried, unless a later one was reported.
func (a *Agent) saved(s *saving, percent *float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := s.run
	r.resumable = true
	if percent != nil && r.reported == s.reported {
		r.percent = *percent
		r.progress = nil // older than the checkpoint
	}
	r.pulledAt = max(r.pulledAt, r.percent)
}

// fencedOff stops a fenced run and returns why its context ended.
func (a *Agent) fencedOff(r *run, status domain.Status) error {
	cause := fencedBy(status)
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
