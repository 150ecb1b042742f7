package days

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

// Config describes a run.
type Config struct {
	Seed    uint64
	Policy  domain.Policy
	Workers int
	Slots   int // of each
	// Elastic, if set, has an autoscaler start the workers and let them go. Workers and Slots are
	// unused then.
	Elastic   *Elastic
	Customers []Customer
	// Grain is the shortest time between two runs of the scheduler. A few seconds change little in
	// waits of hours, and save most of the cycles of a day.
	Grain time.Duration
	// Length is the time in which customers submit work.
	Length time.Duration
	// Drain lets the run go on after Length until all work is done.
	Drain bool
	// Samples is the number of points in the series of the result.
	Samples int
}

const (
	workType = "work"
	// forever is the lease of the workers and of the leader. It is so long that none expires.
	forever = 1000 * 24 * time.Hour
	// depth is the queue depth of every customer. It is so large that no submission is refused.
	depth = 10_000_000
)

var begin = time.Unix(1_700_000_000, 0).UTC()

// assignment is an assign command with the worker that it was sent to.
type assignment struct {
	ports.Command
	worker domain.WorkerID
}

// job is one workload.
type job struct {
	record
	duration time.Duration
}

// world is the state of a run.
type world struct {
	Config
	clock       *clock
	timeline    timeline
	sources     []*source
	stores      ports.Stores
	coordinator *coordinator.Coordinator

	ids      uint64
	jobs     map[domain.WorkloadID]*job
	woken    bool         // the scheduler was woken, and has not run since
	planned  bool         // the next run of the scheduler is on the timeline
	assigned []assignment // commands sent by the scheduler and not started yet
	refill   []int        // customers with a backlog, one entry for each workload that was placed
	result   *Result
	fleet    *autoscaler // nil: the workers stay
}

// Run simulates the configured time and returns what it measured.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	w := &world{Config: cfg, clock: &clock{begin}, jobs: map[domain.WorkloadID]*job{}, result: newResult(cfg)}
	w.stores = memory.NewStore(w.clock).Stores()
	var pools []domain.Pool
	if cfg.Elastic != nil {
		w.fleet = &autoscaler{Elastic: *cfg.Elastic, held: map[domain.WorkerID]int{}}
		pools = []domain.Pool{cfg.Elastic.Pool}
	}
	w.coordinator = coordinator.New(coordinator.Config{
		WorkerLease: forever, LeaderTTL: forever, Policy: cfg.Policy, Pools: pools,
	}, w.stores, coordinator.Signals{Notifier: notifier{w}}, coordinator.Host{
		Name: "c", Clock: w.clock, IDs: ids{w}, Observer: observer{w}, Log: slog.New(slog.DiscardHandler),
	})
	if err := w.open(ctx); err != nil {
		return nil, err
	}
	return w.result, w.run(ctx)
}

// open elects the leader, registers the workers and starts the customers.
func (w *world) open(ctx context.Context) error {
	if _, err := w.coordinator.Leadership.Tick(ctx); err != nil {
		return err
	}
	for i := range w.Workers {
		_, err := w.stores.Workers.Register(ctx, domain.Registration{
			WorkerID: domain.WorkerID(fmt.Sprint("worker-", i)), SessionID: domain.SessionID(w.newID("s_")),
			Capabilities: []string{workType}, Slots: w.Slots,
		}, forever)
		if err != nil {
			return fmt.Errorf("register a worker: %w", err)
		}
	}
	if w.fleet != nil {
		w.scale(ctx)
	}
	for i, c := range w.Customers {
		if _, err := w.stores.Customers.Create(ctx, domain.Customer{
			ID: c.ID, Name: string(c.ID), Tier: c.Tier, Overrides: domain.Limits{MaxConcurrent: c.MaxConcurrent,
				MaxQueueDepth: depth},
		}, domain.Admin{KeyID: "key_operator"}); err != nil {
			return fmt.Errorf("create a customer: %w", err)
		}
		w.sources = append(w.sources, &source{c, rand.New(rand.NewPCG(w.Seed, uint64(i)))})
		w.start(ctx, i)
	}
	w.sample(0)
	return nil
}

// start plans the first submissions of a customer.
func (w *world) start(ctx context.Context, i int) {
	s := w.sources[i]
	if s.Rate != nil {
		w.arrive(ctx, i, 0)
	}
	for _, at := range s.At {
		w.timeline.plan(begin.Add(at), func() error { return w.submit(ctx, i) })
	}
	if s.Backlog > 0 {
		w.timeline.plan(begin, func() error {
			for range s.Backlog {
				if err := w.submit(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// arrive plans the next arrival after a time.
func (w *world) arrive(ctx context.Context, i int, after time.Duration) {
	next := w.sources[i].nextArrival(after)
	if next >= w.Length {
		return
	}
	w.timeline.plan(begin.Add(next), func() error {
		w.arrive(ctx, i, next)
		return w.submit(ctx, i)
	})
}

// run moves the clock from event to event. After all events of one time it runs the scheduler, if
// that is due.
func (w *world) run(ctx context.Context) error {
	end := begin.Add(w.Length)
	for {
		at, more := w.timeline.next()
		if !more || at.After(end) && !w.Drain {
			w.pass(end)
			return nil
		}
		w.pass(at)
		for more && at.Equal(w.clock.now) {
			if err := w.timeline.take()(); err != nil {
				return err
			}
			at, more = w.timeline.next()
		}
		if err := w.schedule(ctx); err != nil {
			return err
		}
	}
}

// pass moves the clock to a time.
func (w *world) pass(to time.Time) {
	w.result.pass(to.Sub(w.clock.now))
	w.clock.now = to
}

// due reports whether the scheduler must run now. If it must run later, due plans that.
func (w *world) due() bool {
	if !w.woken || w.fleet == nil && w.result.runningNow == w.Workers*w.Slots {
		return false // no slot is free, and the end of a run wakes the scheduler again
	}
	late := w.clock.now.Sub(begin) % w.Grain
	if late == 0 {
		return true
	}
	if !w.planned {
		w.planned = true
		w.timeline.plan(w.clock.now.Add(w.Grain-late), func() error {
			w.planned = false
			return nil
		})
	}
	return false
}

// schedule runs the scheduler, starts the assigned workloads, and refills the backlogs. It repeats
// that until every slot is taken or nothing waits.
func (w *world) schedule(ctx context.Context) error {
	for w.due() {
		w.woken = false
		if _, err := w.coordinator.Scheduler.Tick(ctx); err != nil {
			return fmt.Errorf("schedule: %w", err)
		}
		if err := w.take(ctx); err != nil {
			return err
		}
		refill := w.refill
		w.refill = nil
		for _, i := range refill {
			if err := w.submit(ctx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// take reports the start of each assignment, and plans the end of its run.
func (w *world) take(ctx context.Context) error {
	for _, c := range w.assigned {
		if err := w.report(ctx, c, domain.EventStart); err != nil {
			return err
		}
		w.hold(c.worker, 1)
		w.timeline.plan(
			w.clock.now.Add(w.jobs[c.WorkloadID].duration),
			func() error { w.hold(c.worker, -1); return w.report(ctx, c, domain.EventComplete) },
		)
	}
	w.assigned = w.assigned[:0]
	return nil
}

// report sends a worker's report about an assignment. It fails if the report is not applied.
func (w *world) report(ctx context.Context, a assignment, e domain.Event) error {
	ref := ports.SessionRef{WorkerID: a.worker, SessionID: a.SessionID}
	answers, err := w.coordinator.Plane.Report(
		ctx, ref, []ports.Report{{WorkloadID: a.WorkloadID, Generation: a.Generation, Event: e}},
	)
	if err == nil && answers[0].Outcome != domain.OutcomeApplied {
		err = fmt.Errorf("%s %s", answers[0].Outcome, answers[0].Reason)
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", e, a.WorkloadID, err)
	}
	return nil
}

// submit submits one workload of a customer.
func (w *world) submit(ctx context.Context, i int) error {
	s := w.sources[i]
	id := domain.WorkloadID(w.newID("wl_"))
	j := &job{
		record{customer: i, priority: s.priority(), submitted: w.clock.now, ahead: w.result.waitingNow,
			before: len(w.result.placements)},
		s.Duration.draw(s.rng),
	}
	w.jobs[id] = j
	res, err := w.stores.Workloads.Submit(ctx, []domain.Submission{{
		Spec: domain.Spec{ID: id, CustomerID: s.ID, Type: workType, Run: domain.DefaultRunConfig(), Priority: j.priority},
	}})
	if err == nil && res[0].Status != domain.Admitted {
		err = fmt.Errorf("status %d", res[0].Status)
	}
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	w.result.wait(i, 1)
	w.woken = true
	return nil
}

// placed records a placement.
func (w *world) placed(id domain.WorkloadID) {
	j := w.jobs[id]
	w.result.wait(j.customer, -1)
	w.result.placed(&j.record, w.clock.now)
	if w.sources[j.customer].Backlog > 0 {
		w.refill = append(w.refill, j.customer)
	}
}

// sample plans the samples of the series.
func (w *world) sample(n int) {
	if n > w.Samples || w.Samples == 0 {
		return
	}
	at := w.Length * time.Duration(n) / time.Duration(w.Samples)
	w.timeline.plan(begin.Add(at), func() error {
		w.result.sample(at)
		w.sample(n + 1)
		return nil
	})
}

// newID returns ids that sort by creation.
func (w *world) newID(prefix string) string {
	w.ids++
	var b [16]byte
	binary.BigEndian.PutUint64(b[8:], w.ids)
	return domain.EncodeID(prefix, b)
}

// ids implements ports.IDs.
type ids struct{ w *world }

// New implements ports.IDs.
func (i ids) New(prefix string) string { return i.w.newID(prefix) }

// Random implements ports.IDs. The simulation needs no secrets.
func (ids) Random([]byte) {}

// Float64 implements ports.IDs. The simulation needs no jitter.
func (ids) Float64() float64 { return 0 }

// notifier receives the commands to the workers and the wake-ups of the leader.
type notifier struct{ w *world }

// Command implements ports.Notifier.
func (n notifier) Command(_ context.Context, worker domain.WorkerID, cs ...ports.Command) {
	for _, c := range cs {
		n.w.assigned = append(n.w.assigned, assignment{c, worker})
	}
}

// Wake implements ports.Notifier.
func (n notifier) Wake(context.Context, string) { n.w.woken = true }

// Updated implements ports.Notifier.
func (notifier) Updated(context.Context, ...ports.Update) {}

// observer records placements and ends of runs.
type observer struct{ w *world }

// Transitioned implements ports.Observer.
func (o observer) Transitioned(b domain.Batch, rs []domain.Result, _ time.Duration) {
	for i := range rs {
		switch e := b.Transitions[i].Event; {
		case rs[i].Outcome != domain.OutcomeApplied:
			o.w.result.Refused++
		case e == domain.EventAssign:
			o.w.placed(rs[i].WorkloadID)
		case e == domain.EventComplete:
			o.w.result.ended(&o.w.jobs[rs[i].WorkloadID].record)
			delete(o.w.jobs, rs[i].WorkloadID)
		}
	}
}

// Submitted implements ports.Observer.
func (observer) Submitted(domain.Tier, []ports.SubmitResult, time.Duration) {}

// Checkpointed implements ports.Observer.
func (observer) Checkpointed(ports.CheckpointAttempt) {}

// Cycle implements ports.Observer.
func (observer) Cycle(ports.SchedulingCycle) {}

// Leader implements ports.Observer.
func (observer) Leader(bool, int64) {}

// Purged implements ports.Observer.
func (observer) Purged(domain.Kept, int) {}

// Count implements ports.Observer.
func (observer) Count(string, int) {}
