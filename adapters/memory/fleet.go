package memory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type fleet struct{ s *Store }

// Drain implements ports.FleetStore.
func (f fleet) Drain(ctx context.Context, id domain.WorkerID, actor domain.Actor) (domain.Worker, error) {
	return f.change(
		ctx, id, func(w *domain.Worker, now time.Time) (domain.WorkerChange, error) { return w.Drain(actor, now) },
	)
}

// Undrain implements ports.FleetStore.
func (f fleet) Undrain(ctx context.Context, id domain.WorkerID, actor domain.Actor) (domain.Worker, error) {
	return f.change(
		ctx, id, func(w *domain.Worker, now time.Time) (domain.WorkerChange, error) { return w.Undrain(actor, now) },
	)
}

// Remove implements ports.FleetStore.
func (f fleet) Remove(ctx context.Context, id domain.WorkerID, actor domain.Actor) error {
	_, err := f.change(
		ctx, id,
		func(w *domain.Worker, now time.Time) (domain.WorkerChange, error) { return w.Remove(actor, now), nil },
	)
	return err
}

// change reads a worker, decides, and executes the decision.
func (f fleet) change(
	ctx context.Context, id domain.WorkerID, decide func(w *domain.Worker, now time.Time) (domain.WorkerChange, error),
) (domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return domain.Worker{}, err
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	wk := f.s.workers[id]
	if wk == nil {
		return domain.Worker{}, domain.NotFound("worker")
	}
	c, err := decide(wk, f.s.now())
	if err != nil {
		return domain.Worker{}, err
	}
	f.s.changeLocked(c)
	return c.Worker.Clone(), nil
}

// Purge implements ports.FleetStore.
func (f fleet) Purge(ctx context.Context, epoch int64, age time.Duration, limit int) (ports.Purged, error) {
	if err := ctx.Err(); err != nil {
		return ports.Purged{}, err
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.s.checkEpochLocked(epoch); err != nil {
		return ports.Purged{}, err
	}
	var p ports.Purged
	now := f.s.now()
	for _, id := range slices.Sorted(maps.Keys(f.s.workers)) {
		if wk := f.s.workers[id]; p.Workers < limit && wk.Outdated(age, now) {
			f.s.changeLocked(wk.Purge(now))
			p.Workers++
		}
	}
	for session, end := range f.s.past {
		if p.Sessions < limit && now.Sub(end.At) > age && f.s.holdings[session] == nil {
			delete(f.s.past, session)
			p.Sessions++
		}
	}
	for c, at := range f.s.certificates {
		if p.Sessions < limit && now.Sub(at) > age {
			delete(f.s.certificates, c)
			p.Sessions++
		}
	}
	return p, nil
}
