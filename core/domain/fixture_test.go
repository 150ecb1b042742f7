package domain_test

import (
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

var epoch0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// in returns a workload in a state, at generation 3, as it would be after an ordinary life.
func in(s domain.Status) domain.Workload {
	w := domain.Workload{
		Spec: domain.Spec{
			ID: "wl_1", CustomerID: "cust_a", Type: "sleep", Run: domain.DefaultRunConfig(),
			CreatedAt: epoch0, QueueAt: epoch0,
		},
		State: domain.State{
			Status: s, Generation: 3, CheckpointSequence: 2, CheckpointGeneration: 2, UpdatedAt: epoch0,
		},
	}
	if s.Held() {
		w.WorkerID, w.SessionID, w.LastWorkerID = "w1", "s1", "w1"
	}
	if s == domain.StatusRunning {
		w.StartedGeneration, w.StartedAt = 3, epoch0
		w.Deadline = epoch0.Add(time.Hour)
	}
	if s.Final() {
		w.FinishedAt = epoch0
	}
	return w
}

// event returns a well-guarded transition for a workload at generation 3.
func event(e domain.Event) domain.Transition {
	t := domain.Transition{
		WorkloadID: "wl_1", Event: e, Generation: 3, SessionID: "s1",
		Actor: domain.Actor{Kind: domain.ActorWorker, ID: "w1"},
	}
	switch e {
	case domain.EventAssign:
		t.Generation, t.SessionID, t.WorkerID = 4, "s2", "w2"
	case domain.EventCheckpoint:
		t.CheckpointSequence = 3
	case domain.EventSkipCheckpoint:
		t.CheckpointSequence, t.Reason = 1, "checkpoint 2 cannot be read"
	case domain.EventFail:
		t.Failure = &domain.Failure{Type: "error", Message: "boom"}
		t.Jitter = 0.5
	case domain.EventUnplaceable:
		t.SessionID, t.Reason = "", "no worker can run it"
	case domain.EventLose:
		t.Loss = domain.LossExpired
	case domain.EventRequestPause, domain.EventResume, domain.EventCancel:
		t.Generation, t.SessionID = 0, ""
	default:
	}
	return t
}

// apply executes transitions one after the other as a store would, and returns their outcomes.
func apply(w *domain.Workload, now time.Time, ts ...domain.Transition) []domain.Outcome {
	outs := make([]domain.Outcome, len(ts))
	for i := range ts {
		out, next, _ := domain.Decide(w, &ts[i], now)
		if out == domain.OutcomeApplied {
			w.State = next
		}
		outs[i] = out
	}
	return outs
}

func events() []domain.Event {
	var es []domain.Event
	for _, r := range domain.Rules() {
		es = append(es, r.Event)
	}
	return es
}

// worker returns a healthy worker that offers these types.
func worker(n int, types ...string) domain.Worker {
	return domain.Worker{
		ID: domain.WorkerID(fmt.Sprintf("w%d", n)), SessionID: domain.SessionID(fmt.Sprintf("s%d", n)),
		Status: domain.WorkerHealthy, Slots: 1, Capabilities: types,
	}
}
