package domain

import (
	"cmp"
	"encoding/json"
	"hash/fnv"
	"slices"
	"time"
)

const (
	// LanesOfCustomer is how many lanes of one customer a scheduling cycle considers. Otherwise a
	// customer with thousands of lanes would slow every cycle down for all.
	LanesOfCustomer = 200
	// asideShown is how many of the lanes that are set aside are considered nevertheless, so that
	// their workloads are marked as unplaceable.
	asideShown = 20
	// LaneRetention is how long a lane without work is remembered.
	LaneRetention = 15 * time.Minute
)

// HeadsQuery says which heads of lanes to read.
type HeadsQuery struct {
	// N is the number of heads of each lane.
	N int
	// Lanes, if given, are the only lanes to read. Limit does not apply to them.
	Lanes []LaneID
	// Limit is the largest number of lanes of one customer. 0: LanesOfCustomer.
	Limit int
	// Policy orders the lanes of a customer that has more lanes than Limit.
	Policy Policy
	// Roster are the workers. If a customer has more lanes than Limit, the lanes that none of the
	// workers admits are set aside, and do not count against Limit. nil: no lane is set aside.
	Roster *Roster
}

// PerCustomer returns the limit that applies.
func (q HeadsQuery) PerCustomer() int {
	if q.Limit > 0 {
		return q.Limit
	}
	return LanesOfCustomer
}

// QueueHeads are the heads of lanes.
type QueueHeads struct {
	Lanes []LaneHeads
	// Now is when they were read, by the store's clock, like all times in them. Zero if Lanes is
	// empty.
	Now time.Time
	// Aside counts the lanes that were set aside, Cut the lanes beyond the limit. Neither are in
	// Lanes.
	Aside, Cut int
}

// Roster says which lanes some healthy worker could serve if it were empty. It keeps what it finds
// for each shape, so it is not safe for concurrent use. A caller that passes it to a store must not
// use it afterwards.
type Roster struct {
	workers []Worker
	version uint64
	byShape map[string]bool
}

// NewRoster returns the roster of these workers. They must not be changed while it is used.
func NewRoster(workers []Worker) *Roster {
	r := &Roster{byShape: map[string]bool{}}
	h := fnv.New64a()
	for i := range workers {
		w := &workers[i]
		if w.Status != WorkerHealthy {
			continue
		}
		r.workers = append(r.workers, *w)
		// Maps marshal with sorted keys, so equal workers give equal bytes. NaN cannot be
		// marshalled: then the version depends on the session, which is safe.
		raw, err := json.Marshal([]any{w.ID, w.Capabilities, w.Tags, w.Resources})
		if err != nil {
			raw = []byte(w.SessionID)
		}
		_, _ = h.Write(raw) // a hash never fails to write
	}
	r.version = h.Sum64()
	return r
}

// Version identifies what the roster admits. It changes when a worker joins, leaves or changes.
func (r *Roster) Version() uint64 {
	if r == nil {
		return 0
	}
	return r.version
}

// Admits reports whether some healthy worker could run the lane's workloads if it were empty.
func (r *Roster) Admits(l *Lane) bool {
	if r == nil {
		return true
	}
	key := l.Shape()
	admits, known := r.byShape[key]
	if !known {
		admits = slices.ContainsFunc(r.workers, func(w Worker) bool {
			empty := NewHolding(&w.Resources)
			return slices.Contains(w.Capabilities, l.Type) && l.Affinity.Admits(&w) && empty.Fits(&l.Resources)
		})
		r.byShape[key] = admits
	}
	return admits
}

// FirstOfLane is a lane with the time at which its first workload began to wait.
type FirstOfLane struct {
	Lane  Lane
	Since time.Time
}

// Choose chooses from all lanes of one customer those that a cycle considers. It returns their ids
// in order. Of the lanes that the roster admits it takes half by their place in the queue and half
// by how long their first workload has waited. It adds a few lanes that the roster does not admit,
// and returns the number of the others as aside.
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
		slices.SortFunc(rs, func(a, b ranked) int {
			return cmp.Or(cmp.Compare(of.by(a), of.by(b)), cmp.Compare(a.id, b.id))
		})
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
