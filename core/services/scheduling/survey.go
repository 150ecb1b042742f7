package scheduling

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

// unplaceableAfter is how long something must have waited before it is marked as unplaceable: a worker that starts again is not missed.
const unplaceableAfter = 10 * time.Second

// survey looks after what was passed over.
func (s *Service) survey(ctx context.Context, epoch int64, v *view, c *ports.SchedulingCycle) error {
	over := v.planner.PassedOver()
	if s.cfg.Preemption {
		if err := s.preempt(ctx, v, over[domain.ObstacleFull], c); err != nil {
			return err
		}
	}
	if v.now.Sub(s.surveyed) < surveyEvery {
		return nil
	}
	s.surveyed = v.now
	if err := s.forget(ctx, v.now); err != nil {
		return err
	}
	return s.mark(ctx, epoch, v, over[domain.ObstacleUnplaceable])
}

const (
	// forgetInterval is how often lanes without work are forgotten, forgetLimit how many at once.
	forgetInterval = time.Minute
	forgetLimit    = 10_000
)

// forget has the store forget lanes without work.
func (s *Service) forget(ctx context.Context, now time.Time) error {
	if now.Sub(s.forgot) < forgetInterval {
		return nil
	}
	s.forgot = now
	n, err := s.deps.Workloads.Forget(ctx, forgetLimit)
	s.deps.Observer.Count("lane_forgotten", n)
	return err
}

// mark audits, once for each reason, that no worker there is can run what stands at the head of these lanes, and says so in its status. What
// waits behind a head is marked when it becomes one.
func (s *Service) mark(ctx context.Context, epoch int64, v *view, lanes []domain.LaneHeads) error {
	before := s.marked
	s.marked = map[domain.WorkloadID]string{}
	if len(lanes) == 0 {
		return nil
	}
	e := placement.NewExplainer(v.Snapshot)
	b := domain.Batch{Epoch: epoch}
	for i := range lanes {
		reason := e.Unplaceable(&lanes[i].Lane)
		for n, h := range lanes[i].Heads {
			if n == minHeads || v.now.Sub(h.QueueAt) < unplaceableAfter {
				break
			}
			s.marked[h.ID] = reason
			if before[h.ID] != reason && len(b.Transitions) < BatchSize {
				b.Transitions = append(b.Transitions, domain.Transition{
					WorkloadID: h.ID, Event: domain.EventUnplaceable, Generation: h.Generation, Reason: reason, Actor: s.actor(),
				})
			}
		}
	}
	results, err := s.deps.Applier.Apply(ctx, b)
	if err != nil {
		s.marked = before
		return err
	}
	for i, r := range results {
		if r.Outcome == domain.OutcomeApplied {
			s.deps.Log.Warn("workload cannot be placed", "workload_id", r.WorkloadID, "customer_id", r.CustomerID, "reason", b.Transitions[i].Reason)
		}
	}
	return nil
}
