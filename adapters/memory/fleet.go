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
	return f.turn(ctx, id, (*domain.Worker).Drain, domain.AuditWorkerDraining, actor)
}

// Undrain implements ports.FleetStore.
func (f fleet) Undrain(ctx context.Context, id domain.WorkerID, actor domain.Actor) (domain.Worker, error) {
	return f.turn(ctx, id, (*domain.Worker).Undrain, domain.AuditWorkerUndrained, actor)
}

// turn changes a worker's status as the domain decides, and audits a change.
func (f fleet) turn(
	ctx context.Context, id domain.WorkerID, decide func(*domain.Worker) (bool, error), event domain.AuditType, actor domain.Actor,
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
	changed, err := decide(wk)
	if err != nil {
		return domain.Worker{}, err
	}
	if changed {
		f.s.appendWorker(id, event, actor, "")
	}
	return wk.Clone(), nil
}

// Remove implements ports.FleetStore.
func (f fleet) Remove(ctx context.Context, id domain.WorkerID, actor domain.Actor) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	wk := f.s.workers[id]
	if wk == nil {
		return domain.NotFound("worker")
	}
	if wk.Live() {
		f.s.end(wk.SessionID, domain.LossRemoved)
	}
	delete(f.s.workers, id)
	f.s.appendWorker(id, domain.AuditWorkerRemoved, actor, "")
	return nil
}

// Purge implements ports.FleetStore.
func (f fleet) Purge(ctx context.Context, epoch int64, age time.Duration, limit int) (ports.Purged, error) {
	if err := ctx.Err(); err != nil {
		return ports.Purged{}, err
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.s.checkEpoch(epoch); err != nil {
		return ports.Purged{}, err
	}
	var p ports.Purged
	old := f.s.now().Add(-age)
	for _, id := range slices.Sorted(maps.Keys(f.s.workers)) {
		if wk := f.s.workers[id]; p.Workers < limit && !wk.Live() && wk.HeartbeatAt.Before(old) {
			delete(f.s.workers, id)
			f.s.appendWorker(id, domain.AuditWorkerRemoved, domain.Actor{Kind: domain.ActorCoordinator}, domain.PurgedDead)
			p.Workers++
		}
	}
	for session, at := range f.s.past {
		if p.Sessions < limit && at.Before(old) && f.s.holdings[session] == nil {
			delete(f.s.past, session)
			delete(f.s.returned, session)
			p.Sessions++
		}
	}
	for c, at := range f.s.certificates {
		if p.Sessions < limit && at.Before(old) {
			delete(f.s.certificates, c)
			p.Sessions++
		}
	}
	return p, nil
}
