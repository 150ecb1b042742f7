package domain

import (
	"math"
	"slices"
	"time"
)

// PoolDemand is what there is to do for a pool. All of it wants the same of a worker.
type PoolDemand struct {
	// Fit is how many such workloads an empty worker can run at once, at least 1.
	Fit int
	// Running takes slots of the pool's workers now. Waiting may be placed now.
	Running, Waiting int
	// Waited is how long the first of the waiting ones has waited, Objective how long one should wait
	// at most.
	Waited, Objective time.Duration
	// Duration is how long such a workload runs; 0 if that is not known.
	Duration time.Duration
}

// slots returns how many slots the waiting workloads need, so that the last of them starts within the
// objective. One slot runs several in turn if they are short. If it is not known how long they run,
// or if the first has waited too long already, each needs a slot of its own.
func (d *PoolDemand) slots() int {
	left := d.Objective - d.Waited
	if d.Duration <= 0 || left <= 0 {
		return d.Waiting
	}
	turns := 1 + int64(left/d.Duration)
	return int((int64(d.Waiting) + turns - 1) / turns)
}

// DesiredWorkers returns how many workers the pool needs: so many that what runs, and what must start
// soon, uses TargetPercent of their slots. It is between MinWorkers and MaxWorkers, but never less
// than what runs needs, so that no worker is taken away under its work because the bound was lowered.
func (p *Pool) DesiredWorkers(demands []PoolDemand) int {
	var running, all float64 // in workers
	for i := range demands {
		d := &demands[i]
		running += float64(d.Running) / float64(d.Fit)
		all += float64(d.Running+d.slots()) / float64(d.Fit)
	}
	desired := roundUp(100 * all / float64(p.TargetPercent))
	return max(min(max(desired, p.MinWorkers), p.MaxWorkers), roundUp(running))
}

// roundUp returns the least whole number that is not below x. It takes a whole number for itself
// although it is the sum of parts that no float holds exactly.
func roundUp(x float64) int { return int(math.Ceil(x - 1e-6)) }

// FleetLoad is what there is to do, and what does it.
type FleetLoad struct {
	Now time.Time
	// Lanes have what waits and may be placed; see Backlog.Placeable.
	Lanes        []LaneBacklog
	Entitlements map[CustomerID]Entitlements
	Workers      []Worker
	Occupancy    []Occupancy
	// Durations has the mean duration of runs by workload type, as far as it is known.
	Durations map[string]time.Duration
}

// PoolScale says how large a pool is and how large it should be.
type PoolScale struct {
	Name string
	// Waiting counts the workloads that may be placed and that the pool's workers could run.
	Waiting int
	// Running counts the slots of the pool's workers that are taken, and Capacity all slots of those of
	// its workers that take new work.
	Running, Capacity int
	// Workers is how many workers take new work.
	Workers, DesiredWorkers int
	// OldestWait is the longest wait among Waiting.
	OldestWait time.Duration
}

// ScalePools says of each pool how large it should be. What several pools could run counts for the
// first of them. What no pool could run counts for none, so that nobody scales the fleet with invented
// types. Work that runs counts for the pool of its worker.
func ScalePools(pools []Pool, f *FleetLoad) []PoolScale {
	out, demands := make([]PoolScale, len(pools)), make([][]PoolDemand, len(pools))
	for i := range pools {
		out[i].Name = pools[i].Name
	}
	fits := fits{pools: pools, byShape: map[string][]int{}}
	for i := range f.Lanes {
		l := &f.Lanes[i]
		for n, fit := range fits.of(&l.Lane) {
			if fit == 0 {
				continue
			}
			d := PoolDemand{
				Fit: fit, Waiting: l.Waiting, Waited: max(f.Now.Sub(l.Oldest), 0),
				Objective: f.Entitlements[l.Lane.CustomerID].Tier.WaitObjective(), Duration: f.Durations[l.Lane.Type],
			}
			demands[n] = append(demands[n], d)
			out[n].Waiting += d.Waiting
			out[n].OldestWait = max(out[n].OldestWait, d.Waited)
			break
		}
	}
	poolOfSession := make(map[SessionID]int, len(f.Workers))
	for i := range f.Workers {
		w := &f.Workers[i]
		n := poolOf(pools, w)
		if n < 0 || !w.Live() {
			continue
		}
		poolOfSession[w.SessionID] = n
		if w.Status == WorkerHealthy {
			out[n].Workers++
			out[n].Capacity += w.Slots
		}
	}
	for i := range f.Occupancy {
		o := &f.Occupancy[i]
		n, ok := poolOfSession[o.SessionID]
		if !ok {
			continue
		}
		held := o.Count + o.Ending
		// A worker that is larger than the pool says may run what no worker of the pool could.
		demands[n] = append(demands[n], PoolDemand{Fit: max(fits.of(&o.Lane)[n], 1), Running: held})
		out[n].Running += held
	}
	for i := range pools {
		out[i].DesiredWorkers = pools[i].DesiredWorkers(demands[i])
	}
	return out
}

// Servable returns the lanes that a worker of some pool, or one that is there, could run. Others must not
// use up what their customers may run: the scheduler passes over them.
func Servable(pools []Pool, workers []Worker, lanes []LaneBacklog) []LaneBacklog {
	fits, roster := fits{pools: pools, byShape: map[string][]int{}}, NewRoster(workers)
	return slices.DeleteFunc(slices.Clone(lanes), func(l LaneBacklog) bool {
		return !slices.ContainsFunc(fits.of(&l.Lane), func(n int) bool { return n > 0 }) && !roster.Admits(&l.Lane)
	})
}

// fits remembers how many workloads of each shape a worker of each pool can run.
type fits struct {
	pools   []Pool
	byShape map[string][]int
}

func (f *fits) of(l *Lane) []int {
	shape := l.Shape()
	out, ok := f.byShape[shape]
	if !ok {
		out = make([]int, len(f.pools))
		for i := range f.pools {
			out[i] = f.pools[i].Fit(l)
		}
		f.byShape[shape] = out
	}
	return out
}
