package simulation

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// customers is a CustomerStore with faults. The checker sees when a deletion really begins.
type customers struct {
	ports.CustomerStore
	w *World
}

func (s customers) Delete(
	ctx context.Context, id domain.CustomerID, force bool, by domain.Admin,
) (domain.Customer, error) {
	return withFaults(s.w, func() (domain.Customer, error) {
		c, err := s.CustomerStore.Delete(ctx, id, force, by)
		if err == nil {
			s.w.check.deleting(ctx, s.w.account(id), force)
		}
		return c, err
	})
}

// inSmallBatches is an ErasureStore whose batches are so small that the deletion of a customer of a
// run takes several.
type inSmallBatches struct{ ports.ErasureStore }

func (s inSmallBatches) Unfinished(ctx context.Context, id domain.CustomerID, _ int) ([]domain.WorkloadID, error) {
	return s.ErasureStore.Unfinished(ctx, id, 2)
}

func (s inSmallBatches) Erase(
	ctx context.Context, epoch int64, id domain.CustomerID, _ int, by domain.Admin,
) (ports.Erased, error) {
	return s.ErasureStore.Erase(ctx, epoch, id, 2, by)
}

// erasures is an ErasureStore with faults. The checker sees what is really removed.
type erasures struct {
	ports.ErasureStore
	w *World
}

func (s erasures) Deleting(ctx context.Context, after domain.CustomerID, limit int) ([]domain.CustomerID, error) {
	return withFaults(s.w, func() ([]domain.CustomerID, error) { return s.ErasureStore.Deleting(ctx, after, limit) })
}

func (s erasures) Unfinished(ctx context.Context, id domain.CustomerID, limit int) ([]domain.WorkloadID, error) {
	return withFaults(s.w, func() ([]domain.WorkloadID, error) { return s.ErasureStore.Unfinished(ctx, id, limit) })
}

func (s erasures) Erase(
	ctx context.Context, epoch int64, id domain.CustomerID, limit int, by domain.Admin,
) (ports.Erased, error) {
	return withFaults(s.w, func() (ports.Erased, error) {
		held := s.w.check.held(ctx)
		e, err := s.ErasureStore.Erase(ctx, epoch, id, limit, by)
		if err == nil {
			s.w.check.erased(ctx, epoch, s.w.account(id), e, held)
		}
		return e, err
	})
}

// deleting checks a committed beginning of a deletion. From now on the customer's keys are of no
// use.
func (c *checker) deleting(ctx context.Context, a *account, force bool) {
	if a.deleting {
		return
	}
	a.deleting = true
	c.w.note("the deletion of %s begins", a.id)
	for _, id := range a.ids {
		if s := c.state[id]; !force && !s.Status.Final() {
			c.fail("I16", "the deletion of %s was not forced and began though %s is %s", a.id, id, s.Status)
		}
	}
	keys, err := c.w.stores.Keys.ByPrefix(ctx, a.keyPrefix())
	if err != nil || len(keys) != 1 || keys[0].Usable > 0 {
		c.fail("I16", "the key of %s works though the customer is being deleted: %v (%v)", a.id, keys, err)
	}
}

// held returns the workloads that a live session holds or has not let go of.
func (c *checker) held(ctx context.Context) map[domain.WorkloadID]bool {
	held := map[domain.WorkloadID]bool{}
	workers, err := c.w.stores.Workers.List(ctx)
	if err != nil {
		c.fail("I16", "the workers cannot be listed: %v", err)
	}
	for i := range workers {
		ws, err := c.w.stores.Queue.Held(ctx, workers[i].SessionID)
		if err != nil {
			c.fail("I16", "what %s holds cannot be read: %v", workers[i].ID, err)
		}
		for j := range ws {
			held[ws[j].WorkloadID] = true
		}
	}
	return held
}

// erased checks a committed step of a deletion. held are the workloads that were held until then.
func (c *checker) erased(
	ctx context.Context, epoch int64, a *account, e ports.Erased, held map[domain.WorkloadID]bool,
) {
	for _, id := range a.ids {
		if c.removed[id] {
			continue
		}
		found, err := c.w.stores.Workloads.GetAny(ctx, id)
		if err != nil || len(found) > 0 {
			continue
		}
		c.removed[id] = true
		c.w.note("%s is removed", id[len(id)-4:])
		if s := c.state[id]; !s.Status.Final() || held[id] {
			c.fail("I16", "%s was removed while it was %s (held by a worker: %t)", id, s.Status, held[id])
		}
	}
	if !e.More && !e.Done {
		return
	}
	if epoch != c.epoch {
		c.fail("I2", "a leader of epoch %d deletes %s, the leader's epoch is %d", epoch, a.id, c.epoch)
	}
	if !a.deleting || a.gone {
		c.fail("I16", "%s is erased, but it is not being deleted", a.id)
	}
	if e.Done {
		a.gone = true
		c.w.note("%s is gone", a.id)
		c.nothingLeft(ctx, a)
	}
}

// nothingLeft checks that nothing is left of a customer that was deleted but its id, which is never
// given out again.
func (c *checker) nothingLeft(ctx context.Context, a *account) {
	traces, err := c.w.backend.Traces(a.id, a.ids)
	if err != nil {
		c.fail("I16", "what is left of %s cannot be counted: %v", a.id, err)
	}
	for what, n := range traces {
		if n > 0 {
			c.fail("I16", "of %s, which is gone, %d are left in %s", a.id, n, what)
		}
	}
	if _, err := c.w.stores.Customers.Create(ctx, domain.Customer{
		ID: a.id, Name: "A", Tier: domain.TierPremium,
	}, operator); domain.CodeOf(err) != domain.CodeConflict {
		c.fail("I16", "the id of %s, which is gone, can be used again: %v", a.id, err)
	}
	if _, err := c.w.stores.Customers.Get(ctx, a.id); domain.CodeOf(err) != domain.CodeNotFound {
		c.fail("I16", "%s is gone, but found: %v", a.id, err)
	}
}
