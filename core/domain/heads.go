package domain

import (
	"cmp"
	"encoding/json"
	"hash/fnv"
	"slices"
	"time"
)

// LanesOfCustomer bounds how many lanes of one customer a scheduling cycle considers, so that a customer with thousands of shapes
// of work costs the others no more than one with a few.
const LanesOfCustomer = 200

// asideShown is how many of a customer's lanes that are set aside are considered all the same, those that have waited longest, so that
// what nobody can run is told.
const asideShown = 20

// LaneRetention is how long a lane without work is remembered.
const LaneRetention = 15 * time.Minute

// HeadsQuery says which heads of lanes are wanted.
type HeadsQuery struct {
	// N is how many heads of each lane.
	N int
	// Lanes, when given, are the only ones, and are not bounded.
	Lanes []LaneID
	// Limit bounds the lanes of one customer; 0: LanesOfCustomer.
	Limit int
	// Policy orders the lanes of a customer that has more.
	Policy Policy
	// Roster are the workers. Of a customer that has more lanes than Limit, those that none of them admits are set aside: they do not
	// count against Limit. nil sets nothing aside.
	Roster *Roster
}

// PerCustomer is the limit in force.
func (q HeadsQuery) PerCustomer() int {
	if q.Limit > 0 {
		return q.Limit
	}
	return LanesOfCustomer
}

// QueueHeads are the heads of lanes.
type QueueHeads struct {
	Lanes []LaneHeads
	// Now is when they were read, by the store's clock, as all times in them are; not set when there are none.
	Now time.Time
	// Aside counts the lanes that are set aside, Cut those beyond the bound. Neither is among Lanes.
	Aside, Cut int
}

// Roster answers which lanes some healthy worker could serve, were it empty. What it finds for a shape it keeps, so that it is not safe for
// concurrent use: it belongs to the store from the call on that it is given with.
type Roster struct {
	workers []Worker
	version uint64
	byShape map[string]bool
}

// NewRoster returns the roster of these workers, which must not be changed.
func NewRoster(workers []Worker) *Roster {
	r := &Roster{byShape: map[string]bool{}}
	h := fnv.New64a()
	for i := range workers {
		w := &workers[i]
		if w.Status != WorkerHealthy {
			continue
		}
		r.workers = append(r.workers, *w)
		// Maps marshal with sorted keys. What cannot be written (NaN) only makes a version that differs each time.
		raw, err := json.Marshal([]any{w.ID, w.Capabilities, w.Tags, w.Resources})
		if err != nil {
			raw = []byte(w.SessionID)
		}
		_, _ = h.Write(raw) // a hash never fails to write
	}
	r.version = h.Sum64()
	return r
}

// Version identifies what the roster admits: it changes when a worker comes, goes or changes.
func (r *Roster) Version() uint64 {
	if r == nil {
		return 0
	}
	return r.version
}

// Admits reports whether some healthy worker could run the lane's workloads, were it empty.
func (r *Roster) Admits(l *Lane) bool {
	if r == nil {
		return true
	}
	key := l.Shape()
	admits, known := r.byShape[key]
	if !known {
		admits = slices.ContainsFunc(r.workers, func(w Worker) bool {
			return slices.Contains(w.Capabilities, l.Type) && l.Affinity.Admits(&w) && w.Resources.Fits(Resources{}, l.Resources)
		})
		r.byShape[key] = admits
	}
	return admits
}

// FirstOfLane is a lane with since when the first of it waits.
type FirstOfLane struct {
	Lane  Lane
	Since time.Time
}

// Choose returns, of all lanes of one customer, the ids of those that a cycle considers: of those that the roster admits half by their
// place in the queue, half by how long their first has waited, and a few that it does not admit, in the order of the ids. aside counts the
// others that it does not admit.
func (q HeadsQuery) Choose(lanes []FirstOfLane, tier Tier) (chosen []LaneID, aside int) {
	type ranked struct {
		id          LaneID
		place, wait int64
	}
	var rs, out []ranked
	for i := range lanes {
		l := &lanes[i].Lane
		at := lanes[i].Since.UnixNano()
		r := ranked{l.ID, at - int64(q.Policy.Advance(l.Priority, tier.Weight())), at}
		if q.Roster.Admits(l) {
			rs = append(rs, r)
		} else {
			out = append(out, r)
		}
	}
	limit := q.PerCustomer()
	taken := map[LaneID]bool{}
	for _, of := range []struct {
		upTo int
		by   func(r ranked) int64
	}{
		{min(limit/2, len(rs)), func(r ranked) int64 { return r.wait }},
		{min(limit, len(rs)), func(r ranked) int64 { return r.place }},
	} {
		slices.SortFunc(rs, func(a, b ranked) int { return cmp.Or(cmp.Compare(of.by(a), of.by(b)), cmp.Compare(a.id, b.id)) })
		for i := 0; len(chosen) < of.upTo; i++ {
			if id := rs[i].id; !taken[id] {
				taken[id] = true
				chosen = append(chosen, id)
			}
		}
	}
	slices.SortFunc(out, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.wait, b.wait), cmp.Compare(a.id, b.id)) })
	shown := min(asideShown, len(out))
	for _, r := range out[:shown] {
		chosen = append(chosen, r.id)
	}
	slices.Sort(chosen)
	return chosen, len(out) - shown
}
