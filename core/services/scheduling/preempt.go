package scheduling

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// preemptAfter is how long a workload waits before it asks running workloads to make room.
	preemptAfter = 5 * time.Second
	// spareFor is how long a run lasts before it may be asked to make room.
	spareFor = 10 * time.Second
	// requestInterval is the time after which a request that had no effect may be repeated for the same
	// workload, and first to the same one.
	requestInterval = 30 * time.Second
	// spareLimit is the longest time after which the same workload may be asked again.
	spareLimit = 10 * time.Minute
	// requestLimit is the largest number of requests in one cycle.
	requestLimit = 100
)

// requests remembers what was last asked to make room for a workload, and until when a workload is not
// asked to make room.
type requests struct {
	beneficiaries map[domain.WorkloadID]request
	victims       map[domain.WorkloadID]spared
}

// request says what was asked, and when.
type request struct {
	at     time.Time
	victim placement.Running
}

// spared says until when a workload is not asked, and for how long.
type spared struct {
	until time.Time
	pause time.Duration
}

func newRequests() requests {
	return requests{map[domain.WorkloadID]request{}, map[domain.WorkloadID]spared{}}
}

// spare notes that a workload was chosen. Each time it is then left alone for twice as long. Otherwise
// those that save nothing, or do not make room, would be chosen again and again, and no other one.
func (r *requests) spare(id domain.WorkloadID, now time.Time) {
	pause := min(max(2*r.victims[id].pause, requestInterval), spareLimit)
	r.victims[id] = spared{now.Add(pause), pause}
}

// forget drops the requests that may be repeated, and the pauses that are long over.
func (r *requests) forget(now time.Time) {
	for id, b := range r.beneficiaries {
		if now.Sub(b.at) >= requestInterval {
			delete(r.beneficiaries, id)
		}
	}
	for id, v := range r.victims {
		if now.Sub(v.until) >= v.pause {
			delete(r.victims, id)
		}
	}
}

// preempt asks running workloads of lower tiers to make room for workloads that wait in these
// lanes. It is only a request. The worker releases a run once its checkpoint is stored. A later
// cycle then fills the slot in the order of the queue, not necessarily with the workload that
// asked.
func (s *Service) preempt(ctx context.Context, v *view, full []domain.LaneHeads, c *ports.SchedulingCycle) error {
	s.requests.forget(v.now)
	asking := func(w domain.Candidate) (placement.Asking, placement.Running) {
		r, asked := s.requests.beneficiaries[w.ID]
		switch {
		case asked:
			return placement.HasAsked, r.victim
		case v.Now.Sub(w.QueueAt) >= preemptAfter:
			return placement.MayAsk, r.victim
		}
		return placement.MayNotAsk, r.victim
	}
	if !s.worthAsking(v, full, asking) {
		return nil
	}
	running, err := s.running(ctx, v)
	if err != nil {
		return err
	}
	chosen := v.planner.Preempt(running, requestLimit, asking)
	ids := make([]domain.WorkloadID, len(chosen))
	for i, p := range chosen {
		ids[i] = p.Victim.WorkloadID
	}
	saved := make(map[domain.WorkloadID]bool, len(ids))
	for part := range slices.Chunk(ids, sendAtOnce) {
		found, err := s.deps.Workloads.GetAny(ctx, part...)
		if err != nil {
			return err
		}
		for i := range found {
			saved[found[i].ID] = found[i].CheckpointSequence > 0 && found[i].Status == domain.StatusRunning
		}
	}
	for _, p := range chosen {
		s.requests.spare(p.Victim.WorkloadID, v.now)
		if !saved[p.Victim.WorkloadID] {
			continue // without a checkpoint it would lose all its work; the next cycle asks another one
		}
		s.requests.beneficiaries[p.For.ID] = request{v.now, p.Victim}
		c.Preempted++
		s.deps.Log.Info("asking a workload to make room", "workload_id", p.Victim.WorkloadID, "worker_id", p.Victim.WorkerID,
			"for", p.For.ID, "tier", p.Tier)
		s.deps.Notifier.Command(ctx, p.Victim.WorkerID, ports.Command{
			Kind: ports.CommandPreempt, SessionID: p.Victim.SessionID,
			WorkloadID: p.Victim.WorkloadID, Generation: p.Victim.Generation,
			Reason: fmt.Sprintf("preempted by %s of tier %s", p.For.ID, p.Tier),
		})
	}
	return nil
}

// worthAsking reports whether some waiting workload may ask, and some workload of a lower tier that
// may be asked is running. It spares the store most reads of what is running.
func (s *Service) worthAsking(
	v *view, full []domain.LaneHeads, asking func(domain.Candidate) (placement.Asking, placement.Running),
) bool {
	highest := 0
	for i := range full {
		for _, h := range full[i].Heads {
			if state, _ := asking(h); h.Generation == 0 && state == placement.MayAsk {
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

// running returns the running workloads that may be asked.
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
		recent := v.now.Before(s.requests.victims[h.WorkloadID].until)
		// The status of an ending run is that of its workload, which may run elsewhere.
		if h.Ending || h.Status != domain.StatusRunning || h.PauseRequested || h.HeldFor < spareFor || recent {
			continue
		}
		out = append(out, placement.Running{
			WorkloadID: h.WorkloadID, CustomerID: h.CustomerID, SessionID: h.SessionID, WorkerID: h.WorkerID,
			Lane: h.Lane, Generation: h.Generation, Since: v.now.Add(-h.HeldFor),
		})
	}
	return out, nil
}
