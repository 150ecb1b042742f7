package scheduling

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

// unplaceableAfter is how long a workload must have waited before it is marked as unplaceable, and
// how long one that has run before must have been found so. A worker that restarts is back by then.
const unplaceableAfter = 10 * time.Second

// review deals with the lanes that were passed over. It asks running workloads to make room,
// and marks the workloads that no worker can run.
func (s *Service) review(
	ctx context.Context, epoch int64, v *view,
	passedOver map[domain.Obstacle][]domain.LaneHeads, c *ports.SchedulingCycle,
) error {
	if s.cfg.Preemption {
		if err := s.preempt(ctx, v, passedOver[domain.ObstacleFull], c); err != nil {
			return err
		}
	}
	if v.now.Sub(s.reviewed) < reviewInterval {
		return nil
	}
	s.reviewed = v.now
	return s.mark(ctx, epoch, v, passedOver[domain.ObstacleUnplaceable])
}

// mark says since when a workload of a generation is known to be one that no worker can run, and the
// reason that is audited.
type mark struct {
	generation int64
	since      time.Time
	reason     string
}

// mark writes into the status and the audit trail of the first workloads of these lanes why no
// worker can run them. Each reason is written once for each time that the workload waits. A workload
// behind them is marked when it becomes one of the first, and what is more than a batch with the
// next review.
func (s *Service) mark(ctx context.Context, epoch int64, v *view, lanes []domain.LaneHeads) error {
	before := s.marked
	s.marked = map[domain.WorkloadID]mark{}
	if len(lanes) == 0 {
		return nil
	}
	e := placement.NewExplainer(v.Snapshot)
	b := domain.Batch{Epoch: epoch}
	for i := range lanes {
		reason := e.Unplaceable(&lanes[i].Lane)
		for n, h := range lanes[i].Heads {
			if n == minHeads || v.Now.Sub(h.QueueAt) < unplaceableAfter {
				break
			}
			m := before[h.ID]
			if m.since.IsZero() || m.generation != h.Generation {
				m = mark{generation: h.Generation, since: v.now}
			}
			// What has run before began to wait long ago, but may have lost its worker just now.
			early := h.Generation > 0 && v.now.Sub(m.since) < unplaceableAfter
			if !early && m.reason != reason && len(b.Transitions) < BatchSize {
				m.reason = reason
				b.Transitions = append(b.Transitions, domain.Transition{
					WorkloadID: h.ID, Event: domain.EventUnplaceable, Generation: h.Generation,
					Reason: reason, Actor: s.actor(),
				})
			}
			s.marked[h.ID] = m
		}
	}
	results, err := s.deps.Applier.Apply(ctx, b)
	if err != nil {
		s.marked = before
		return err
	}
	for i, r := range results {
		if r.Outcome == domain.OutcomeApplied {
			s.deps.Log.Warn("workload cannot be placed", "workload_id", r.WorkloadID, "customer_id", r.CustomerID,
				"reason", b.Transitions[i].Reason)
		}
	}
	return nil
}
