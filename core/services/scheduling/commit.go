package scheduling

import (
	"context"
	"maps"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

// commit assigns the workloads as planned and sends the commands to their workers. It returns the
// number of workloads assigned and describes them in c.
func (s *Service) commit(
	ctx context.Context, epoch int64, v *view, plan []placement.Decision, c *ports.SchedulingCycle,
) (int, error) {
	if len(plan) == 0 {
		return 0, nil
	}
	batch := domain.Batch{Epoch: epoch, Transitions: make([]domain.Transition, len(plan))}
	for i, a := range plan {
		batch.Transitions[i] = domain.Transition{
			WorkloadID: a.WorkloadID, CustomerID: a.CustomerID, Event: domain.EventAssign, Generation: a.Generation,
			SessionID: a.SessionID, WorkerID: a.WorkerID, FoundAt: a.FoundAt, Devices: a.Devices, Actor: s.actor(),
		}
	}
	results, err := s.deps.Applier.Apply(ctx, batch)
	if err != nil {
		return 0, err
	}
	assigned := make([]*domain.Workload, 0, len(results))
	var large []domain.WorkloadID
	c.Placements = make([]ports.Placement, 0, len(results))
	for i, r := range results {
		if !r.Outcome.OK() {
			s.deps.Log.Debug("assignment not applied", "workload_id", r.WorkloadID, "outcome", r.Outcome,
				"reason", r.Reason)
			continue
		}
		a := &plan[i]
		if r.Assigned.Input == "" {
			large = append(large, r.WorkloadID)
		} else {
			assigned = append(assigned, r.Assigned)
		}
		s.meter.placed(v.now, r.Type, a.CustomerID)
		p := ports.Placement{
			Tier: v.Customers[a.CustomerID].Tier, Waited: max(v.Now.Sub(a.QueueAt), 0), First: a.Generation == 1,
			Preferred: a.Preferred, Matched: a.Matched,
		}
		if p.First {
			s.meter.waited(v.now, p.Tier, a.Lane, p.Waited)
		}
		c.Placements = append(c.Placements, p)
	}
	s.send(ctx, assigned)
	return len(c.Placements), s.Send(ctx, large...)
}

func (s *Service) actor() domain.Actor {
	return domain.Actor{Kind: domain.ActorCoordinator, ID: s.cfg.Name}
}

// sendAtOnce is how many workloads are held in memory at once: the input of each may have a MiB.
const sendAtOnce = 32

// Send sends each of these workloads to the worker that it is assigned to. A workload that is no
// longer SCHEDULED is left out.
func (s *Service) Send(ctx context.Context, ids ...domain.WorkloadID) error {
	for part := range slices.Chunk(ids, sendAtOnce) {
		found, err := s.deps.Workloads.GetAny(ctx, part...)
		if err != nil {
			return err
		}
		scheduled := make([]*domain.Workload, 0, len(found))
		for i := range found {
			if found[i].Status == domain.StatusScheduled {
				scheduled = append(scheduled, &found[i])
			}
		}
		s.send(ctx, scheduled)
	}
	return nil
}

// send sends the commands to run these workloads.
func (s *Service) send(ctx context.Context, ws []*domain.Workload) {
	byWorker := map[domain.WorkerID][]ports.Command{}
	for _, w := range ws {
		byWorker[w.WorkerID] = append(byWorker[w.WorkerID], ports.AssignCommand(w))
	}
	for _, id := range slices.Sorted(maps.Keys(byWorker)) {
		s.deps.Notifier.Command(ctx, id, byWorker[id]...)
	}
}
