package placement

import (
	"cmp"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Work that needs whole devices would wait for ever beside a stream of small shares: whenever part of
// a device comes free, a share takes it. So the workloads that need whole devices and have waited
// longest reserve them:
//
//   - Only a workload that fits some worker if that is empty reserves, and only if its customer is
//     below its limit. A customer has one reservation.
//   - All reservations together are of at most one device in reservedShare, but there may always be
//     one.
//   - Other work with devices does not get what is reserved. Work without devices is not affected.
//
// Nothing of this is stored. Each plan makes the same choice anew: the worker that comes nearest to
// having what the workload needs. The chosen worker only comes nearer, because no other work with
// devices takes what is reserved there. Another one is chosen only if it is nearer still. So the
// workload starts after a bounded number of runs have ended. A workload that fits now reserves as
// well: otherwise work before it in the queue would take, in the same plan, what was kept for it
// until now.
const (
	reservedShare = 10
	// reservationLimit bounds the reservations of one plan, and so the time that they take.
	reservationLimit = 32
)

// claim is a lane whose first workload may reserve devices.
type claim struct {
	lane  *domain.Lane
	since time.Time
}

// reserve makes the reservations for these lanes, whose customers are below their limits.
func (f *fleet) reserve(claims []claim) {
	devices := 0
	for _, w := range f.workers {
		devices += len(w.Resources.Devices)
	}
	if devices == 0 {
		return
	}
	slices.SortFunc(claims, func(a, b claim) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.lane.ID, b.lane.ID))
	})
	reserved := 0
	has := map[domain.CustomerID]bool{}
	for _, c := range claims {
		n, _ := c.lane.Resources.PerDevice()
		if has[c.lane.CustomerID] || reserved > 0 && reserved+n > devices/reservedShare {
			continue
		}
		w := f.nearest(c.lane)
		if w == nil {
			continue
		}
		w.reserve(c.lane)
		f.remeasure(w)
		f.reserved[c.lane.ID], has[c.lane.CustomerID] = w, true
		if reserved += n; len(f.reserved) == reservationLimit {
			return
		}
	}
}

// release ends the reservation of a lane of which a workload has been placed.
func (f *fleet) release(l *domain.Lane) {
	if w := f.reserved[l.ID]; w != nil {
		w.kept, w.keptFor = nil, ""
		f.remeasure(w)
		delete(f.reserved, l.ID)
	}
}

// remeasure brings the state of the worker up to date after a change of what is reserved there.
func (f *fleet) remeasure(w *fleetWorker) {
	if f.fragmentation != nil {
		f.fragmentation.update(w)
	}
}

// nearest returns the worker that comes nearest to having what the lane's workloads need, nil if no
// worker can be reserved.
func (f *fleet) nearest(l *domain.Lane) (best *fleetWorker) {
	var least distance
	for _, w := range f.shapeOf(l).admits {
		if w.kept != nil || w.repels(l) || w.holdsAny(l.Affinity.Anti.WorkloadTypes) {
			continue
		}
		if d := w.distance(l); best == nil || d.before(least) {
			best, least = w, d
		}
	}
	return best
}

// distance is how much must come free on a worker before a workload fits.
type distance struct {
	short   int          // 0 if it fits, 2 if devices are short, otherwise 1
	devices int          // that are not whole
	held    domain.Milli // of the devices that come nearest
	worker  domain.WorkerID
}

func (d distance) before(o distance) bool {
	return cmp.Or(
		cmp.Compare(d.short, o.short), cmp.Compare(d.devices, o.devices), cmp.Compare(d.held, o.held),
		cmp.Compare(d.worker, o.worker)) < 0
}

func (w *fleetWorker) distance(l *domain.Lane) distance {
	d := distance{worker: w.ID}
	if !w.holding.Fits(&domain.Resources{GPUs: l.Resources.GPUs, GPUModels: l.Resources.GPUModels}) {
		for _, i := range w.freest(l) {
			if free := w.holding.Free(i); free < domain.One {
				d.devices++
				d.held += domain.One - free
			}
		}
	}
	switch {
	case d.devices > 0:
		d.short = 2
	case !w.hasRoomFor(l):
		d.short = 1
	}
	return d
}

// freest returns the devices that come nearest to what a workload of the lane needs, by index: as
// many as it needs, of the models that it allows.
func (w *fleetWorker) freest(l *domain.Lane) []int {
	var of []int
	for i := range w.Resources.Devices {
		if l.Resources.Allows(w.Resources.Devices[i].Model) {
			of = append(of, i)
		}
	}
	slices.SortStableFunc(of, func(a, b int) int { return cmp.Compare(w.holding.Free(b), w.holding.Free(a)) })
	n, _ := l.Resources.PerDevice()
	return of[:min(n, len(of))]
}

// reserve keeps what a workload of the lane needs from other work with devices.
func (w *fleetWorker) reserve(l *domain.Lane) {
	kept := w.holding.Clone()
	var devices []domain.DeviceShare
	for _, i := range w.freest(l) {
		devices = append(devices, domain.DeviceShare{ID: w.Resources.Devices[i].ID, Share: domain.One})
	}
	kept.Take(&l.Resources, devices, 1)
	w.kept, w.keptFor = &kept, l.ID
}

// open returns what is held on the worker as a workload of the lane finds it: what is reserved for
// others counts as held.
func (w *fleetWorker) open(l *domain.Lane) *domain.Holding {
	if w.kept != nil && l.Resources.GPUs > 0 && w.keptFor != l.ID {
		return w.kept
	}
	return &w.holding
}

// reserve makes the reservations of this batch.
func (p *Planner) reserve() {
	var claims []claim
	for _, q := range p.lanes {
		if q.lane.Resources.GPUs >= domain.One && len(q.heads) > 0 && (!q.customer.limited || q.customer.room > 0) {
			claims = append(claims, claim{q.lane, q.heads[0].QueueAt})
		}
	}
	p.fleet.reserve(claims)
}

// Reserve tells the explainer what waits, so that it knows which devices are reserved. It is called
// before anything is explained.
func (e *Explainer) Reserve(waiting []domain.LaneHeads) {
	var claims []claim
	for i := range waiting {
		l := &waiting[i].Lane
		if l.Resources.GPUs >= domain.One && len(waiting[i].Heads) > 0 && !e.AtLimit(l.CustomerID) {
			claims = append(claims, claim{l, waiting[i].Heads[0].QueueAt})
		}
	}
	e.fleet.reserve(claims)
}
