package scheduling

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// Config is what an operator sets.
type Config struct {
	// Name is this coordinator's, for the audit trail.
	Name string
	// Policy orders the queue.
	Policy domain.Policy
	// Preemption lets a waiting workload ask one of a lower tier to checkpoint and make room.
	Preemption bool
	// AntiAcross are the types whose anti rules bind every customer's work.
	AntiAcross []string
}

// Deps are what the service stands on.
type Deps struct {
	Queue     ports.QueueStore
	Insight   ports.InsightStore
	Workers   ports.WorkerStore
	Workloads ports.WorkloadStore
	Customers ports.CustomerStore
	Applier   *transitions.Applier
	Notifier  ports.Notifier
	Observer  ports.Observer
	Clock     ports.Clock
	Leader    *leadership.Service
	Log       *slog.Logger
}

// BatchSize bounds the assignments of one commit.
const BatchSize = 1000

const (
	// minHeads is how many heads of a lane are read at least.
	minHeads = 8
	// surveyEvery is how often the queue is looked at though no slot is free, and what cannot be placed is marked.
	surveyEvery = 5 * time.Second
)

// Service is the scheduler. Tick is called by one loop; Full is safe for concurrent use.
type Service struct {
	cfg  Config
	deps Deps

	full   atomic.Bool // the last cycle found every slot taken
	placed int
	lanes  int // seen in the last cycle, to read about as many heads as a batch needs
	shares *placement.FairShare
	epoch  int64 // that what is remembered belongs to

	unsent   []domain.WorkloadID // assigned, but not told to their workers, because the store was away meanwhile
	surveyed time.Time
	forgot   time.Time
	marked   map[domain.WorkloadID]string // why it cannot be placed, as audited
	asked    requests
	meter    meter
}

// New returns the service.
func New(cfg Config, deps Deps) *Service {
	return &Service{cfg: cfg, deps: deps, shares: placement.NewFairShare(), asked: newRequests()}
}

// Tick runs scheduling cycles until nothing more can be placed now, and returns how many were placed. A stale leader's
// commit fails with CodeFenced and places nothing.
func (s *Service) Tick(ctx context.Context) (placed int, err error) {
	for {
		claim, leading := s.deps.Leader.Current()
		if !leading {
			return placed, nil
		}
		if claim.Epoch != s.epoch { // what was remembered is from before somebody else led
			s.epoch, s.shares, s.marked, s.asked, s.meter, s.unsent = claim.Epoch, placement.NewFairShare(), nil, newRequests(), meter{}, nil
		}
		if err := s.Send(ctx, s.unsent...); err != nil {
			return placed, err
		}
		s.unsent = nil
		n, full, err := s.cycle(ctx, claim.Epoch)
		placed += n
		if err != nil || !full || n == 0 {
			return placed, err
		}
	}
}

// Full reports whether the last cycle found every slot taken. Until one gets free, or a worker comes, another submission is no reason
// for another cycle: under load there would be one after the other that places nothing.
func (s *Service) Full() bool { return s.full.Load() }

// view is what a cycle works on.
type view struct {
	placement.Snapshot
	now     time.Time
	planner *placement.Planner
	heads   []domain.LaneHeads
	survey  bool
}

// cycle places one batch; full tells that the batch was filled, so that there may be more to place.
func (s *Service) cycle(ctx context.Context, epoch int64) (placed int, full bool, err error) {
	start := s.deps.Clock.Now()
	var c ports.SchedulingCycle
	v, err := s.read(ctx, start, &c)
	if err != nil {
		return 0, false, err
	}
	readDone := s.deps.Clock.Now()
	c.Read = readDone.Sub(start)
	s.meter.pass(start)
	if v.planner == nil {
		if c.FreeSlots > 0 || v.survey { // the queue was looked at, and nothing waits
			s.meter.look(nil)
		}
		s.deps.Observer.Cycle(c)
		return 0, false, s.saveThroughput(ctx, start)
	}
	plan, err := s.plan(ctx, v.planner)
	if err != nil {
		return 0, false, err
	}
	planDone := s.deps.Clock.Now()
	s.placed = v.planner.Placed()
	placed, err = s.commit(ctx, epoch, v, plan, &c)
	if err != nil && placed == 0 {
		return 0, false, err
	}
	c.Plan, c.Apply, c.Placed, c.Refused = planDone.Sub(readDone), s.deps.Clock.Now().Sub(planDone), placed, len(plan)-placed
	if err != nil {
		s.deps.Observer.Cycle(c) // placed all the same, only not told to the workers yet
		return placed, false, err
	}
	if full = len(plan) == BatchSize; !full {
		c.Queue.PassedOver = passedOver(v.planner)
		s.meter.look(v.planner.PassedOver())
		err = s.survey(ctx, epoch, v, &c)
	}
	s.deps.Observer.Cycle(c)
	if err != nil {
		return placed, false, err
	}
	// Of a customer's lanes beyond the bound others are considered once these are served.
	full = full || c.Queue != nil && c.Queue.Cut > 0
	return placed, full, s.saveThroughput(ctx, start)
}

// read takes the snapshot and describes it in c. There is no planner when there is nothing to place or nowhere to place it.
func (s *Service) read(ctx context.Context, now time.Time, c *ports.SchedulingCycle) (*view, error) {
	workers, err := s.deps.Workers.List(ctx)
	if err != nil {
		return nil, err
	}
	c.Workers = map[domain.WorkerStatus]int{}
	for i := range workers {
		c.Workers[workers[i].Status]++
		if workers[i].Status == domain.WorkerHealthy {
			c.Slots += workers[i].Slots
		}
	}
	v := &view{now: now, Snapshot: placement.Snapshot{
		Now:     now,
		Workers: workers, Placed: s.placed, Seed: uint64(s.placed), Policy: s.cfg.Policy, Shares: s.shares, AntiAcross: s.cfg.AntiAcross,
	}}
	if v.Occupancy, err = s.deps.Queue.Occupancy(ctx); err != nil {
		return nil, err
	}
	for i := range v.Occupancy {
		c.EndingRuns += v.Occupancy[i].Ending
	}
	c.FreeSlots = placement.NewPlanner(v.Snapshot).FreeSlots()
	s.full.Store(c.FreeSlots == 0)
	v.survey = now.Sub(s.surveyed) >= surveyEvery || s.cfg.Preemption
	if c.FreeSlots == 0 && !v.survey {
		return v, nil
	}
	want := min(c.FreeSlots, BatchSize)
	heads, err := s.deps.Queue.Heads(ctx, domain.HeadsQuery{
		N: max(minHeads, min(want, 2*want/max(s.lanes, 1))), Policy: s.cfg.Policy, Roster: domain.NewRoster(workers),
	})
	if err != nil {
		return nil, err
	}
	v.heads = heads.Lanes
	if len(heads.Lanes) > 0 {
		v.Snapshot.Now = heads.Now // what the heads say is by the store's clock; this process's may be wrong
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
	v.planner = placement.NewPlanner(v.Snapshot)
	v.planner.Add(v.heads...)
	return v, nil
}

// describe says what the heads show of the queue.
func describe(heads domain.QueueHeads, now time.Time) *ports.QueueView {
	q := &ports.QueueView{Lanes: len(heads.Lanes), Aside: heads.Aside, Cut: heads.Cut}
	for i := range heads.Lanes {
		if hs := heads.Lanes[i].Heads; len(hs) > 0 {
			q.OldestWait = max(q.OldestWait, now.Sub(hs[0].QueueAt))
		}
	}
	return q
}

func passedOver(p *placement.Planner) map[domain.Obstacle]int {
	counts := map[domain.Obstacle]int{}
	for o, lanes := range p.PassedOver() {
		counts[o] = len(lanes)
	}
	return counts
}

// entitlements reads those of every customer that has something waiting; where others may be asked to make room, also of those that run.
func (s *Service) entitlements(ctx context.Context, v *view) (map[domain.CustomerID]domain.Entitlements, error) {
	entitlements := make(map[domain.CustomerID]domain.Entitlements)
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

// settle brings the shares up to date.
func (s *Service) settle(v *view) {
	running := make(map[domain.CustomerID]int)
	for i := range v.Occupancy {
		o := &v.Occupancy[i]
		running[o.Lane.CustomerID] += o.Count + o.Ending // slot-time, whoever keeps the slot
	}
	waiting := make(map[domain.CustomerID]domain.Entitlements, len(v.heads))
	for i := range v.heads {
		id := v.heads[i].Lane.CustomerID
		waiting[id] = v.Customers[id]
	}
	s.shares.Settle(v.now, running, waiting)
}

// plan fills a batch, reading more heads of a lane that the planner ran out of.
func (s *Service) plan(ctx context.Context, planner *placement.Planner) ([]placement.Decision, error) {
	var plan []placement.Decision
	fetched := map[domain.LaneID]int{}
	for {
		more, exhausted := planner.Plan(BatchSize - len(plan))
		plan = append(plan, more...)
		if exhausted == "" || len(plan) == BatchSize {
			return plan, nil
		}
		if planner.FreeSlots() == 0 {
			continue // the other lanes learn why they are passed over
		}
		// The lane's planned workloads still wait in the store, so each look must reach behind them.
		n := max(fetched[exhausted]*4, 2*BatchSize)
		fetched[exhausted] = n
		heads, err := s.deps.Queue.Heads(ctx, domain.HeadsQuery{N: n, Lanes: []domain.LaneID{exhausted}})
		if err != nil {
			return nil, err
		}
		planner.Add(heads.Lanes...)
	}
}

// NextDue returns how long until the next delayed workload becomes eligible; ok is false when none will.
func (s *Service) NextDue(ctx context.Context) (in time.Duration, ok bool, err error) {
	at, err := s.deps.Queue.NextDue(ctx)
	if err != nil || at.IsZero() {
		return 0, false, err
	}
	return max(at.Sub(s.deps.Clock.Now()), 0), true, nil
}
