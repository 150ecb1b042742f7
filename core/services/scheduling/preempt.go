package scheduling

import (
	"context"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// preemptAfter is how long a workload waits before it asks others to make room; spareFor is how long a run is left alone at first.
	preemptAfter = 5 * time.Second
	spareFor     = 10 * time.Second
	// askAgain is when a request that came to nothing may be repeated, for whom it was and to whom it went.
	askAgain = 30 * time.Second
	// askMost bounds the requests of one cycle.
	askMost = 100
)

// requests remember whom room was asked for, and who was asked.
type requests struct {
	beneficiaries, victims map[domain.WorkloadID]time.Time
}

func newRequests() requests {
	return requests{map[domain.WorkloadID]time.Time{}, map[domain.WorkloadID]time.Time{}}
}

// forget drops what is old enough to be asked again.
func (r *requests) forget(now time.Time) {
	for _, m := range []map[domain.WorkloadID]time.Time{r.beneficiaries, r.victims} {
		for id, at := range m {
			if now.Sub(at) >= askAgain {
				delete(m, id)
			}
		}
	}
}

// preempt asks running workloads of lower tiers to checkpoint and make room for what waits in these lanes. It is a request: the worker
// releases a run only once its checkpoint is durable, and whatever is placed next is placed by the next cycle, in the order of the queue.
func (s *Service) preempt(ctx context.Context, v *view, full []domain.LaneHeads, c *ports.SchedulingCycle) error {
	s.asked.forget(v.now)
	asks := func(w domain.Candidate) bool {
		return v.now.Sub(w.QueueAt) >= preemptAfter && s.asked.beneficiaries[w.ID].IsZero()
	}
	if !s.worthAsking(v, full, asks) {
		return nil
	}
	running, err := s.running(ctx, v)
	if err != nil {
		return err
	}
	chosen := v.planner.Preempt(running, askMost, asks)
	ids := make([]domain.WorkloadID, len(chosen))
	for i, p := range chosen {
		ids[i] = p.Victim.WorkloadID
		s.asked.victims[ids[i]] = v.now
	}
	found, err := s.deps.Workloads.GetAny(ctx, ids...)
	if err != nil {
		return err
	}
	saved := make(map[domain.WorkloadID]bool, len(found))
	for i := range found {
		saved[found[i].ID] = found[i].CheckpointSequence > 0 && found[i].Status == domain.StatusRunning
	}
	for _, p := range chosen {
		if !saved[p.Victim.WorkloadID] {
			continue // it has never saved anything: it would lose all its work; another one is asked next time
		}
		s.asked.beneficiaries[p.For.ID] = v.now
		c.Preempted++
		s.deps.Log.Info("asking a workload to make room", "workload_id", p.Victim.WorkloadID, "worker_id", p.Victim.WorkerID, "for", p.For.ID, "tier", p.Tier)
		s.deps.Notifier.Command(ctx, p.Victim.WorkerID, ports.Command{
			Kind: ports.CommandPreempt, SessionID: p.Victim.SessionID, WorkloadID: p.Victim.WorkloadID, Generation: p.Victim.Generation,
			Reason: fmt.Sprintf("preempted by %s of tier %s", p.For.ID, p.Tier),
		})
	}
	return nil
}

// worthAsking reports whether something waits that may ask, and something of a lower tier runs that may be asked.
func (s *Service) worthAsking(v *view, full []domain.LaneHeads, asks func(domain.Candidate) bool) bool {
	highest := 0
	for i := range full {
		for _, h := range full[i].Heads {
			if h.Generation == 0 && asks(h) {
				highest = max(highest, v.Customers[full[i].Lane.CustomerID].Tier.Weight())
			}
		}
	}
	for i := range v.Occupancy {
		if t := v.Customers[v.Occupancy[i].Lane.CustomerID]; t.Preemptible && t.Tier.Weight() < highest {
			return true
		}
	}
	return false
}

// running are the workloads that could be asked.
func (s *Service) running(ctx context.Context, v *view) ([]placement.Running, error) {
	var sessions []domain.SessionID
	for i := range v.Workers {
		if v.Workers[i].Status == domain.WorkerHealthy {
			sessions = append(sessions, v.Workers[i].SessionID)
		}
	}
	held, err := s.deps.Queue.Held(ctx, sessions...)
	if err != nil {
		return nil, err
	}
	out := make([]placement.Running, 0, len(held))
	for _, h := range held {
		if h.Status != domain.StatusRunning || h.PauseRequested || h.HeldFor < spareFor || !s.asked.victims[h.WorkloadID].IsZero() {
			continue
		}
		out = append(out, placement.Running{
			WorkloadID: h.WorkloadID, CustomerID: h.CustomerID, SessionID: h.SessionID, WorkerID: h.WorkerID,
			Generation: h.Generation, Since: v.now.Add(-h.HeldFor),
		})
	}
	return out, nil
}
