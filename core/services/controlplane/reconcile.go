package controlplane

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// missedInventories is how often in a row a RUNNING workload may be missing from its session's
// inventory.
const missedInventories = 2

// unheardAfter is how old an assignment is that the next heartbeat brings, when the worker does not
// know of it.
const unheardAfter = time.Second

// inventoryAge is how old an inventory may be when it is looked at: no try of a heartbeat lasts
// longer. A run that was assigned within that time may be in its worker's hands though the
// inventory does not have it.
const inventoryAge = 2 * time.Second

// reconcile compares what the session says it holds with what the store says, takes back what it
// lost, and returns what it must do: start what it has not heard of, drop what is no longer its
// own, stop what was cancelled, pause what was asked to.
func (s *Service) reconcile(ctx context.Context, h ports.Heartbeat) ([]ports.Command, error) {
	held, err := s.deps.Queue.Held(ctx, h.SessionID)
	if err != nil {
		return nil, err
	}
	has := make(map[domain.RunID]bool, len(h.Inventory))
	for _, item := range h.Inventory {
		has[item.Run()] = true
		if item.Stuck {
			s.deps.Observer.Count("run_stuck", 1)
		}
	}
	var commands []ports.Command
	owned := make(map[domain.RunID]bool, len(held))
	gone := map[domain.RunID]bool{}
	var unheard []domain.WorkloadID
	ending := map[domain.RunID]bool{}
	var hands []domain.Transition
	for _, w := range held {
		r := w.Run()
		if w.Ending {
			ending[r] = true
			if !has[r] && w.HeldFor >= inventoryAge {
				hands = append(hands, s.hands(h, r, domain.EventLetGo))
			}
			continue
		}
		owned[r] = true
		switch {
		case has[r] && w.PauseRequested:
			commands = append(commands, command(h, ports.CommandPause, r, "pause was asked for"))
		case !has[r] && w.Status == domain.StatusRunning:
			gone[r] = true
		case !has[r] && w.HeldFor >= unheardAfter:
			unheard = append(unheard, w.WorkloadID)
		}
	}
	assign, err := s.assignments(ctx, h.SessionRef, unheard)
	if err != nil {
		return nil, err
	}
	commands = append(commands, assign...)
	stop, err := s.stopCommands(ctx, h, owned)
	if err != nil {
		return nil, err
	}
	// What the worker still has though it was never told to be ending: its slot is not free either.
	for _, item := range h.Inventory {
		if r := item.Run(); !owned[r] && !ending[r] && item.State != ports.RunReporting &&
			domain.StorableID(r.WorkloadID) {
			hands = append(hands, s.hands(h, r, domain.EventLinger))
		}
	}
	_, err = s.deps.Applier.Apply(ctx, domain.Batch{Transitions: hands})
	return append(commands, stop...), errors.Join(err, s.loseMissing(ctx, h, gone))
}

// hands is what an inventory says of a run that its session does not hold.
func (s *Service) hands(h ports.Heartbeat, r domain.RunID, e domain.Event) domain.Transition {
	return domain.Transition{
		WorkloadID: r.WorkloadID, Generation: r.Generation, Event: e, SessionID: h.SessionID, WorkerID: h.WorkerID,
		Actor: domain.Actor{Kind: domain.ActorWorker, ID: string(h.WorkerID)},
	}
}

// stopCommands tells the worker to stop what the store says is not its own (any more).
func (s *Service) stopCommands(
	ctx context.Context, h ports.Heartbeat, owned map[domain.RunID]bool,
) ([]ports.Command, error) {
	var stray []domain.RunID
	var ids []domain.WorkloadID
	for _, item := range h.Inventory {
		// What has ended and only waits for its last report to be answered gets its answer there.
		if r := item.Run(); !owned[r] && item.State != ports.RunReporting {
			stray, ids = append(stray, r), append(ids, r.WorkloadID)
		}
	}
	if len(stray) == 0 {
		return nil, nil
	}
	found, err := s.deps.Workloads.GetAny(ctx, ids...)
	if err != nil {
		return nil, err
	}
	cancelled := map[domain.WorkloadID]bool{}
	for i := range found {
		cancelled[found[i].ID] = found[i].Status == domain.StatusCancelled
	}
	commands := make([]ports.Command, len(stray))
	for i, r := range stray {
		commands[i] = command(h, ports.CommandDrop, r, "no longer assigned to this session")
		if cancelled[r.WorkloadID] {
			commands[i] = command(h, ports.CommandCancel, r, "cancelled")
		}
	}
	return commands, nil
}

func command(h ports.Heartbeat, kind ports.CommandKind, r domain.RunID, reason string) ports.Command {
	return ports.Command{
		Kind: kind, SessionID: h.SessionID, WorkloadID: r.WorkloadID, Generation: r.Generation, Reason: reason,
	}
}

// loseMissing takes back what was missing from this and the inventory before. The worker itself
// attests it, so that any coordinator may: the guard is its session and generation, not the
// leader's epoch.
func (s *Service) loseMissing(ctx context.Context, h ports.Heartbeat, gone map[domain.RunID]bool) error {
	lost := s.missing.note(h.SessionID, h.Number, gone)
	if len(lost) == 0 {
		return nil
	}
	b := domain.Batch{}
	for _, r := range lost {
		s.deps.Log.Warn("worker no longer holds a workload it was running", "workload_id", r.WorkloadID,
			"generation", r.Generation,
			"worker_id", h.WorkerID, "session_id", h.SessionID)
		b.Transitions = append(b.Transitions, domain.Transition{
			WorkloadID: r.WorkloadID, Event: domain.EventLose, Generation: r.Generation, SessionID: h.SessionID,
			Loss: domain.LossMissing, Reason: string(domain.LossMissing),
			Actor: domain.Actor{Kind: domain.ActorCoordinator, ID: s.cfg.Name},
		})
	}
	_, err := s.deps.Applier.Apply(ctx, b)
	return err
}

// missingRuns counts in how many inventories in a row a session's runs were missing. It is kept by
// the coordinator that gets the heartbeats; another one starts counting anew, which only delays the
// loss.
type missingRuns struct {
	mu   sync.Mutex
	seen map[domain.SessionID]missedBeat
}

// missedBeat is the last heartbeat that lacked runs, and how many in a row have lacked each.
type missedBeat struct {
	number int64
	counts map[domain.RunID]int
}

// note replaces what is known of the session and returns what has been missing for too long. A
// worker sends a heartbeat again that is not answered, over another connection: it says nothing
// new, and what it lacks may have started since.
func (m *missingRuns) note(session domain.SessionID, number int64, gone map[domain.RunID]bool) []domain.RunID {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, known := m.seen[session]
	if known && number != 0 && number <= before.number {
		return nil
	}
	delete(m.seen, session)
	if len(gone) == 0 {
		return nil
	}
	var lost []domain.RunID
	counts := make(map[domain.RunID]int, len(gone))
	for r := range gone {
		if counts[r] = before.counts[r] + 1; counts[r] >= missedInventories {
			lost = append(lost, r)
		}
	}
	m.seen[session] = missedBeat{number, counts}
	return lost
}

// forget drops what is known of a session that has ended.
func (m *missingRuns) forget(session domain.SessionID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.seen, session)
}
