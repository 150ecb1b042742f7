package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Archived implements ports.RetentionStore.
func (r retention) Archived(
	ctx context.Context, customer domain.CustomerID, age time.Duration, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	var out []domain.Workload
	for _, id := range ids {
		w := r.s.archive[id]
		if w != nil && w.CustomerID == customer && r.s.now().Sub(w.ArchivedAt) <= age {
			out = append(out, w.Workload.Clone())
		}
	}
	return out, nil
}

// Owners implements ports.RetentionStore.
func (r retention) Owners(
	ctx context.Context, age time.Duration, ids ...domain.WorkloadID,
) (map[domain.WorkloadID]domain.CustomerID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	owners := make(map[domain.WorkloadID]domain.CustomerID, len(ids))
	for _, id := range ids {
		if w := r.s.workloads[id]; w != nil {
			owners[id] = w.CustomerID
		} else if w := r.s.archive[id]; w != nil && r.s.now().Sub(w.ArchivedAt) <= age {
			owners[id] = w.CustomerID
		}
	}
	return owners, nil
}

// ArchivedMonth implements ports.RetentionStore.
func (r retention) ArchivedMonth(ctx context.Context, after time.Time) (month time.Time, found bool, err error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, false, err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for _, w := range r.s.archive {
		if m := domain.MonthOf(w.ArchivedAt); m.After(after) && (!found || m.Before(month)) {
			month, found = m, true
		}
	}
	return month, found && !month.AddDate(0, 1, 0).Add(domain.ArchiveMargin).After(r.s.now()), nil
}

// ArchivedIn implements ports.RetentionStore.
func (r retention) ArchivedIn(
	ctx context.Context, month time.Time, after ports.ArchivePlace, limit int,
) ([]domain.Workload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	compare := func(a, b ports.ArchivePlace) int {
		return cmp.Or(cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Workload, b.Workload))
	}
	place := func(w *record) ports.ArchivePlace { return ports.ArchivePlace{Customer: w.CustomerID, Workload: w.ID} }
	var found []*record
	for _, w := range r.s.archive {
		if domain.MonthOf(w.ArchivedAt).Equal(month) && compare(place(w), after) > 0 &&
			!r.s.customers[w.CustomerID].Deleting() {
			found = append(found, w)
		}
	}
	slices.SortFunc(found, func(a, b *record) int { return compare(place(a), place(b)) })
	out := make([]domain.Workload, min(limit, len(found)))
	for i := range out {
		out[i] = found[i].Workload.Clone()
	}
	return out, nil
}
