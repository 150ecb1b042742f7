package scheduling

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

// view is what one cycle works on.
type view struct {
	placement.Snapshot
	now       time.Time // by this process's clock; Snapshot.Now is by the store's
	heads     []domain.LaneHeads
	queueRead bool
	// planner is nil when the cycle ends here: nothing waits, or no slot is free and no review is
	// due.
	planner *placement.Planner
}

// read takes the snapshot of a cycle and describes it in c.
func (s *Service) read(ctx context.Context, now time.Time, c *ports.SchedulingCycle) (*view, error) {
	fleet, err := s.deps.Workers.Fleet(ctx)
	if err != nil {
		return nil, err
	}
	c.Workers = map[domain.WorkerStatus]int{}
	for i := range fleet.Workers {
		w := &fleet.Workers[i]
		c.Workers[w.Status]++
		if w.Status == domain.WorkerHealthy {
			c.Slots += w.Slots
		}
	}
	v := &view{now: now, Snapshot: placement.Snapshot{
		Now:     now,
		Workers: fleet.Workers, Occupancy: fleet.Occupancy, Placed: s.placed, Seed: uint64(s.placed),
		Policy: s.cfg.Policy, Shares: s.shares, AntiAcross: s.cfg.AntiAcross,
	}}
	for i := range v.Occupancy {
		c.EndingRuns += v.Occupancy[i].Ending
	}
	found := placement.NewPlanner(v.Snapshot)
	c.FreeSlots, c.Resources = found.FreeSlots(), found.Usage()
	s.full.Store(c.FreeSlots == 0)
	if c.FreeSlots == 0 && now.Sub(s.reviewed) < reviewInterval && !s.cfg.Preemption {
		return v, nil
	}
	v.queueRead = true
	want := min(c.FreeSlots, BatchSize)
	heads, err := s.deps.Queue.Heads(ctx, domain.HeadsQuery{
		N: max(minHeads, min(want, 2*want/max(s.lanes, 1))), Policy: s.cfg.Policy, Roster: domain.NewRoster(fleet.Workers),
	})
	if err != nil {
		return nil, err
	}
	v.heads = heads.Lanes
	if len(heads.Lanes) > 0 {
		v.Snapshot.Now = heads.Now // the times in the heads are by the store's clock
	}
	c.Queue = describe(heads, v.Snapshot.Now)
	if len(v.heads) == 0 && s.cfg.Policy != domain.PolicyFair {
		return v, nil
	}
	s.lanes = len(v.heads)
	if v.Customers, err = s.entitlements(ctx, v); err != nil {
		return nil, err
	}
	if s.cfg.Policy == domain.PolicyFair {
		s.settle(v)
	}
	v.Mix = s.readMix(ctx, v)
	v.planner = placement.NewPlanner(v.Snapshot)
	v.planner.Add(v.heads...)
	return v, nil
}

// readMix returns the mix of what is submitted, which may be mixInterval old, or older while it cannot be
// read: then work is placed all the same. It reads nothing while no worker has devices, for which alone
// the mix matters.
func (s *Service) readMix(ctx context.Context, v *view) []domain.MixClass {
	devices := slices.ContainsFunc(v.Workers, func(w domain.Worker) bool { return len(w.Resources.Devices) > 0 })
	if !devices || !s.mixRead.IsZero() && v.now.Sub(s.mixRead) < mixInterval {
		return s.mix
	}
	s.mixRead = v.now
	mix, err := s.deps.Statistics.Mix(ctx)
	if err != nil {
		s.deps.Log.Warn("the mix of what is submitted cannot be read, the last one serves on", "error", err)
		return s.mix
	}
	s.mix = mix
	return mix
}

// describe returns what the heads show of the queue.
func describe(heads domain.QueueHeads, now time.Time) *ports.QueueView {
	q := &ports.QueueView{Lanes: len(heads.Lanes), Aside: heads.Aside, Cut: heads.Cut}
	for i := range heads.Lanes {
		if hs := heads.Lanes[i].Heads; len(hs) > 0 {
			q.OldestWait = max(q.OldestWait, now.Sub(hs[0].QueueAt))
		}
	}
	return q
}

func countLanes(byObstacle map[domain.Obstacle][]domain.LaneHeads) map[domain.Obstacle]int {
	counts := map[domain.Obstacle]int{}
	for o, lanes := range byObstacle {
		counts[o] = len(lanes)
	}
	return counts
}

// entitlements reads the entitlements of every customer that has something waiting. With preemption
// it also reads those of the customers whose workloads run.
func (s *Service) entitlements(ctx context.Context, v *view) (map[domain.CustomerID]domain.Entitlements, error) {
	entitlements := map[domain.CustomerID]domain.Entitlements{}
	ids := make([]domain.CustomerID, 0, len(v.heads))
	add := func(id domain.CustomerID) {
		if _, seen := entitlements[id]; !seen {
			entitlements[id] = domain.Entitlements{}
			ids = append(ids, id)
		}
	}
	for i := range v.heads {
		add(v.heads[i].Lane.CustomerID)
	}
	if s.cfg.Preemption {
		for i := range v.Occupancy {
			add(v.Occupancy[i].Lane.CustomerID)
		}
	}
	customers, err := s.deps.Customers.GetMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	for id := range entitlements {
		entitlements[id] = customers[id].Entitlements()
	}
	return entitlements, nil
}

// settle brings the shares of the customers up to date.
func (s *Service) settle(v *view) {
	running := make(map[domain.CustomerID]int)
	for i := range v.Occupancy {
		o := &v.Occupancy[i]
		running[o.Lane.CustomerID] += o.Count + o.Ending // a run that is ending still uses its slot
	}
	waiting := make(map[domain.CustomerID]domain.Entitlements, len(v.heads))
	for i := range v.heads {
		id := v.heads[i].Lane.CustomerID
		if !v.Customers[id].Suspended { // it earns no share of what it may not use
			waiting[id] = v.Customers[id]
		}
	}
	s.shares.Settle(v.now, running, waiting)
}
