package execution

import (
	"context"
	"fmt"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// unsettled is a checkpoint that may have been stored: its save ended, for instance with the context
// of its caller, before an answer came. No other one may be sent under its sequence: if it was stored,
// the answer to the other one would be that of a repetition, and that one would count as durable
// although it is lost.
type unsettled struct {
	up   ports.CheckpointUpload
	file ports.SpoolFile // nil if the bytes are in memory
}

func (u *unsettled) close() {
	if u != nil && u.file != nil {
		_ = u.file.Close() // nobody needs it any more
	}
}

// resolve finds out whether the checkpoint was stored whose save got no answer: it sends the same
// bytes again, under the same sequence. The run's saving is held.
func (a *Agent) resolve(s *saving) error {
	r := s.run
	open := r.unsettled
	if open == nil {
		return nil
	}
	own := s.file
	r.unsettled, s.file = nil, open.file
	err := a.put(s, open.up)
	(&unsettled{file: s.file}).close() // unless it is unsettled still
	s.file = own
	switch domain.CodeOf(err) {
	case "":
		a.withLock(func() { r.resumable = true })
		return nil
	case domain.CodeInvalidInput, domain.CodeTooLarge: // it was not stored
		return nil
	default:
		return err
	}
}

// put sends a checkpoint until an answer comes, and keeps it as unsettled if none does. The run's
// saving is held.
func (a *Agent) put(s *saving, up ports.CheckpointUpload) error {
	r := s.run
	var answer ports.ReportAnswer
	unanswered := false // the last attempt that was sent
	err := a.persist(r, "checkpoint", s.next, func(ctx context.Context, ref ports.SessionRef) (err error) {
		if a.isAbandoned(r) || ref.SessionID != r.session {
			return domain.NewError(domain.CodeFenced, "the run was stopped")
		}
		if err := a.announce(ctx, r); err != nil { // the store refuses checkpoints of a run that has not started
			return err
		}
		answer, err = a.deps.Plane.SaveCheckpoint(ctx, ref, up)
		unanswered = !isFinal(err)
		a.sessionError(ref, err)
		return err
	})
	switch {
	case domain.IsCode(err, domain.CodeFenced):
		return a.fencedOff(r, "")
	case err != nil:
		if unanswered && !r.over {
			r.unsettled = &unsettled{up, s.file}
			s.file = nil
		}
		return err
	}
	switch answer.Outcome {
	case domain.OutcomeApplied, domain.OutcomeAlready:
		r.sequence = up.Sequence
		return nil
	case domain.OutcomeIllegal:
		return fmt.Errorf("checkpoint %d was not accepted in state %s", up.Sequence, answer.Status)
	case domain.OutcomeFenced, domain.OutcomeNotFound, domain.OutcomeRefused:
	}
	return a.fencedOff(r, answer.Status)
}

// giveUp ends the saves of a run that has ended.
func (a *Agent) giveUp(r *run) {
	end := func() {
		defer r.saving.Unlock()
		r.over = true
		r.unsettled.close()
		r.unsettled = nil
	}
	if r.saving.TryLock() {
		end()
		return
	}
	a.deps.Spawn(func() { // a save that was asked for is not yet done
		r.saving.Lock()
		end()
	})
}
