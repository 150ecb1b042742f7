package postgres

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

type fleet struct{ s *Store }

// Drain implements ports.FleetStore.
func (f fleet) Drain(ctx context.Context, id domain.WorkerID, by domain.Admin) (domain.Worker, error) {
	return f.change(
		ctx, id, func(w *domain.Worker, now time.Time) (domain.WorkerChange, error) { return w.Drain(by, now) },
	)
}

// Undrain implements ports.FleetStore.
func (f fleet) Undrain(ctx context.Context, id domain.WorkerID, by domain.Admin) (domain.Worker, error) {
	return f.change(
		ctx, id, func(w *domain.Worker, now time.Time) (domain.WorkerChange, error) { return w.Undrain(by, now) },
	)
}

// Remove implements ports.FleetStore.
func (f fleet) Remove(ctx context.Context, id domain.WorkerID, by domain.Admin) error {
	_, err := f.change(
		ctx, id,
		func(w *domain.Worker, now time.Time) (domain.WorkerChange, error) { return w.Remove(by, now), nil },
	)
	return err
}

// change reads a worker, decides, and executes the decision.
func (f fleet) change(
	ctx context.Context, id domain.WorkerID, decide func(w *domain.Worker, now time.Time) (domain.WorkerChange, error),
) (domain.Worker, error) {
	return inTx(ctx, f.s, f.s.leases, func(ctx context.Context, t *tx) (domain.Worker, error) {
		var wk *domain.Worker
		t.queueWorker(id, &wk)
		if err := t.read(ctx); err != nil {
			return domain.Worker{}, err
		}
		if wk == nil {
			return domain.Worker{}, domain.NotFound("worker")
		}
		c, err := decide(wk, t.now)
		if err != nil {
			return domain.Worker{}, err
		}
		t.queueWorkerChanges(c)
		return c.Worker, t.commit(ctx)
	})
}
