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

// Config is the part of the configuration that concerns scheduling.
type Config struct {
	// Name is the name of this coordinator in the audit trail.
	Name string
	// Policy orders the queue.
	Policy domain.Policy
	// Preemption lets the service ask running workloads of a lower tier to make room.
	Preemption bool
	// AntiAcross are the workload types whose anti rules bind the work of every customer.
	AntiAcross []string
}

// Deps are the dependencies of the service.
type Deps struct {
	Queue   ports.QueueStore
	Insight ports.InsightStore
	// Statistics has the mix of what is submitted.
	Statistics ports.StatisticsStore
	Workers    ports.WorkerStore
	Workloads  ports.WorkloadStore
	Customers  ports.CustomerStore
	Applier    *transitions.Applier
	Notifier   ports.Notifier
	Observer   ports.Observer
	Clock      ports.Clock
	Leader     *leadership.Service
	Log        *slog.Logger
}

// BatchSize is the largest number of workloads that one commit assigns.
const BatchSize = 1000

const (
	// minHeads is how many heads of a lane are read at least.
	minHeads = 8
	// reviewInterval is the time between two reviews of the lanes that cannot be served. The queue
	// is read for them even when no slot is free.
	reviewInterval = 5 * time.Second
	// mixInterval is the time between two reads of the mix of what is submitted.
	mixInterval = time.Minute
)

// Service is the scheduler. Only one loop may call Tick. Full is safe for concurrent use.
type Service struct {
	cfg  Config
	deps Deps

	full   atomic.Bool // the last cycle found no free slot
	placed int         // workloads placed so far; see placement.Snapshot.Placed
	lanes  int         // lanes in the last cycle, to read about as many heads as a batch needs

	reviewed time.Time

	mix     []domain.MixClass
	mixRead time.Time

	// The fields that follow belong to one epoch. They are dropped when another one begins.
	epoch    int64
	shares   *placement.FairShare
	marked   map[domain.WorkloadID]mark // those that cannot be placed
	requests requests
	meter    meter
}

// New returns the service.
func New(cfg Config, deps Deps) *Service {
	return &Service{cfg: cfg, deps: deps, shares: placement.NewFairShare(), requests: newRequests()}
}

// Tick runs scheduling cycles until nothing more can be placed now. It returns the number of
// workloads placed. On a coordinator that does not lead it does nothing. If another coordinator has
// taken over in the meantime, the commit fails with CodeFenced and places nothing.
func (s *Service) Tick(ctx context.Context) (placed int, err error) {
	for {
		claim, leading := s.deps.Leader.Current()
		if !leading {
			return placed, nil
		}
		if claim.Epoch != s.epoch { // another coordinator may have led since
			s.epoch, s.shares, s.meter = claim.Epoch, placement.NewFairShare(), meter{}
			s.marked, s.requests = nil, newRequests()
		}
		n, full, err := s.cycle(ctx, claim.Epoch)
		placed += n
		if err != nil || !full || n == 0 {
			return placed, err
		}
	}
}

// Full reports whether the last cycle found no free slot. A submission is then no reason for
// another cycle: under load one cycle after the other would place nothing. A slot that becomes free
// or a worker that registers is.
func (s *Service) Full() bool { return s.full.Load() }

// cycle places one batch. full reports whether there may be more to place now.
func (s *Service) cycle(ctx context.Context, epoch int64) (placed int, full bool, err error) {
	start := s.deps.Clock.Now()
	var c ports.SchedulingCycle
	v, err := s.read(ctx, start, &c)
	if err != nil {
		return 0, false, err
	}
	readDone := s.deps.Clock.Now()
	c.Read = readDone.Sub(start)
	s.meter.advance(start)
	if v.planner == nil {
		if v.queueRead { // and nothing waits
			s.meter.note(nil)
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
	c.Plan, c.Apply, c.Placed, c.Refused = planDone.Sub(readDone), s.deps.Clock.Now().Sub(planDone), placed,
		len(plan)-placed
	if err != nil {
		s.deps.Observer.Cycle(c) // the workloads are placed, only the commands to their workers are missing
		return placed, false, err
	}
	if full = len(plan) == BatchSize; !full {
		passedOver := v.planner.PassedOver()
		c.Queue.PassedOver = countLanes(passedOver)
		s.meter.note(passedOver)
		err = s.review(ctx, epoch, v, passedOver, &c)
	}
	s.deps.Observer.Cycle(c)
	if err != nil {
		return placed, false, err
	}
	// A customer's lanes beyond the limit are considered once some of the others are served.
	full = full || c.Queue != nil && c.Queue.Cut > 0
	return placed, full, s.saveThroughput(ctx, start)
}

// plan fills a batch. When the planner exhausts a lane, plan reads more heads of it.
func (s *Service) plan(ctx context.Context, planner *placement.Planner) ([]placement.Decision, error) {
	var plan []placement.Decision
	fetched := map[domain.LaneID]int{}
	for {
		more, exhausted := planner.Plan(BatchSize - len(plan))
		plan = append(plan, more...)
		if exhausted == "" || len(plan) == BatchSize {
			return plan, nil
		}
		// The store still returns the workloads that are planned but not committed, so each read
		// must reach further than the one before.
		n := max(fetched[exhausted]*4, 2*BatchSize)
		fetched[exhausted] = n
		heads, err := s.deps.Queue.Heads(ctx, domain.HeadsQuery{N: n, Lanes: []domain.LaneID{exhausted}})
		if err != nil {
			return nil, err
		}
		planner.Add(heads.Lanes...)
	}
}

// NextDue returns the time until the next delayed workload becomes eligible. ok is false when no
// workload is delayed.
func (s *Service) NextDue(ctx context.Context) (in time.Duration, ok bool, err error) {
	return s.deps.Queue.NextDue(ctx)
}
