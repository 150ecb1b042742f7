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
//     one. The tiers take turns, so that no tier can have them all while another one waits.
//   - Other work with devices gets what is reserved only if it ends before the reservation is due
//     (backfill). Work without devices is not affected.
//
// A reservation is due when its devices are whole. Each is whole when the last run that holds it has
// ended: by its timeout, or as is expected of it (domain.ExpectedEnd). What is due too late
// is not reserved. Otherwise a run that never ends would keep the devices beside it idle.
//
// Nothing of this is stored. Each plan makes the same choice anew: the worker whose devices are due
// first. A reservation does not become due later if runs end by their timeouts, because whatever
// takes its devices ends before. Another worker is chosen only if it is due sooner still. So the
// workload gets its devices by the time at which its reservation was due at first. A workload that
// fits now reserves as well: otherwise work before it in the queue would take, in the same plan,
// what was kept for it until now.
const (
	reservedShare = 10
	// reservationLimit bounds the reservations of one plan, and so the time that they take.
	reservationLimit = 32
	// reservationHorizon is how far ahead a reservation may be due.
	reservationHorizon = 24 * time.Hour
)

// claim is a lane whose first workload may reserve devices.
type claim struct {
	lane  *domain.Lane
	since time.Time
	tier  domain.Tier
}

// reserve makes the reservations for these lanes, whose customers are below their limits.
func (f *fleet) reserve(claims []claim) {
	slices.SortFunc(claims, func(a, b claim) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.lane.ID, b.lane.ID))
	})
	var tiers []domain.Tier // the one whose work has waited longest is first
	byTier := map[domain.Tier][]claim{}
	for _, c := range claims {
		if byTier[c.tier] == nil {
			tiers = append(tiers, c.tier)
		}
		byTier[c.tier] = append(byTier[c.tier], c)
	}
	r := &reserving{fleet: f, has: map[domain.CustomerID]bool{}}
	for len(tiers) > 0 {
		tiers = slices.DeleteFunc(tiers, func(t domain.Tier) bool {
			n := slices.IndexFunc(byTier[t], r.reserve)
			byTier[t] = byTier[t][n+1:]
			return n < 0
		})
	}
}

// reserving is the state of fleet.reserve.
type reserving struct {
	fleet   *fleet
	has     map[domain.CustomerID]bool // customers that have a reservation
	devices int                        // reserved
}

// reserve reserves devices for the claim. It reports whether it could.
func (r *reserving) reserve(c claim) bool {
	f, l := r.fleet, c.lane
	n, _ := l.Resources.PerDevice()
	if r.has[l.CustomerID] || len(f.reserved) == reservationLimit ||
		r.devices > 0 && r.devices+n > f.devices/reservedShare {
		return false
	}
	w, due := f.nearest(l)
	if w == nil {
		return false
	}
	w.reserve(l, due)
	f.remeasure(w)
	f.reserved[l.ID], r.has[l.CustomerID] = w, true
	r.devices += n
	return true
}

// release ends the reservation of a lane: the workload that it is for has been placed, or another one
// of the lane where the devices are.
func (f *fleet) release(l *domain.Lane) {
	if w := f.reserved[l.ID]; w != nil {
		w.kept, w.keptFor = nil, ""
		f.remeasure(w)
		delete(f.reserved, l.ID)
	}
}

// remeasure brings what is known about the worker up to date after a change of what is held or
// reserved there.
func (f *fleet) remeasure(w *fleetWorker) {
	if f.fragmentation != nil {
		f.fragmentation.update(w)
	}
	f.changed = append(f.changed, w.place)
}

// nearest returns the worker that comes nearest to having what the lane's workloads need, and when it
// is due to have it. It returns nil if no worker can be reserved.
func (f *fleet) nearest(l *domain.Lane) (best *fleetWorker, due time.Time) {
	var least distance
	horizon := f.now.Add(reservationHorizon)
	for _, k := range f.shapeOf(l).candidates {
		w := k.w
		if w.kept != nil || w.repels(l) || w.holdsAny(l.Affinity.Anti.WorkloadTypes) {
			continue
		}
		d := w.distance(l)
		if d.short && d.devices == 0 && d.due.IsZero() {
			continue // only a slot is missing, and no reservation brings one
		}
		if !d.due.After(horizon) && (best == nil || d.before(least)) {
			best, least = w, d
		}
	}
	return best, least.due
}

// distance is how much must come free on a worker before a workload fits.
type distance struct {
	short   bool // it does not fit now
	due     time.Time
	devices int          // that are not whole
	held    domain.Milli // of the devices that are due first
	worker  domain.WorkerID
}

func (d distance) before(o distance) bool {
	if d.short != o.short {
		return o.short
	}
	return cmp.Or(
		d.due.Compare(o.due), cmp.Compare(d.devices, o.devices), cmp.Compare(d.held, o.held),
		cmp.Compare(d.worker, o.worker)) < 0
}

func (w *fleetWorker) distance(l *domain.Lane) distance {
	d := distance{worker: w.ID, short: !w.hasRoomIn(&w.holding, l)}
	if !d.short {
		return d
	}
	for _, i := range w.first(l) {
		if free := w.holding.Free(i); free < domain.One {
			d.devices++
			d.held += domain.One - free
		}
		if end := w.end(i); end.After(d.due) {
			d.due = end
		}
	}
	if end := w.amountsDue(l); end.After(d.due) {
		d.due = end
	}
	return d
}

// first returns the devices that are due first of those that a workload of the lane may get, by
// index: as many as it needs.
func (w *fleetWorker) first(l *domain.Lane) []int {
	of := make([]int, 0, len(w.Resources.Devices))
	for i := range w.Resources.Devices {
		if l.Resources.Allows(w.Resources.Devices[i].Model) {
			of = append(of, i)
		}
	}
	slices.SortStableFunc(of, func(a, b int) int {
		return cmp.Or(w.end(a).Compare(w.end(b)), cmp.Compare(w.holding.Free(b), w.holding.Free(a)))
	})
	n, _ := l.Resources.PerDevice()
	return of[:min(n, len(of))]
}

// end returns when the last run that holds device i is expected to end. It is zero if none does.
func (w *fleetWorker) end(i int) time.Time {
	if w.ends == nil {
		return time.Time{}
	}
	return w.ends[i]
}

// amountsDue returns when enough of the amounts is free for a workload of the lane if runs end as
// expected. It is zero if there is enough now.
func (w *fleetWorker) amountsDue(l *domain.Lane) (due time.Time) {
	needs := domain.Resources{Amounts: l.Resources.Amounts, Custom: l.Resources.Custom}
	if w.holding.Fits(&needs) {
		return due
	}
	left := w.holding.Clone()
	slices.SortFunc(w.holders, func(a, b *domain.Occupancy) int { return a.End.Compare(b.End) })
	for _, o := range w.holders {
		left.Return(&o.Lane.Resources, nil, o.Count+o.Ending)
		if due = o.End; left.Fits(&needs) {
			break
		}
	}
	return due
}

// holds notes what the occupancy says about the devices and amounts of the worker.
func (w *fleetWorker) holds(o *domain.Occupancy) {
	if o.Lane.Resources.IsZero() {
		return
	}
	w.holders = append(w.holders, o)
	for k, d := range o.Devices {
		i := slices.IndexFunc(w.Resources.Devices, func(has domain.Device) bool { return has.ID == d.ID })
		if i < 0 {
			continue
		}
		if w.ends == nil {
			w.ends = make([]time.Time, len(w.Resources.Devices))
		}
		if o.Ends[k].After(w.ends[i]) {
			w.ends[i] = o.Ends[k]
		}
	}
}

// reserve keeps what a workload of the lane needs, which is due then, from other work with devices.
func (w *fleetWorker) reserve(l *domain.Lane, due time.Time) {
	kept := w.holding.Clone()
	var devices []domain.DeviceShare
	for _, i := range w.first(l) {
		devices = append(devices, domain.DeviceShare{ID: w.Resources.Devices[i].ID, Share: domain.One})
	}
	kept.Take(&l.Resources, devices, 1)
	w.kept, w.keptFor, w.due = &kept, l.ID, due
}

// open returns what is held on the worker as a workload of the lane finds it that ends at end at the
// latest: what is reserved for others counts as held, unless it ends before that is due.
func (w *fleetWorker) open(l *domain.Lane, end time.Time) *domain.Holding {
	if w.kept != nil && l.Resources.GPUs > 0 && w.keptFor != l.ID && (end.IsZero() || end.After(w.due)) {
		return w.kept
	}
	return &w.holding
}

// endOf returns when the run of a workload of the lane ends at the latest if it is placed now. It is
// zero if it has no timeout, or if that makes no difference.
func (f *fleet) endOf(l *domain.Lane, c *domain.Candidate) time.Time {
	if len(f.reserved) == 0 || l.Resources.GPUs == 0 {
		return time.Time{}
	}
	return domain.EndsBy(f.now, c.Timeout)
}

// reserve makes the reservations of this batch.
func (p *Planner) reserve() {
	var claims []claim
	for _, q := range p.lanes {
		if q.lane.Resources.GPUs >= domain.One && len(q.heads) > 0 && (!q.customer.limited || q.customer.room > 0) {
			q.first = q.heads[0].ID
			claims = append(claims, claim{q.lane, q.heads[0].QueueAt, q.customer.entitlements.Tier})
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
			claims = append(claims, claim{l, waiting[i].Heads[0].QueueAt, e.entitlements[l.CustomerID].Tier})
		}
	}
	e.fleet.reserve(claims)
}
