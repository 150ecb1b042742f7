package placement

import (
	"hash/fnv"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// fleet is the healthy workers with the work that they hold, including what this batch has placed.
type fleet struct {
	seed    uint64
	now     time.Time
	workers []*fleetWorker
	devices int // of all workers
	// changed has the places of the workers that have changed since, as often as they have. Each
	// shape knows up to where it has followed.
	changed []int
	shapes  map[string]*shape
	// fragmentation is nil where it makes no difference.
	fragmentation *fragmentation
	reserved      map[domain.LaneID]*fleetWorker // by the lane that it is for
	// across are the workload types whose anti rules bind the work of every customer.
	across map[string]bool
	// binding are the customers whose running workloads have anti rules. The key everyCustomer
	// stands for rules that bind all.
	binding map[domain.CustomerID]bool
	// draining are the draining workers. They are not among workers.
	draining []domain.WorkerID
}

// fleetWorker is one healthy worker with what it holds.
type fleetWorker struct {
	*domain.Worker
	place    int // in fleet.workers
	used     int // slots taken
	ending   int // of those, slots kept by runs that have ended but have not returned
	suspects int // suspects held; see domain.State.Suspect
	foundAt  time.Time
	holding  domain.Holding
	types    map[string]int // held workloads by type
	// repelled counts, for the customer whose work is bound, the types that held workloads keep
	// away.
	repelled map[domain.CustomerID]map[string]int
	hash     uint64
	// holders are the occupancies of lanes that reserve anything. ends has, for each device, when the
	// last run that holds it is expected to end; nil if no run holds a device.
	holders []*domain.Occupancy
	ends    []time.Time
	// kept is what is held and what is reserved for a workload of the lane keptFor, and due is when
	// that is expected to fit. kept is nil if nothing is reserved.
	kept    *domain.Holding
	keptFor domain.LaneID
	due     time.Time
	// keptState is the state of what kept leaves free.
	keptState *deviceState
	state     *deviceState // nil without devices, or where fragmentation makes no difference
}

// shape is the workers that could run one kind of work if they were empty, in the order of
// fleet.workers.
type shape struct {
	index      int // shapes are numbered
	candidates []candidate
	at         []int32 // by the place of a worker, the index of its candidate; negative: it is none
	// measured reports whether a choice among the candidates can fragment devices. allows has the
	// models of devices that the work may get, by their index.
	measured bool
	allows   []bool
	followed int // the length of fleet.changed when the candidates were brought up to date
}

// candidate is a worker with what a choice needs to know about it. It is computed again only when the
// worker has changed.
type candidate struct {
	w           *fleetWorker
	adds        float64 // see choice.adds
	used, slots int32
	score       int16
	room        room
}

// room says whether a worker has room for one more workload of a shape.
type room int8

const (
	roomNone    room = iota
	roomForAny       // for each workload of the shape
	roomForSome      // that depends on the workload: devices are reserved there, or anti rules hold
)

// everyCustomer is the key of anti rules that bind the work of every customer.
const everyCustomer domain.CustomerID = ""

func newFleet(s Snapshot) fleet {
	f := fleet{
		seed: s.Seed, now: s.Now, shapes: map[string]*shape{},
		across: make(map[string]bool, len(s.AntiAcross)), binding: map[domain.CustomerID]bool{},
		reserved: map[domain.LaneID]*fleetWorker{},
	}
	for _, t := range s.AntiAcross {
		f.across[t] = true
	}
	bySession := make(map[domain.SessionID]*fleetWorker, len(s.Workers))
	for i := range s.Workers {
		if s.Workers[i].Status == domain.WorkerDraining {
			f.draining = append(f.draining, s.Workers[i].ID)
		}
		if s.Workers[i].Status != domain.WorkerHealthy {
			continue
		}
		w := &fleetWorker{Worker: &s.Workers[i], place: len(f.workers), hash: hashOf(string(s.Workers[i].ID))}
		w.holding = domain.NewHolding(&w.Resources)
		bySession[w.SessionID] = w
		f.workers = append(f.workers, w)
		f.devices += len(w.Resources.Devices)
	}
	for i := range s.Occupancy {
		if w := bySession[s.Occupancy[i].SessionID]; w != nil {
			o := &s.Occupancy[i]
			f.hold(w, &o.Lane, o.Devices, o.Count+o.Ending)
			w.holds(o)
			w.ending += o.Ending
			w.suspects += o.Suspects
			if o.FoundAt.After(w.foundAt) {
				w.foundAt = o.FoundAt
			}
		}
	}
	f.fragmentation = newFragmentation(s.Mix, f.workers)
	return f
}

// freeSlots returns the number of free slots of all workers.
func (f *fleet) freeSlots() int {
	free := 0
	for _, w := range f.workers {
		free += max(w.Slots-w.used, 0)
	}
	return free
}

// take gives a workload of the lane, which ends at end at the latest, to the worker. It returns the
// devices that it gets.
func (f *fleet) take(w *fleetWorker, s *shape, l *domain.Lane, end time.Time) []domain.DeviceShare {
	var prefer func(domain.Device, domain.Milli) bool
	if s.measured && w.state != nil {
		best := f.fragmentation.choose(w, s, l, end).device
		prefer = func(d domain.Device, left domain.Milli) bool {
			return rest{f.fragmentation.models[d.Model], left} == best
		}
	}
	devices := w.open(l, end).Choose(&l.Resources, prefer)
	f.hold(w, l, devices, 1)
	if s.measured {
		f.remeasure(w)
	} else {
		f.changed = append(f.changed, w.place)
	}
	return devices
}

// hold adds n workloads of the lane to what the worker holds. devices are those of all of them.
func (f *fleet) hold(w *fleetWorker, l *domain.Lane, devices []domain.DeviceShare, n int) {
	w.used += n
	w.holding.Take(&l.Resources, devices, n)
	if w.kept != nil {
		w.kept.Take(&l.Resources, devices, n)
	}
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

// repels reports whether the anti rule of a held workload keeps the lane away. An anti rule binds
// the work of its own customer: if it bound everybody's, one customer could keep all other work
// from every worker. Only the types that the operator names in Snapshot.AntiAcross bind all
// customers.
func (w *fleetWorker) repels(l *domain.Lane) bool {
	return w.repelled != nil && (w.repelled[l.CustomerID][l.Type] > 0 || w.repelled[everyCustomer][l.Type] > 0)
}

// shapeOf returns the workers that can run the lane's workloads.
func (f *fleet) shapeOf(l *domain.Lane) *shape {
	key := l.Shape()
	if s := f.shapes[key]; s != nil {
		return s
	}
	s := &shape{index: len(f.shapes), followed: len(f.changed), at: make([]int32, len(f.workers))}
	if m := f.fragmentation; m != nil && !l.Resources.IsZero() {
		s.measured, s.allows = true, make([]bool, len(m.models))
		for model, n := range m.models {
			s.allows[n] = l.Resources.Allows(model)
		}
	}
	for _, w := range f.workers {
		s.at[w.place] = -1
		if slices.Contains(w.Capabilities, l.Type) && l.Affinity.Admits(w.Worker) && w.tooSmall(l) == "" {
			k := candidate{w: w, slots: int32(w.Slots), score: int16(scoreOf(&l.Affinity, w.Worker))} //nolint:gosec // bounded
			f.assess(&k, s, l)
			s.at[w.place] = int32(len(s.candidates)) //nolint:gosec // bounded
			s.candidates = append(s.candidates, k)
		}
	}
	f.shapes[key] = s
	return s
}

// follow brings the candidates up to date.
func (f *fleet) follow(s *shape, l *domain.Lane) {
	for _, place := range f.changed[s.followed:] {
		if i := s.at[place]; i >= 0 {
			f.assess(&s.candidates[i], s, l)
		}
	}
	s.followed = len(f.changed)
}

// assess computes what is kept about a candidate of a shape, which the lane has.
func (f *fleet) assess(k *candidate, s *shape, l *domain.Lane) {
	w := k.w
	k.used = int32(w.used) //nolint:gosec // bounded
	switch {
	case w.used >= w.Slots:
		k.room = roomNone
	case w.repelled != nil || w.kept != nil:
		k.room = roomForSome
	case !w.hasRoomIn(&w.holding, l):
		k.room = roomNone
	default:
		k.room = roomForAny
		if s.measured {
			k.adds = f.fragmentation.choose(w, s, l, time.Time{}).adds
		}
	}
}

// choose returns the best worker for the candidate: the one with the highest score, then the one
// where it leaves the least fragmentation, then the least utilised one, then one by a stable hash, so
// that equally good workers share the work. If there is none, it returns the obstacle.
func (f *fleet) choose(s *shape, l *domain.Lane, c *domain.Candidate) (best candidate, obstacle domain.Obstacle) {
	f.follow(s, l)
	var bestHash, idHash uint64
	declined, suspects, reserved := false, false, false
	end := f.endOf(l, c)
	alone := !c.SuspectSince.IsZero() // a suspect first looks for a worker without another suspect
	for i := range s.candidates {
		k := &s.candidates[i]
		if k.room == roomNone || best.w != nil && k.score < best.score {
			continue
		}
		adds := k.adds
		if k.room == roomForSome {
			if !k.w.hasRoomFor(l, end) {
				reserved = reserved || k.w.kept != nil && k.w.hasRoomIn(&k.w.holding, l)
				continue
			}
			if s.measured {
				adds = f.fragmentation.choose(k.w, s, l, end).adds
			}
		}
		if len(c.Declines) > 0 && c.Declined(k.w.ID, f.now) {
			declined = true
			continue
		}
		if alone && k.w.suspects > 0 {
			suspects = true
			continue
		}
		hash := uint64(0)
		if best.w != nil && k.score == best.score {
			if adds > best.adds {
				continue
			}
			if adds == best.adds {
				// used/slots compared as a cross product, without division.
				mine, theirs := int64(k.used)*int64(best.slots), int64(best.used)*int64(k.slots)
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
					hash = mix(idHash^k.w.hash^f.seed) | 1
					if hash > bestHash || hash == bestHash && k.w.ID > best.w.ID {
						continue
					}
				}
			}
		}
		best, bestHash = *k, hash
		best.adds = adds
	}
	switch {
	case best.w != nil:
		return best, ""
	case suspects && !domain.AvoidsSuspects(c.SuspectSince, f.now):
		shared := *c // it has waited long enough: now it may share a worker
		shared.SuspectSince = time.Time{}
		return f.choose(s, l, &shared)
	case suspects:
		return best, obstacleSuspects
	case declined:
		return best, obstacleDeclined
	case reserved:
		return best, obstacleReserved
	case len(s.candidates) > 0:
		return best, domain.ObstacleFull
	}
	return best, domain.ObstacleUnplaceable
}

// hasRoomFor reports whether the worker can take one more workload of the lane now, which ends at end
// at the latest.
func (w *fleetWorker) hasRoomFor(l *domain.Lane, end time.Time) bool {
	return w.hasRoomIn(w.open(l, end), l)
}

// hasRoomIn is hasRoomFor with this held on the worker.
func (w *fleetWorker) hasRoomIn(held *domain.Holding, l *domain.Lane) bool {
	return w.used < w.Slots && !w.repels(l) && !w.holdsAny(l.Affinity.Anti.WorkloadTypes) && held.Fits(&l.Resources)
}

// holdsAny reports whether the worker holds a workload of one of these types.
func (w *fleetWorker) holdsAny(types []string) bool {
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
