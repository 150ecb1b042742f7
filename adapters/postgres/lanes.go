package postgres

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// maxKnownLanes bounds the memory that knowing lanes takes; beyond it, they are read and offered to the database again.
const maxKnownLanes = 100_000

// knownLanes are lanes that are stored. What a lane is never changes, so that it need not be read again. Safe for concurrent use.
type knownLanes struct {
	mu   sync.Mutex
	byID map[domain.LaneID]domain.Lane
}

// unknown returns the lanes of these workloads that may not be stored yet, ordered by id.
func (k *knownLanes) unknown(ws []*domain.Workload) []domain.Lane {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []domain.Lane
	seen := map[domain.LaneID]bool{}
	for _, w := range ws {
		if _, known := k.byID[w.Lane]; !known && !seen[w.Lane] {
			seen[w.Lane] = true
			out = append(out, domain.NewLane(&w.Spec))
		}
	}
	slices.SortFunc(out, func(a, b domain.Lane) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// add notes lanes that are stored.
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

// find fills in those that are known, and returns the ids of the others.
func (k *knownLanes) find(lanes map[domain.LaneID]domain.Lane) (missing []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range lanes {
		l, known := k.byID[id]
		if !known {
			missing = append(missing, string(id))
			continue
		}
		lanes[id] = own(l)
	}
	return missing
}

// own is a lane that shares nothing.
func own(l domain.Lane) domain.Lane {
	if !l.Affinity.IsZero() {
		l.Affinity = l.Affinity.Clone()
	}
	return l
}

// fillLanes reads what the lanes are that the map names.
func (s *Store) fillLanes(ctx context.Context, lanes map[domain.LaneID]domain.Lane) error {
	missing := s.lanes.find(lanes)
	if len(missing) == 0 {
		return nil
	}
	read, err := query(ctx, s.pool, func(row pgx.CollectableRow) (domain.Lane, error) {
		var l domain.Lane
		var affinity []byte
		r := &l.Resources
		if err := row.Scan(&l.ID, &l.CustomerID, &l.Type, &affinity, &r.CPUCores, &r.MemoryMB, &r.DiskMB, &l.Priority); err != nil {
			return l, err
		}
		return l, fromJSON(affinity, &l.Affinity)
	}, `SELECT lane_id, customer_id, workload_type, affinity, cpu_cores, memory_mb, disk_mb, priority FROM lanes WHERE lane_id = ANY($1::text[])`, missing)
	if err != nil {
		return err
	}
	s.lanes.add(read)
	for _, l := range read {
		lanes[l.ID] = own(l)
	}
	return nil
}
