package placement

import (
	"hash/fnv"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// fleet is the healthy workers with what they hold, planned assignments included.
type fleet struct {
	seed    uint64
	now     time.Time
	workers []*slotWorker
	shapes  map[string]*shape
	// across are the types whose anti rules bind every customer.
	across map[string]bool
	// binding are the customers that what they hold keeps some of their own work away from some worker.
	binding map[domain.CustomerID]bool
	// draining counts the workers that take no new work.
	draining int
}

// slotWorker is one of them.
type slotWorker struct {
	*domain.Worker
	used      int // slots taken
	ending    int // of them, by runs that have ended but are not let go of
	suspects  int // held, under which workers died before
	resources domain.Resources
	types     map[string]int                       // workload types held
	repelled  map[domain.CustomerID]map[string]int // types that held workloads keep away, by whose work they bind
	hash      uint64
}

// shape is what a kind of work finds on the workers: those whose own properties admit it, with scores. Those that are full leave.
type shape struct {
	admitted   bool // some worker did
	candidates []scored
}

type scored struct {
	w     *slotWorker
	score int
}

func newFleet(s Snapshot) fleet {
	f := fleet{seed: s.Seed, now: s.Now, shapes: map[string]*shape{}, across: make(map[string]bool, len(s.AntiAcross)), binding: map[domain.CustomerID]bool{}}
	for _, t := range s.AntiAcross {
		f.across[t] = true
	}
	bySession := make(map[domain.SessionID]*slotWorker, len(s.Workers))
	for i := range s.Workers {
		if s.Workers[i].Status == domain.WorkerDraining {
			f.draining++
		}
		if s.Workers[i].Status != domain.WorkerHealthy {
			continue
		}
		w := &slotWorker{Worker: &s.Workers[i], hash: hashOf(string(s.Workers[i].ID))}
		bySession[w.SessionID] = w
		f.workers = append(f.workers, w)
	}
	for i := range s.Occupancy {
		if w := bySession[s.Occupancy[i].SessionID]; w != nil {
			o := &s.Occupancy[i]
			f.hold(w, &o.Lane, o.Count+o.Ending)
			w.ending += o.Ending
			w.suspects += o.Suspects
		}
	}
	return f
}

func (f *fleet) freeSlots() int {
	free := 0
	for _, w := range f.workers {
		free += max(w.Slots-w.used, 0)
	}
	return free
}

func (f *fleet) hold(w *slotWorker, l *domain.Lane, n int) {
	w.used += n
	w.resources = w.resources.Add(l.Resources, n)
	if w.types == nil {
		w.types = map[string]int{}
	}
	w.types[l.Type] += n
	if len(l.Affinity.Anti.WorkloadTypes) == 0 {
		return
	}
	binds := l.CustomerID
	if f.across[l.Type] {
		binds = everyCustomer
	}
	f.binding[binds] = true
	if w.repelled == nil {
		w.repelled = map[domain.CustomerID]map[string]int{}
	}
	if w.repelled[binds] == nil {
		w.repelled[binds] = map[string]int{}
	}
	for _, t := range l.Affinity.Anti.WorkloadTypes {
		w.repelled[binds][t] += n
	}
}

// everyCustomer stands for all customers where it is told whose work an anti rule binds.
const everyCustomer domain.CustomerID = ""

// repels reports whether a held workload's anti rule keeps the lane away. A rule binds its own customer's work: were it to bind all, one
// customer could keep everybody else's work from every worker. It binds all only for the types that the operator allows.
func (w *slotWorker) repels(l *domain.Lane) bool {
	return w.repelled != nil && (w.repelled[l.CustomerID][l.Type] > 0 || w.repelled[everyCustomer][l.Type] > 0)
}

func (f *fleet) shapeOf(l *domain.Lane) *shape {
	key := l.Shape()
	if s := f.shapes[key]; s != nil {
		return s
	}
	s := &shape{}
	for _, w := range f.workers {
		if slices.Contains(w.Capabilities, l.Type) && l.Affinity.Admits(w.Worker) {
			s.candidates = append(s.candidates, scored{w, scoreOf(&l.Affinity, w.Worker)})
		}
	}
	s.admitted = len(s.candidates) > 0
	f.shapes[key] = s
	return s
}

// take chooses the worker: best score, then least utilised, then a stable hash, so that equal ones share the work.
func (f *fleet) take(s *shape, l *domain.Lane, c *domain.Candidate) (best scored, obstacle domain.Obstacle) {
	var bestHash, idHash uint64
	declined, suspects := false, false
	alone := !c.SuspectSince.IsZero() // on a worker without another suspect, at first
	for i := 0; i < len(s.candidates); i++ {
		k := s.candidates[i]
		if k.w.used >= k.w.Slots { // for good: within a batch capacity only shrinks
			last := len(s.candidates) - 1
			s.candidates[i] = s.candidates[last]
			s.candidates = s.candidates[:last]
			i--
			continue
		}
		if best.w != nil && k.score < best.score || !k.w.takes(l) {
			continue
		}
		if len(c.Declines) > 0 && c.Declined(k.w.ID, f.now) {
			declined = true
			continue
		}
		if alone && k.w.suspects > 0 {
			suspects = true
			continue
		}
		if best.w != nil && k.score == best.score {
			// used/slots compared as a cross product, without division.
			mine, theirs := k.w.used*best.w.Slots, best.w.used*k.w.Slots
			if mine > theirs {
				continue
			}
			if mine == theirs {
				if idHash == 0 {
					idHash = hashOf(string(c.ID)) | 1
				}
				if bestHash == 0 {
					bestHash = mix(idHash^best.w.hash^f.seed) | 1
				}
				h := mix(idHash^k.w.hash^f.seed) | 1
				if h > bestHash || h == bestHash && k.w.ID > best.w.ID {
					continue
				}
				best, bestHash = k, h
				continue
			}
		}
		best, bestHash = k, 0
	}
	switch {
	case best.w != nil:
		return best, ""
	case suspects && !domain.AvoidsSuspects(c.SuspectSince, f.now):
		shared := *c
		shared.SuspectSince = time.Time{}
		return f.take(s, l, &shared)
	case suspects:
		return best, obstacleSuspects
	case declined:
		return best, obstacleDeclined
	case s.admitted:
		return best, domain.ObstacleFull
	}
	return best, domain.ObstacleUnplaceable
}

// takes reports whether the worker has room for one more of the lane right now.
func (w *slotWorker) takes(l *domain.Lane) bool {
	return w.used < w.Slots && !w.repels(l) && !w.holdsAny(l.Affinity.Anti.WorkloadTypes) && w.Resources.Fits(w.resources, l.Resources)
}

func (w *slotWorker) holdsAny(types []string) bool {
	return slices.ContainsFunc(types, func(t string) bool { return w.types[t] > 0 })
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // a hash never fails to write
	return h.Sum64()
}

// mix spreads the bits of x (the finaliser of splitmix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
