package lifecycle

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Cancel ends a workload that is not final; the worker that runs it is told to stop. Cancelling
// again is a success. CodeInvalidState with the detail "status" when it has finished otherwise.
// CodeNotFound.
func (s *Service) Cancel(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, actor domain.Actor, reason string) (domain.Workload, error) {
	return s.steer(ctx, domain.Transition{
		WorkloadID: id, CustomerID: customer, Event: domain.EventCancel, Actor: actor, Reason: reason,
	})
}

// Resume puts a paused workload back into the queue at its old place. CodeInvalidState,
// CodeNotFound.
func (s *Service) Resume(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, actor domain.Actor, reason string) (domain.Workload, error) {
	return s.steer(ctx, domain.Transition{
		WorkloadID: id, CustomerID: customer, Event: domain.EventResume, Actor: actor, Reason: reason,
	})
}

// Pause asks for a pause of a running workload and waits a while for the worker to checkpoint and
// stop. confirmed is false when it has not done so yet; the request stands. A workload that ended
// otherwise in the meantime is CodeInvalidState with the detail "status".
func (s *Service) Pause(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, actor domain.Actor, reason string) (w domain.Workload, confirmed bool, err error) {
	w, err = s.steer(ctx, domain.Transition{
		WorkloadID: id, CustomerID: customer, Event: domain.EventRequestPause, Actor: actor, Reason: reason,
	})
	if err != nil || w.Status == domain.StatusPaused {
		return w, err == nil, err
	}
	w, err = s.follow(ctx, customer, id, s.cfg.PauseWait, func(w *domain.Workload) bool {
		return w.Status != domain.StatusRunning || !w.PauseRequested
	})
	switch {
	case err != nil:
		return w, false, err
	case w.Status == domain.StatusPaused:
		return w, true, nil
	case w.Status == domain.StatusRunning && w.PauseRequested:
		return w, false, nil
	case w.Status.Final():
		return w, false, invalidState(verbs[domain.EventRequestPause], w.Status)
	}
	// Resumed by somebody else while we waited: the pause has happened.
	return w, true, nil
}

// Checkpoint asks the worker of a RUNNING workload to save a checkpoint now, and returns the
// workload as it is. Its sequence grows when the checkpoint is durable. The request is a hint that
// is sent once: it has no effect if the worker is disconnected at that moment, or if the workload
// has nothing to save. CodeInvalidState with the detail "status" in every other state.
// CodeNotFound.
func (s *Service) Checkpoint(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID) (domain.Workload, error) {
	w, err := s.Get(ctx, customer, id)
	if err != nil {
		return domain.Workload{}, err
	}
	if w.Status != domain.StatusRunning {
		return domain.Workload{}, invalidState("checkpointed", w.Status)
	}
	s.deps.Notifier.Command(ctx, w.WorkerID, ports.Command{
		Kind: ports.CommandCheckpoint, SessionID: w.SessionID, WorkloadID: w.ID, Generation: w.Generation,
	})
	return w, nil
}

func (s *Service) steer(ctx context.Context, t domain.Transition) (domain.Workload, error) {
	r, err := s.deps.Applier.One(ctx, t)
	if err != nil {
		return domain.Workload{}, err
	}
	switch r.Outcome {
	case domain.OutcomeApplied, domain.OutcomeAlready:
		w, err := s.Get(ctx, t.CustomerID, t.WorkloadID)
		if err != nil {
			return w, err
		}
		// The answer is the state this call brought about, even if more has happened since.
		w.State = r.State
		return w, nil
	case domain.OutcomeNotFound:
		return domain.Workload{}, domain.NotFound("workload")
	case domain.OutcomeIllegal, domain.OutcomeFenced, domain.OutcomeRefused:
	}
	return domain.Workload{}, invalidState(verbs[t.Event], r.State.Status)
}

// verbs say what an event does to a workload.
var verbs = map[domain.Event]string{
	domain.EventCancel: "cancelled", domain.EventResume: "resumed", domain.EventRequestPause: "paused",
}

func invalidState(verb string, current domain.Status) error {
	return domain.NewError(domain.CodeInvalidState, "a workload that is %s cannot be %s", current, verb).
		With("status", string(current))
}

// Wait returns the workload when it is final, or as it is after d.
func (s *Service) Wait(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, d time.Duration) (domain.Workload, error) {
	return s.follow(ctx, customer, id, d, func(w *domain.Workload) bool { return w.Status.Final() })
}

// pollEvery bounds how late a follower notices a change whose message was lost.
const pollEvery = time.Second

// follow reads the workload until done says so or d has passed. Updates on the bus make it quick;
// polling makes it sure.
func (s *Service) follow(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, d time.Duration, done func(*domain.Workload) bool) (domain.Workload, error) {
	w, err := s.Get(ctx, customer, id)
	if err != nil || done(&w) || d <= 0 {
		return w, err
	}
	changed := make(chan struct{}, 1)
	sub, err := s.deps.Listener.Updates(ctx, id, func(ports.Update) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	if err == nil {
		defer func() { _ = sub.Close() }() // a subscription that does not close costs nothing but its buffer
	}
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		// Read after subscribing: a change before the subscription is seen here.
		if w, err = s.Get(ctx, customer, id); err != nil || done(&w) {
			return w, err
		}
		if bounded.Err() != nil {
			return w, ctx.Err()
		}
		step, next := context.WithTimeout(bounded, pollEvery)
		select {
		case <-changed:
		case <-step.Done():
		}
		next()
	}
}
