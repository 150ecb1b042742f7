package controlplane

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// missedInventories is the number of successive inventories without a RUNNING workload after which
// the workload is lost.
const missedInventories = 2

// unheardAfter is the age from which an assignment that the worker does not know is sent again, in
// the answer to a heartbeat.
const unheardAfter = time.Second

// inventoryAge bounds the age of an inventory when it is compared: no try of a heartbeat lasts
// longer. A run assigned within that time may be missing from the inventory although the worker has
// it.
const inventoryAge = 2 * time.Second

// reconcile compares what the session says it holds with what the store says. It takes back the
// workloads that the session has lost, and returns commands for the rest: start what it has not
// received, drop what is no longer its own, stop what was cancelled, pause what was asked to pause.
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
	ending := map[domain.RunID]domain.Status{} // of the workload, whose run is ending
	var seen []domain.Transition
	for _, w := range held {
		r := w.Run()
		if w.Ending {
			ending[r] = w.Status
			if !has[r] && w.HeldFor >= inventoryAge {
				seen = append(seen, s.transitionOf(h, r, domain.EventLetGo))
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
	assign, left, err := s.assignments(ctx, h.SessionRef, unheard, beatBudget)
	if err != nil {
		return nil, err
	}
	commands = append(commands, assign...)
	if len(left) > 0 { // too large for this answer: they come with polls
		s.deps.Notifier.Command(ctx, h.WorkerID, left...)
	}
	// The worker still runs these, and the store does not know that they are ending. Their slots
	// are not free either.
	for _, item := range h.Inventory {
		r := item.Run()
		if _, ends := ending[r]; !ends && strays(item, owned) && domain.StorableID(r.WorkloadID) {
			t := s.transitionOf(h, r, domain.EventLinger)
			t.Devices = item.Devices
			seen = append(seen, t)
		}
	}
	results, err := s.deps.Applier.Apply(ctx, domain.Batch{Transitions: seen})
	for i := range results { // none if it failed: the worker must stop these runs all the same
		r := domain.RunID{WorkloadID: seen[i].WorkloadID, Generation: seen[i].Generation}
		switch {
		case seen[i].Event != domain.EventLinger:
		case results[i].Outcome == domain.OutcomeIllegal:
			owned[r] = true // the session holds it after all
		default:
			ending[r] = results[i].State.Status
		}
	}
	commands = append(commands, stopCommands(h, owned, ending)...)
	return commands, errors.Join(err, s.loseMissing(ctx, h, gone))
}

// transitionOf returns what an inventory says of a run that its session does not hold.
func (s *Service) transitionOf(h ports.Heartbeat, r domain.RunID, e domain.Event) domain.Transition {
	return domain.Transition{
		WorkloadID: r.WorkloadID, Generation: r.Generation, Event: e, SessionID: h.SessionID, WorkerID: h.WorkerID,
		Actor: domain.Actor{Kind: domain.ActorWorker, ID: string(h.WorkerID)},
	}
}

// strays reports whether the worker runs what its session does not hold. A run that has ended waits
// only for the answer to its last report. That answer says the same.
func strays(item ports.InventoryItem, owned map[domain.RunID]bool) bool {
	return !owned[item.Run()] && item.State != ports.RunReporting
}

// stopCommands returns the commands to stop what the store does not assign to this session. status has
// the states of these workloads, as far as they are known.
func stopCommands(
	h ports.Heartbeat, owned map[domain.RunID]bool, status map[domain.RunID]domain.Status,
) (commands []ports.Command) {
	for _, item := range h.Inventory {
		r := item.Run()
		switch {
		case !strays(item, owned):
		case status[r] == domain.StatusCancelled:
			commands = append(commands, command(h, ports.CommandCancel, r, "cancelled"))
		default:
			commands = append(commands, command(h, ports.CommandDrop, r, "no longer assigned to this session"))
		}
	}
	return commands
}

func command(h ports.Heartbeat, kind ports.CommandKind, r domain.RunID, reason string) ports.Command {
	return ports.Command{
		Kind: kind, SessionID: h.SessionID, WorkloadID: r.WorkloadID, Generation: r.Generation, Reason: reason,
	}
}

// loseMissing takes back the runs that were missing from this inventory and the one before. Any
// coordinator may do so, because the worker itself says that it has lost them: the guard is the
// session and the generation, not the leader's epoch.
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

// missingRuns counts the successive inventories in which runs of a session were missing. The counts
// belong to the coordinator that receives the heartbeats. Another coordinator starts at zero, which
// only delays the loss.
type missingRuns struct {
	mu   sync.Mutex
	seen map[domain.SessionID]missedBeat
}

// missedBeat is the last heartbeat that lacked runs, with the number of successive heartbeats that
// lacked each run.
type missedBeat struct {
	number int64
	counts map[domain.RunID]int
}

// note records the runs missing from a heartbeat, and returns those that have been missing for too
// long. A worker repeats an unanswered heartbeat over another connection. Such a repetition says
// nothing new, and the runs that it lacks may have started since; so it is ignored.
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

// forget removes the counts of a session that has ended.
func (m *missingRuns) forget(session domain.SessionID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.seen, session)
}
