package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type erasure struct{ s *Store }

// Deleting implements ports.ErasureStore.
func (e erasure) Deleting(
	ctx context.Context, after domain.CustomerID, limit int,
) ([]domain.CustomerID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	var found []domain.CustomerID
	for id, t := range e.s.customers {
		if id > after && t.Deleting() {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	return found[:min(limit, len(found))], nil
}

// Unfinished implements ports.ErasureStore.
func (e erasure) Unfinished(
	ctx context.Context, customer domain.CustomerID, limit int,
) ([]domain.WorkloadID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	var out []domain.WorkloadID
	if t := e.s.customers[customer]; t != nil {
		t.byCreated.Scan(func(r *record) bool {
			if !r.Status.Final() {
				out = append(out, r.ID)
			}
			return len(out) < limit
		})
	}
	return out, nil
}

// Remaining implements ports.ErasureStore.
func (e erasure) Remaining(ctx context.Context, customer domain.CustomerID, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	t := e.s.customers[customer]
	if t == nil {
		return 0, nil
	}
	return min(t.byCreated.Len()+len(e.s.archivedLocked(customer)), limit), nil
}

// archivedLocked returns the archived workloads of a customer.
func (s *Store) archivedLocked(customer domain.CustomerID) (out []*record) {
	for _, r := range s.archive {
		if r.CustomerID == customer {
			out = append(out, r)
		}
	}
	return out
}

// Erase implements ports.ErasureStore.
func (e erasure) Erase(
	ctx context.Context, epoch int64, customer domain.CustomerID, limit int, by domain.Admin,
) (ports.Erased, error) {
	if err := ctx.Err(); err != nil {
		return ports.Erased{}, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	if err := e.s.checkEpochLocked(epoch); err != nil {
		return ports.Erased{}, err
	}
	t := e.s.customers[customer]
	if t == nil || !t.Deleting() {
		return ports.Erased{}, nil
	}
	if t.byCreated.Len() > 0 {
		return ports.Erased{More: e.s.eraseWorkloadsLocked(t, limit) > 0}, nil
	}
	archived := e.s.archivedLocked(customer)
	for _, r := range archived[:min(limit, len(archived))] {
		delete(e.s.archive, r.ID)
	}
	if len(archived) > limit {
		return ports.Erased{More: true}, nil
	}
	if more, waits := e.s.eraseUploadsLocked(customer, limit); more || waits {
		return ports.Erased{More: more}, nil
	}
	e.s.uses = slices.DeleteFunc(e.s.uses, func(u *domain.KeyUse) bool { return u.CustomerID == customer })
	e.s.answers = slices.DeleteFunc(e.s.answers, func(a *domain.Answer) bool { return a.CustomerID == customer })
	maps.DeleteFunc(e.s.tickets, func(_ [32]byte, t domain.Ticket) bool {
		k := e.s.keys[t.KeyPrefix]
		return k != nil && k.CustomerID == customer
	})
	maps.DeleteFunc(e.s.keys, func(_ string, k *domain.APIKey) bool { return k.CustomerID == customer })
	t.happened.Scan(func(h happening) bool {
		e.s.happened.Delete(h)
		return true
	})
	delete(e.s.customers, customer)
	e.s.actLocked(t.Erased(by, e.s.now()))
	return ports.Erased{Done: true}, nil
}

// eraseWorkloadsLocked removes up to limit finished workloads of which no worker still runs
// anything, and returns how many.
func (s *Store) eraseWorkloadsLocked(t *tenant, limit int) int {
	var gone []*record
	t.finished.Scan(func(r *record) bool {
		if !s.endingLocked(r.ID) {
			gone = append(gone, r)
		}
		return len(gone) < limit
	})
	for _, r := range gone {
		s.forgetLocked(r, r.audit)
		t.finished.Delete(r)
		t.byCreated.Delete(r)
		delete(s.workloads, r.ID)
	}
	return len(gone)
}
