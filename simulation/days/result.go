package days

import (
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// record holds the times and places of one workload in the queue.
type record struct {
	customer  int // index into Config.Customers
	priority  int
	submitted time.Time
	waited    time.Duration
	ahead     int // the number of workloads that were waiting when it was submitted
	before    int // the number of placements before it was submitted
	index     int // the number of placements before it was placed
}

// reserved reports whether the placement was one that is reserved for the longest wait. The fair
// policy has no such placements.
func (p *record) reserved() bool { return (p.index+1)%placement.LongestWaitShare == 0 }

// Result is what a run measures.
type Result struct {
	cfg Config
	// Refused counts the transitions that were not applied. There should be none.
	Refused int
	// Series are the samples, in order of time.
	Series []Sample

	placements []record
	waiting    []int // now, by customer
	waitingNow int   // all of them
	running    []int
	runningNow int
	held       []float64 // slot-seconds so far, by customer

	workers, desired int     // as the autoscaler saw them last
	offered          float64 // worker-seconds so far
}

// Sample is the state at one time.
type Sample struct {
	At      time.Duration
	Waiting []int     // by customer
	Held    []float64 // slot-seconds since the beginning, by customer
	// Running is the number of slots in use. Workers and Desired are of an elastic fleet.
	Running, Workers, Desired int
}

func newResult(cfg Config) *Result {
	n := len(cfg.Customers)
	return &Result{cfg: cfg, waiting: make([]int, n), running: make([]int, n), held: make([]float64, n)}
}

// pass adds the slot-seconds that are held while d passes.
func (r *Result) pass(d time.Duration) {
	for i := range r.running {
		r.held[i] += float64(r.running[i]) * d.Seconds()
	}
	r.offered += float64(r.workers) * d.Seconds()
}

// fleet takes how many workers take new work, and how many there should be.
func (r *Result) fleet(workers, desired int) { r.workers, r.desired = workers, desired }

// UtilisationOfElastic returns the part of the slot-time of an elastic fleet that was used.
func (r *Result) UtilisationOfElastic() float64 {
	return sum(r.held) / (r.offered * float64(r.cfg.Elastic.Pool.Slots))
}

func (r *Result) wait(i, n int) {
	r.waiting[i] += n
	r.waitingNow += n
}

func (r *Result) placed(p *record, now time.Time) {
	p.index, p.waited = len(r.placements), now.Sub(p.submitted)
	r.placements = append(r.placements, *p)
	r.hold(p, 1)
}

func (r *Result) ended(p *record) { r.hold(p, -1) }

func (r *Result) hold(p *record, n int) {
	r.running[p.customer] += n
	r.runningNow += n
}

func (r *Result) sample(at time.Duration) {
	r.Series = append(r.Series, Sample{
		at, slices.Clone(r.waiting), slices.Clone(r.held), r.runningNow, r.workers, r.desired,
	})
}

// Placed returns the number of workloads placed.
func (r *Result) Placed() int { return len(r.placements) }

// Shares returns the part of the used slot-time that each customer had. The parts add up to 1.
func (r *Result) Shares() []float64 { return over(r.held, sum(r.held)) }

// Utilisation returns the part of all slot-time that was used.
func (r *Result) Utilisation() float64 {
	return sum(r.held) / (r.cfg.Length.Seconds() * float64(r.cfg.Workers*r.cfg.Slots))
}

// anyPriority matches all priorities.
const anyPriority = -1

// Waits returns how long the workloads of one tier and priority waited, shortest first.
func (r *Result) Waits(t domain.Tier, priority int) []time.Duration {
	var ds []time.Duration
	for i := range r.placements {
		if p := &r.placements[i]; r.cfg.Customers[p.customer].Tier == t &&
			(priority == anyPriority || priority == p.priority) {
			ds = append(ds, p.waited)
		}
	}
	slices.Sort(ds)
	return ds
}

// Quantile returns the quantile q of sorted durations. It returns 0 if there are none.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// WaitOfBound returns the longest wait of all workloads as a fraction of the promised bound. Waits
// are counted in placements. The bound is LongestWaitShare placements for the workload itself and
// as many for each workload that waited when it was submitted. Under the fair policy only the
// customer's own placements count.
func (r *Result) WaitOfBound() float64 {
	most := 0.0
	for i := range r.placements {
		p := &r.placements[i]
		took := p.index - p.before + 1
		most = max(most, float64(took)/float64((p.ahead+1)*placement.LongestWaitShare))
	}
	return most
}

// Weights returns the shares that the customers are entitled to by the weights of their tiers.
func (r *Result) Weights() []float64 {
	ws := make([]float64, len(r.cfg.Customers))
	for i, c := range r.cfg.Customers {
		ws[i] = float64(c.Tier.Weight())
	}
	return over(ws, sum(ws))
}

func sum(xs []float64) float64 {
	s := 0.0
	for _, x := range xs {
		s += x
	}
	return s
}

func over(xs []float64, total float64) []float64 {
	ys := make([]float64, len(xs))
	for i, x := range xs {
		if total > 0 {
			ys[i] = x / total
		}
	}
	return ys
}
