package lifecycle

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Cancel ends a workload that is not final and tells the worker that runs it to stop. Repeating it
// with the same idempotency key and reason is answered as the first time, for
// domain.IdempotencyRetention. CodeInvalidState with the detail "status" if it is final otherwise,
// CANCELLED included. CodeNotFound.
func (s *Service) Cancel(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, actor domain.Actor, reason, key string,
) (domain.Workload, error) {
	return s.control(ctx, domain.Transition{
		WorkloadID: id, CustomerID: customer, Event: domain.EventCancel, Actor: actor, Reason: reason,
		Request: s.requestID(key, "cancel", string(id), reason),
	})
}

// requestID identifies a request that cancels. One without an idempotency key is like no other, so
// that only the store repeats it, when it does not know whether it has committed.
func (s *Service) requestID(key string, asked ...string) string {
	if key == "" {
		key = s.deps.IDs.New("req_")
	}
	return domain.RequestID(key, asked...)
}

// Resume returns a paused workload to its old place in the queue. CodeInvalidState, CodeNotFound.
func (s *Service) Resume(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, actor domain.Actor, reason string,
) (domain.Workload, error) {
	return s.control(ctx, domain.Transition{
		WorkloadID: id, CustomerID: customer, Event: domain.EventResume, Actor: actor, Reason: reason,
	})
}

// Pause asks the worker of a running workload to save a checkpoint and to stop. It waits for that
// until Config.PauseWait has passed. confirmed reports whether the worker has stopped; if not, the
// request remains in force. CodeInvalidState with the detail "status" if the workload has ended
// otherwise meanwhile.
func (s *Service) Pause(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, actor domain.Actor, reason string,
) (w domain.Workload, confirmed bool, err error) {
	w, err = s.control(ctx, domain.Transition{
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
	// It was paused, and another caller has resumed it since.
	return w, true, nil
}

// Checkpoint asks the worker of a RUNNING workload to save a checkpoint now, and returns the
// workload as it is. Its sequence grows when the checkpoint is durable. The request is a hint that
// is sent once: it has no effect if the worker is disconnected at that moment, or if the workload
// has nothing to save. CodeInvalidState with the detail "status" in every other state.
// CodeNotFound.
func (s *Service) Checkpoint(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID,
) (domain.Workload, error) {
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

// control applies a transition that a user asked for and returns the workload.
func (s *Service) control(ctx context.Context, t domain.Transition) (domain.Workload, error) {
	r, err := s.deps.Applier.One(ctx, t)
	if err != nil {
		return domain.Workload{}, err
	}
	if r.Outcome == domain.OutcomeNotFound {
		w, err := s.Get(ctx, t.CustomerID, t.WorkloadID)
		if err != nil {
			return domain.Workload{}, err
		}
		return domain.Workload{}, invalidState(verbs[t.Event], w.Status) // it is archived
	}
	if err := refusal(&t, &r); err != nil {
		return domain.Workload{}, err
	}
	w, err := s.Get(ctx, t.CustomerID, t.WorkloadID)
	if err != nil {
		return w, err
	}
	// Return the state that this call led to, even if it has changed since.
	w.State = r.State
	return w, nil
}

// refusal returns the error that a transition is answered with which a user asked for; nil: it was
// done.
func refusal(t *domain.Transition, r *domain.Result) error {
	switch r.Outcome {
	case domain.OutcomeApplied, domain.OutcomeAlready:
		return nil
	case domain.OutcomeNotFound:
		return domain.NotFound("workload")
	case domain.OutcomeRefused:
		return domain.NewError(domain.CodeInternal, "refused: %s", r.Reason)
	case domain.OutcomeIllegal, domain.OutcomeFenced:
	}
	return invalidState(verbs[t.Event], r.State.Status)
}

// verbs are the participles of events, for error messages.
var verbs = map[domain.Event]string{
	domain.EventCancel: "cancelled", domain.EventResume: "resumed", domain.EventRequestPause: "paused",
}

func invalidState(verb string, current domain.Status) error {
	return domain.NewError(domain.CodeInvalidState, "a workload that is %s cannot be %s", current, verb).
		With("status", string(current))
}

// Wait returns the workload once it is final, or as it is after d.
func (s *Service) Wait(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, d time.Duration,
) (domain.Workload, error) {
	return s.follow(ctx, customer, id, d, func(w *domain.Workload) bool { return w.Status.Final() })
}

// pollInterval bounds how late follow notices a change whose message was lost.
const pollInterval = time.Second

// follow reads the workload until done reports true or d has passed. It reads after each update on
// the bus, and at pollInterval in case an update is lost.
func (s *Service) follow(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, d time.Duration,
	done func(*domain.Workload) bool,
) (domain.Workload, error) {
	w, err := s.Get(ctx, customer, id)
	if err != nil || done(&w) || d <= 0 {
		return w, err
	}
	changed := make(chan struct{}, 1)
	sub, err := s.deps.Listener.Updates(ctx, ports.FollowedWorkload(id), func(u ports.Update) {
		if u.Event == domain.EventLog {
			return // the workload is as it was
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	if err == nil {
		defer func() { _ = sub.Close() }() // if that fails, only a buffer is lost
	}
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		// Read after subscribing, so that a change before the subscription is not missed. What may be
		// large is read once, at the end: many may wait.
		found, err := s.deps.Workloads.GetBrief(ctx, customer, id)
		switch {
		case err != nil:
			return w, err
		case len(found) == 0 || done(&found[0]): // one that is missing may be archived
			return s.Get(ctx, customer, id)
		case bounded.Err() != nil && ctx.Err() != nil:
			return w, ctx.Err()
		case bounded.Err() != nil:
			return s.Get(ctx, customer, id)
		}
		step, next := context.WithTimeout(bounded, pollInterval)
		select {
		case <-changed:
		case <-step.Done():
		}
		next()
	}
}
