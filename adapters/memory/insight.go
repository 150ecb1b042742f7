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
func (i insight) Ahead(ctx context.Context, cutoffs []ports.Cutoff, most int) ([]int, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	i.s.promote(i.s.now())
	counts := make([]int, len(cutoffs))
	for n, c := range cutoffs {
		l := i.s.lanes[c.Lane]
		if l == nil {
			continue
		}
		l.waiting.Scan(func(r *record) bool {
			if counts[n] == most || !c.Before.QueueAt.IsZero() && !before(r, c.Before) {
				return false
			}
			counts[n]++
			return true
		})
	}
	return counts, nil
}

// before reports whether a record stands before a candidate's place in their lane.
func before(r *record, c domain.Candidate) bool {
	if d := r.QueueAt.Compare(c.QueueAt); d != 0 {
		return d < 0
	}
	return r.ID < c.ID
}

// SavePace implements ports.InsightStore.
func (i insight) SavePace(ctx context.Context, p domain.Pace) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	i.s.pace = clonePace(p)
	i.s.pace.At = p.At.UTC().Truncate(time.Microsecond)
	return nil
}

// Pace implements ports.InsightStore.
func (i insight) Pace(ctx context.Context) (domain.Pace, error) {
	if err := ctx.Err(); err != nil {
		return domain.Pace{}, err
	}
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	return clonePace(i.s.pace), nil
}

func clonePace(p domain.Pace) domain.Pace {
	p.Types, p.Customers = maps.Clone(p.Types), maps.Clone(p.Customers)
	return p
}
