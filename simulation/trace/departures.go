package trace

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// In a replay with departures tasks arrive over time and wait until they are placed. They leave after
// as long as they lasted in the trace.

// Run is a task of the trace that has run.
type Run struct {
	Class int
	Lasts time.Duration
	Tier  domain.Tier
}

// tierOf returns the tier that stands for a quality of service in the trace.
func tierOf(qos string) domain.Tier {
	switch qos {
	case "LS": // latency sensitive
		return domain.TierPremium
	case "BE": // best effort
		return domain.TierFree
	}
	return domain.TierStandard
}

// customersOfTier is how many customers of each tier submit the jobs.
const customersOfTier = 4

// Job is a task of a replay with departures.
type Job struct {
	Run
	Customer domain.CustomerID
	Arrives  time.Duration
}

// Jobs returns n jobs in order of arrival: all runs of the trace in an order shuffled by the seed,
// then runs drawn again. They arrive evenly, at moments drawn by the seed, within the time in which
// they ask for this share of what all GPUs can give. They ask for no more than lies within that time.
func (t *Trace) Jobs(seed uint64, n int, share float64) []Job {
	rng := rand.New(rand.NewPCG(seed, 13))
	runs := slices.Clone(t.Runs)
	rng.Shuffle(len(runs), func(i, j int) { runs[i], runs[j] = runs[j], runs[i] })
	jobs, at := make([]Job, n), make([]float64, n)
	for i := range jobs {
		if i < len(runs) {
			jobs[i].Run = runs[i]
		} else {
			jobs[i].Run = t.Runs[rng.IntN(len(t.Runs))]
		}
		jobs[i].Customer = domain.CustomerID(string(jobs[i].Tier) + "-" + strconv.Itoa(rng.IntN(customersOfTier)))
		at[i] = rng.Float64()
	}
	slices.Sort(at)
	asked := func(span float64) (sum float64) {
		for i := range jobs {
			sum += t.Classes[jobs[i].Class].GPUs.Float() * min(jobs[i].Lasts.Seconds(), span*(1-at[i]))
		}
		return sum / (t.GPUs.Float() * span)
	}
	short, long := 1.0, 1e9 // what is asked for in a longer time is a smaller share of it
	for range 60 {
		if middle := (short + long) / 2; asked(middle) > share {
			short = middle
		} else {
			long = middle
		}
	}
	for i := range jobs {
		jobs[i].Arrives = time.Duration(at[i] * long * float64(time.Second))
	}
	return jobs
}

// cycleTime is the time between two scheduling cycles.
const cycleTime = 15 * time.Second

// cluster is a cluster that jobs are placed on.
type cluster interface {
	// start places some of the waiting jobs, which are in order of arrival, and returns them.
	start(now time.Duration, waiting []int) []int
	// end ends the run of a job.
	end(job int)
}

// Scheduler makes a cluster with its way to place jobs.
type Scheduler func(t *Trace, jobs []Job) cluster

// Waits replays the jobs in virtual time. It returns how long each of them waits.
func (t *Trace) Waits(jobs []Job, by Scheduler) []time.Duration {
	c := by(t, jobs)
	waits := make([]time.Duration, len(jobs))
	var waiting []int
	var running ends
	for now, arrived := time.Duration(0), 0; arrived < len(jobs) || len(waiting) > 0; now += cycleTime {
		for ; arrived < len(jobs) && jobs[arrived].Arrives <= now; arrived++ {
			waiting = append(waiting, arrived)
		}
		for len(running) > 0 && running[0].at <= now {
			c.end(heap.Pop(&running).(runEnd).job) //nolint:forcetypeassert // all items are
		}
		started := map[int]bool{}
		for _, i := range c.start(now, waiting) {
			waits[i], started[i] = now-jobs[i].Arrives, true
			heap.Push(&running, runEnd{now + jobs[i].Lasts, i})
		}
		waiting = slices.DeleteFunc(waiting, func(i int) bool { return started[i] })
	}
	return waits
}

type runEnd struct {
	at  time.Duration
	job int
}

// ends are the ends of what runs, as a heap.
type ends []runEnd

func (e ends) Len() int { return len(e) }
func (e ends) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].job < e[j].job
}
func (e ends) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *ends) Push(x any) { *e = append(*e, x.(runEnd)) } //nolint:forcetypeassert // all items are

// Pop implements heap.Interface.
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// BestFitQueue places the jobs in order of arrival by best fit. What does not fit waits, and holds
// nothing up.
func BestFitQueue(t *Trace, jobs []Job) cluster {
	return &packed{trace: t, jobs: jobs, nodes: t.emptyNodes(), runs: map[int]packedRun{}}
}

type packed struct {
	trace *Trace
	jobs  []Job
	nodes []*node
	runs  map[int]packedRun
}

type packedRun struct {
	node    int
	devices []domain.Milli // that it holds
}

func (p *packed) start(_ time.Duration, waiting []int) (started []int) {
	full := map[int]bool{} // classes of which no more fit
	for _, i := range waiting {
		class := p.jobs[i].Class
		if full[class] {
			continue
		}
		at, after := cheapest(p.nodes, class, &p.trace.Classes[class], bestFit, firstOfEquals)
		if after == nil {
			full[class] = true
			continue
		}
		r := packedRun{node: at, devices: slices.Clone(p.nodes[at].devices)}
		for k := range r.devices {
			r.devices[k] -= after.devices[k]
		}
		p.nodes[at], p.runs[i] = after, r
		started = append(started, i)
	}
	return started
}

func (p *packed) end(job int) {
	r, c := p.runs[job], &p.trace.Classes[p.jobs[job].Class]
	before := p.nodes[r.node]
	n := &node{model: before.model, devices: slices.Clone(before.devices), after: make([]option, len(before.after))}
	n.CPUCores, n.MemoryMB = before.CPUCores+c.CPUCores, before.MemoryMB+c.MemoryMB
	for k := range r.devices {
		n.devices[k] += r.devices[k]
	}
	p.nodes[r.node] = n
	delete(p.runs, job)
}

// PlannerQueue places the jobs with the planner of the product. The timeout of a job is twice as long
// as it lasts.
func PlannerQueue(policy domain.Policy) Scheduler {
	return func(t *Trace, jobs []Job) cluster {
		p := &planned{trace: t, jobs: jobs, runs: map[int]plannedRun{}, lanes: map[laneKey]domain.Lane{}}
		mix := t.Mix()
		slices.SortStableFunc(mix, func(a, b domain.MixClass) int { return int(b.Weight - a.Weight) })
		p.snapshot = placement.Snapshot{
			Policy: policy, Mix: mix[:min(len(mix), domain.MixLimit)], Workers: t.workers(),
			Customers: map[domain.CustomerID]domain.Entitlements{},
		}
		for i := range jobs {
			p.snapshot.Customers[jobs[i].Customer] = domain.Entitlements{Tier: jobs[i].Tier, MaxConcurrent: len(jobs)}
		}
		return p
	}
}

type planned struct {
	trace    *Trace
	jobs     []Job
	snapshot placement.Snapshot
	runs     map[int]plannedRun
	lanes    map[laneKey]domain.Lane
}

type plannedRun struct {
	session domain.SessionID
	devices []domain.DeviceShare
	endsBy  time.Time
}

type laneKey struct {
	customer domain.CustomerID
	class    int
}

func (p *planned) lane(job int) domain.Lane {
	k := laneKey{p.jobs[job].Customer, p.jobs[job].Class}
	l, known := p.lanes[k]
	if !known {
		l = domain.NewLane(&domain.Spec{
			CustomerID: k.customer, Type: "t", Run: domain.RunConfig{Resources: p.trace.Classes[k.class]},
			Priority: domain.DefaultPriority,
		})
		p.lanes[k] = l
	}
	return l
}

func moment(d time.Duration) time.Time { return time.Unix(0, 0).Add(d) }

func (p *planned) start(now time.Duration, waiting []int) (started []int) {
	s := &p.snapshot
	s.Now, s.Seed, s.Occupancy = moment(now), uint64(s.Placed), p.occupancy() //nolint:gosec // not negative
	heads := map[domain.LaneID]*domain.LaneHeads{}
	for _, i := range waiting {
		l := p.lane(i)
		if heads[l.ID] == nil {
			heads[l.ID] = &domain.LaneHeads{Lane: l}
		}
		heads[l.ID].Heads = append(heads[l.ID].Heads, domain.Candidate{
			ID: domain.WorkloadID(strconv.Itoa(i)), QueueAt: moment(p.jobs[i].Arrives), Timeout: 2 * p.jobs[i].Lasts,
		})
	}
	lanes := make([]domain.LaneHeads, 0, len(heads))
	for _, l := range heads {
		lanes = append(lanes, *l)
	}
	planner := placement.NewPlanner(*s)
	planner.Add(lanes...)
	plan, _ := planner.Plan(len(waiting))
	for _, d := range plan {
		i, _ := strconv.Atoi(string(d.WorkloadID)) // it is a number
		started = append(started, i)
		p.runs[i] = plannedRun{d.SessionID, d.Devices, domain.EndsBy(s.Now, 2*p.jobs[i].Lasts)}
	}
	s.Placed = planner.Placed()
	return started
}

// occupancy returns what the runs hold, by worker and lane.
func (p *planned) occupancy() []domain.Occupancy {
	type key struct {
		session domain.SessionID
		lane    domain.LaneID
	}
	index := map[key]int{}
	var out []domain.Occupancy
	for i, r := range p.runs {
		l := p.lane(i)
		k := key{r.session, l.ID}
		n, known := index[k]
		if !known {
			n = len(out)
			index[k], out = n, append(out, domain.Occupancy{SessionID: r.session, Lane: l})
		}
		out[n].Count++
		out[n].Expect(r.endsBy)
		out[n].Hold(r.devices, r.endsBy)
	}
	return out
}

func (p *planned) end(job int) { delete(p.runs, job) }
