package postgres

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// maxKnownLanes bounds how many lanes are remembered. Beyond it, all are forgotten and read
// again.
const maxKnownLanes = 100_000

// touchInterval is how long a process relies on a lane that it has touched in the store. It must
// be far below domain.LaneRetention: no lane is removed that was touched within that time.
// Otherwise a submission could lose the lane that it relies on.
const touchInterval = 5 * time.Minute

// knownLanes remembers stored lanes. What a lane is never changes, so that it is read once. Safe
// for concurrent use.
type knownLanes struct {
	mu   sync.Mutex
	byID map[domain.LaneID]domain.Lane
	// touched is when this process last told the store that a lane is used, in the store's time.
	touched map[domain.LaneID]time.Time
}

// unknown returns the lanes of these workloads that may not be stored, ordered by id.
func (k *knownLanes) unknown(ws []*domain.Workload, now time.Time) []domain.Lane {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []domain.Lane
	seen := map[domain.LaneID]bool{}
	for _, w := range ws {
		if at, known := k.touched[w.Lane]; (!known || now.Sub(at) >= touchInterval) && !seen[w.Lane] {
			seen[w.Lane] = true
			out = append(out, domain.NewLane(&w.Spec))
		}
	}
	slices.SortFunc(out, func(a, b domain.Lane) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// touch remembers lanes that were stored or touched at a time.
func (k *knownLanes) touch(ls []domain.Lane, at time.Time) {
	k.add(ls)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.touched == nil || len(k.touched) > maxKnownLanes {
		k.touched = map[domain.LaneID]time.Time{}
	}
	for _, l := range ls {
		k.touched[l.ID] = at
	}
}

// add remembers lanes that are stored.
func (k *knownLanes) add(ls []domain.Lane) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil || len(k.byID) > maxKnownLanes {
		k.byID = map[domain.LaneID]domain.Lane{}
	}
	for _, l := range ls {
		k.byID[l.ID] = l
	}
}

// find fills in the lanes that are known, and returns the ids of the others.
func (k *knownLanes) find(lanes map[domain.LaneID]domain.Lane) (missing []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range lanes {
		l, known := k.byID[id]
		if !known {
			missing = append(missing, string(id))
			continue
		}
		lanes[id] = l.Clone()
	}
	return missing
}

var (
	laneTable = table[domain.Lane]{"lanes", []column[domain.Lane]{
		text("lane_id", func(l *domain.Lane) *domain.LaneID { return &l.ID }),
		text("customer_id", func(l *domain.Lane) *domain.CustomerID { return &l.CustomerID }),
		text("workload_type", func(l *domain.Lane) *string { return &l.Type }),
		document("affinity", func(l *domain.Lane) *domain.Affinity { return &l.Affinity }, domain.Affinity.IsZero),
		integer("priority", func(l *domain.Lane) *int { return &l.Priority }),
		reserved(func(l *domain.Lane) *domain.Resources { return &l.Resources }),
	}}
	selectLanes = "SELECT " + laneTable.names("") + " FROM lanes WHERE lane_id = ANY($1::text[])"

	touchedLaneTable = table[touchedLane]{"lanes", join(
		part(func(l *touchedLane) *domain.Lane { return &l.Lane }, laneTable.columns),
		[]column[touchedLane]{instant("touched_at", func(l *touchedLane) *time.Time { return &l.at })},
	)}
	touchLanes = touchedLaneTable.insert() +
		" ON CONFLICT (lane_id) DO UPDATE SET touched_at = greatest(lanes.touched_at, excluded.touched_at)"
)

// touchedLane is a lane with the time at which something was submitted to it.
type touchedLane struct {
	domain.Lane
	at time.Time
}

// queueLanes stores lanes that may be new. They are ordered by id, so that two coordinators
// cannot deadlock.
func (t *tx) queueLanes(ls []domain.Lane) {
	writeRows(
		t, &touchedLaneTable, touchLanes, each(ls, func(l domain.Lane) *touchedLane { return &touchedLane{l, t.now} }),
	)
}

// fillLanes fills in the lanes whose ids are the keys of the map.
func (s *Store) fillLanes(ctx context.Context, lanes map[domain.LaneID]domain.Lane) error {
	bounded, cancel := deadline(ctx)
	defer cancel()
	return translate(ctx, s.lanes.fill(bounded, s.pool, lanes))
}

// fill fills in the lanes whose ids are the keys of the map. It reads those that are not known.
func (k *knownLanes) fill(ctx context.Context, from querier, lanes map[domain.LaneID]domain.Lane) error {
	missing := k.find(lanes)
	if len(missing) == 0 {
		return nil
	}
	rows, err := from.Query(ctx, selectLanes, missing)
	if err != nil {
		return err
	}
	read, err := pgx.CollectRows(rows, laneTable.scan)
	if err != nil {
		return err
	}
	k.add(read)
	for _, l := range read {
		lanes[l.ID] = l.Clone()
	}
	return nil
}

// deleteLanes deletes lanes in which nothing unfinished stands. The statement looks at one
// snapshot, in which each unfinished workload has a row in one of these tables. A workload that
// enters a lane later has touched it before.
const deleteLanes = `DELETE FROM lanes l USING (
  SELECT c.lane_id FROM lanes c WHERE c.touched_at < niyanta_now() - $2::bigint * interval '1 microsecond'
   AND NOT EXISTS (SELECT FROM waiting w WHERE w.lane_id = c.lane_id) AND NOT EXISTS (SELECT FROM delayed d
    WHERE d.lane_id = c.lane_id)
   AND NOT EXISTS (SELECT FROM held h WHERE h.lane_id = c.lane_id) AND NOT EXISTS (SELECT FROM ending e
    WHERE e.lane_id = c.lane_id)
   AND NOT EXISTS (SELECT FROM paused p JOIN workloads w USING (workload_id) WHERE w.lane_id = c.lane_id)
  ORDER BY c.touched_at LIMIT $1::bigint FOR UPDATE SKIP LOCKED) f WHERE l.lane_id = f.lane_id`
