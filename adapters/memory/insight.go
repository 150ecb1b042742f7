package memory

import (
	"context"
	"maps"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type insight struct{ s *Store }

// Ahead implements ports.InsightStore.
func (i insight) Ahead(ctx context.Context, cutoffs []ports.Cutoff, limit int) ([]int, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	i.s.promoteLocked(i.s.now())
	counts, total := make([]int, len(cutoffs)), 0
	for n, c := range cutoffs {
		l := i.s.lanes[c.Lane]
		if l == nil {
			continue
		}
		l.waiting.Scan(func(r *record) bool {
			if !c.Before.QueueAt.IsZero() && !before(r, c.Before) {
				return false
			}
			counts[n]++
			if total++; total > limit {
				counts[n] = l.waiting.Len() // an estimate: all of them
			}
			return total <= limit
		})
	}
	return counts, total <= limit, nil
}

// before reports whether a record stands before a candidate's place in their lane.
func before(r *record, c domain.Candidate) bool {
	if d := r.QueueAt.Compare(c.QueueAt); d != 0 {
		return d < 0
	}
	return r.ID < c.ID
}

// Usages implements ports.InsightStore.
func (i insight) Usages(
	ctx context.Context, customers []domain.CustomerID,
) (map[domain.CustomerID]domain.Usage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	out := make(map[domain.CustomerID]domain.Usage, len(customers))
	for _, id := range customers {
		out[id] = i.s.usageLocked(id)
	}
	return out, nil
}

// SaveThroughput implements ports.InsightStore.
func (i insight) SaveThroughput(ctx context.Context, p domain.Throughput) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	i.s.throughput = cloneThroughput(p)
	i.s.throughput.At = p.At.UTC().Truncate(time.Microsecond)
	return nil
}

// Throughput implements ports.InsightStore.
func (i insight) Throughput(ctx context.Context) (domain.Throughput, error) {
	if err := ctx.Err(); err != nil {
		return domain.Throughput{}, err
	}
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	return cloneThroughput(i.s.throughput), nil
}

func cloneThroughput(p domain.Throughput) domain.Throughput {
	p.Types, p.Customers = maps.Clone(p.Types), maps.Clone(p.Customers)
	p.Waits, p.Lanes = cloneWaits(p.Waits), cloneWaits(p.Lanes)
	return p
}

func cloneWaits[K comparable](of map[K]domain.Waits) map[K]domain.Waits {
	of = maps.Clone(of)
	for key, w := range of {
		of[key] = maps.Clone(w)
	}
	return of
}
