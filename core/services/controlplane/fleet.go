package controlplane

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// WorkerView is a worker with the runs of its session. Held are those that it holds. Ending are
// those that it no longer holds but has not stopped yet.
type WorkerView struct {
	domain.Worker
	Held, Ending []ports.HeldWorkload
	// Allocated is what both hold of its resources.
	Allocated domain.Allocation
}

// view returns a worker with the given runs of its session, and what they hold.
func view(w domain.Worker, held []ports.HeldWorkload, occupancy []domain.Occupancy) WorkerView {
	v := WorkerView{Worker: w}
	for i := range occupancy {
		v.Allocated.Add(&occupancy[i])
	}
	for _, h := range held {
		switch {
		case h.Ending:
			v.Ending = append(v.Ending, h)
		default:
			v.Held = append(v.Held, h)
		}
	}
	return v
}

// ViewWorker returns a worker with the runs of its session.
func (s *Service) ViewWorker(ctx context.Context, w domain.Worker) (WorkerView, error) {
	held, err := s.deps.Queue.Held(ctx, w.SessionID)
	if err != nil {
		return WorkerView{}, err
	}
	occupancy, err := s.deps.Queue.Occupancy(ctx, w.SessionID)
	return view(w, held, occupancy), err
}

// ListWorkers returns all workers with their runs, ordered by id. It includes DEAD workers.
func (s *Service) ListWorkers(ctx context.Context) ([]WorkerView, error) {
	fleet, err := s.deps.Workers.Fleet(ctx)
	if err != nil {
		return nil, err
	}
	sessions := make([]domain.SessionID, len(fleet.Workers))
	for i, w := range fleet.Workers {
		sessions[i] = w.SessionID
	}
	held, err := s.deps.Queue.Held(ctx, sessions...)
	if err != nil {
		return nil, err
	}
	occupied := map[domain.SessionID][]domain.Occupancy{}
	for _, o := range fleet.Occupancy {
		occupied[o.SessionID] = append(occupied[o.SessionID], o)
	}
	bySession := map[domain.SessionID][]ports.HeldWorkload{}
	for _, h := range held {
		bySession[h.SessionID] = append(bySession[h.SessionID], h)
	}
	views := make([]WorkerView, len(fleet.Workers))
	for i, w := range fleet.Workers {
		views[i] = view(w, bySession[w.SessionID], occupied[w.SessionID])
	}
	return views, nil
}

// GetWorker returns a worker with its runs. The worker may be DEAD. CodeNotFound.
func (s *Service) GetWorker(ctx context.Context, id domain.WorkerID) (WorkerView, error) {
	found, err := s.deps.Workers.List(ctx, id)
	switch {
	case err != nil:
		return WorkerView{}, err
	case len(found) == 0:
		return WorkerView{}, domain.NotFound("worker")
	}
	return s.ViewWorker(ctx, found[0])
}

// ReadEvents returns up to limit audit events of a worker with ids above after, oldest first. The
// events remain after the worker is removed. CodeNotFound for a worker that never existed. The events
// of one that has just registered may be missing.
func (s *Service) ReadEvents(
	ctx context.Context, id domain.WorkerID, after int64, limit int,
) ([]domain.AuditEvent, error) {
	events, err := s.deps.Audit.Worker(ctx, id, after, limit)
	if err != nil || len(events) > 0 {
		return events, err
	}
	first, err := s.deps.Audit.Worker(ctx, id, 0, 1)
	if err != nil || len(first) > 0 {
		return nil, err
	}
	// What the audit is read from may be behind.
	known, err := s.deps.Workers.List(ctx, id)
	if err == nil && len(known) == 0 {
		err = domain.NotFound("worker")
	}
	return nil, err
}

// DrainWorker asks a worker to drain: it gets no new work, saves checkpoints, and releases what it
// runs. CodeNotFound; CodeInvalidState if it is DEAD.
func (s *Service) DrainWorker(ctx context.Context, id domain.WorkerID, by domain.Admin) (domain.Worker, error) {
	w, err := s.deps.Fleet.Drain(ctx, id, by)
	if err != nil {
		return w, err
	}
	s.deps.Notifier.Command(ctx, id, ports.Command{Kind: ports.CommandDrain, SessionID: w.SessionID})
	return w, nil
}

// UndrainWorker ends a drain: the worker gets work again. CodeNotFound; CodeInvalidState if it is
// DEAD.
func (s *Service) UndrainWorker(ctx context.Context, id domain.WorkerID, by domain.Admin) (domain.Worker, error) {
	w, err := s.deps.Fleet.Undrain(ctx, id, by)
	if err != nil {
		return w, err
	}
	s.deps.Notifier.Command(ctx, id, ports.Command{Kind: ports.CommandUndrain, SessionID: w.SessionID})
	s.deps.Notifier.Wake(ctx, "worker undrained")
	return w, nil
}

// RemoveWorker removes a worker at once. The leader's next sweep redistributes its work. If the
// process is still alive, the next heartbeat tells it: it stops what it runs and may register
// again. CodeNotFound.
func (s *Service) RemoveWorker(ctx context.Context, id domain.WorkerID, by domain.Admin) error {
	workers, err := s.deps.Workers.List(ctx)
	if err != nil {
		return err
	}
	if err := s.deps.Fleet.Remove(ctx, id, by); err != nil {
		return err
	}
	for _, w := range workers {
		if w.ID == id {
			s.missing.forget(w.SessionID)
		}
	}
	s.deps.Notifier.Wake(ctx, ports.WakeWorkerRemoved)
	return nil
}
