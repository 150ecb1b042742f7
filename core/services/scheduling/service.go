package scheduling

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// Deps are what the service stands on.
type Deps struct {
	Queue     ports.QueueStore
	Workers   ports.WorkerStore
	Workloads ports.WorkloadStore
	Customers ports.CustomerStore
	Applier   *transitions.Applier
	Notifier  ports.Notifier
	Observer  ports.Observer
	Clock     ports.Clock
	IDs       ports.IDs
	Leader    *leadership.Service
	Log       *slog.Logger
	// Holder names this coordinator in the audit trail.
	Holder string
}

// BatchSize bounds the assignments of one commit.
const BatchSize = 1000

// minHeads is how many heads of a lane are read at least.
const minHeads = 8

// Service is the scheduler. Tick is called by one loop.
type Service struct {
	Deps
	picks int
	lanes int // seen in the last cycle, to read about as many heads as a batch needs
}

// New returns the service.
func New(d Deps) *Service { return &Service{Deps: d} }

// Tick runs scheduling cycles until nothing more can be placed now, and returns how many were placed. A stale leader's
// commit fails with CodeFenced and places nothing.
func (s *Service) Tick(ctx context.Context) (placed int, err error) {
	for {
		claim, leading := s.Leader.Current()
		if !leading {
			return placed, nil
		}
		n, full, err := s.cycle(ctx, claim.Epoch)
		placed += n
		if err != nil || !full || n == 0 {
			return placed, err
		}
	}
}

// cycle places one batch; full tells that the batch was filled, so that there may be more to place.
func (s *Service) cycle(ctx context.Context, epoch int64) (placed int, full bool, err error) {
	start := s.Clock.Now()
	var c ports.SchedulingCycle
	planner, err := s.read(ctx, &c)
	if err != nil {
		return 0, false, err
	}
	readDone := s.Clock.Now()
	c.Read = readDone.Sub(start)
	if planner == nil {
		s.Observer.Cycle(c)
		return 0, false, nil
	}
	plan, err := s.plan(ctx, planner)
	if err != nil {
		return 0, false, err
	}
	planDone := s.Clock.Now()
	s.picks = planner.Picks()
	placed, err = s.commit(ctx, epoch, plan)
	if err != nil {
		return 0, false, err
	}
	c.Plan, c.Apply, c.Placed, c.Refused = planDone.Sub(readDone), s.Clock.Now().Sub(planDone), placed, len(plan)-placed
	s.Observer.Cycle(c)
	return placed, len(plan) == BatchSize, nil
}

// read takes the snapshot and describes it in c. The planner is nil when there is nothing to place or nowhere to place it.
func (s *Service) read(ctx context.Context, c *ports.SchedulingCycle) (*domain.Planner, error) {
	workers, err := s.Workers.List(ctx)
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
	snap := domain.Snapshot{Workers: workers, Picks: s.picks, Seed: uint64(s.picks)}
	if snap.Occupancy, err = s.Queue.Occupancy(ctx); err != nil {
		return nil, err
	}
	if c.FreeSlots = domain.NewPlanner(snap).FreeSlots(); c.FreeSlots == 0 {
		return nil, nil
	}
	want := min(c.FreeSlots, BatchSize)
	heads, err := s.Queue.Heads(ctx, max(minHeads, min(want, 2*want/max(s.lanes, 1))))
	if err != nil || len(heads) == 0 {
		return nil, err
	}
	s.lanes, c.Lanes = len(heads), len(heads)
	for i := range heads {
		if oldest := heads[i].Oldest; len(oldest) > 0 {
			c.OldestWait = max(c.OldestWait, s.Clock.Now().Sub(oldest[0].CreatedAt))
		}
	}
	if snap.Limits, err = s.limits(ctx, heads); err != nil {
		return nil, err
	}
	planner := domain.NewPlanner(snap)
	planner.Add(heads...)
	return planner, nil
}

func (s *Service) limits(ctx context.Context, heads []domain.LaneHeads) (map[domain.CustomerID]int, error) {
	running := make(map[domain.CustomerID]int)
	ids := make([]domain.CustomerID, 0, len(heads))
	for i := range heads {
		id := heads[i].Lane.CustomerID
		if _, seen := running[id]; !seen {
			running[id] = 0
			ids = append(ids, id)
		}
	}
	customers, err := s.Customers.GetMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	for id := range running {
		running[id] = customers[id].Limits().MaxConcurrent
	}
	return running, nil
}

// plan fills a batch, reading more heads of a lane that the planner ran out of.
func (s *Service) plan(ctx context.Context, planner *domain.Planner) ([]domain.Assignment, error) {
	var plan []domain.Assignment
	fetched := map[domain.LaneID]int{}
	for {
		more, exhausted := planner.Plan(BatchSize - len(plan))
		plan = append(plan, more...)
		if exhausted == "" || len(plan) == BatchSize || planner.FreeSlots() == 0 {
			return plan, nil
		}
		// The lane's planned workloads still wait in the store, so each look must reach behind them.
		n := max(fetched[exhausted]*4, 2*BatchSize)
		fetched[exhausted] = n
		heads, err := s.Queue.Heads(ctx, n, exhausted)
		if err != nil {
			return nil, err
		}
		planner.Add(heads...)
	}
}

// commit assigns and sends what was assigned.
func (s *Service) commit(ctx context.Context, epoch int64, plan []domain.Assignment) (int, error) {
	if len(plan) == 0 {
		return 0, nil
	}
	batch := domain.Batch{Epoch: epoch, Transitions: make([]domain.Transition, len(plan))}
	actor := domain.Actor{Kind: domain.ActorCoordinator, ID: s.Holder}
	for i, a := range plan {
		batch.Transitions[i] = domain.Transition{
			WorkloadID: a.WorkloadID, Event: domain.EventAssign, Generation: a.Generation,
			SessionID: a.SessionID, WorkerID: a.WorkerID, Actor: actor,
		}
	}
	results, err := s.Applier.Apply(ctx, batch)
	if err != nil {
		return 0, err
	}
	ids := make([]domain.WorkloadID, 0, len(results))
	for _, r := range results {
		if r.Outcome.OK() {
			ids = append(ids, r.WorkloadID)
			continue
		}
		s.Log.Debug("assignment not applied", "workload_id", r.WorkloadID, "outcome", r.Outcome, "reason", r.Reason)
	}
	return len(ids), s.Send(ctx, ids...)
}

// Send tells the workers that hold these workloads to run them. A workload that moved on meanwhile is left out.
func (s *Service) Send(ctx context.Context, ids ...domain.WorkloadID) error {
	if len(ids) == 0 {
		return nil
	}
	found, err := s.Workloads.Get(ctx, "", ids...)
	if err != nil {
		return err
	}
	byWorker := map[domain.WorkerID][]ports.Command{}
	for i := range found {
		if w := &found[i]; w.Status == domain.StatusScheduled {
			byWorker[w.WorkerID] = append(byWorker[w.WorkerID], AssignCommand(w))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byWorker)) {
		s.Notifier.Command(ctx, id, byWorker[id]...)
	}
	return nil
}

// AssignCommand carries all that a worker needs to run what it was assigned.
func AssignCommand(w *domain.Workload) ports.Command {
	return ports.Command{
		Kind: ports.CommandAssign, SessionID: w.SessionID, WorkloadID: w.ID, Generation: w.Generation,
		Assignment: &ports.Assignment{
			WorkloadID: w.ID, CustomerID: w.CustomerID, Type: w.Type, Generation: w.Generation,
			Input: w.Input, Labels: w.Labels, Config: w.Run.Config, Resources: w.Run.Resources,
			CheckpointIntervalMS: w.Run.CheckpointInterval.Milliseconds(),
			TimeoutMS:            w.Run.Timeout.Milliseconds(),
			MaxRetries:           w.Run.MaxRetries, Attempt: w.RetryCount,
			CheckpointSequence: w.CheckpointSequence, ProgressPercent: w.ProgressPercent,
		},
	}
}

// NextDue returns how long until the next delayed workload becomes eligible; ok is false when none will.
func (s *Service) NextDue(ctx context.Context) (in time.Duration, ok bool, err error) {
	at, err := s.Queue.NextDue(ctx)
	if err != nil || at.IsZero() {
		return 0, false, err
	}
	return max(at.Sub(s.Clock.Now()), 0), true, nil
}
