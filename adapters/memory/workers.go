package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type workers struct{ s *Store }

// Register implements ports.WorkerStore.
func (w workers) Register(ctx context.Context, r domain.Registration, lease time.Duration) (domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return domain.Worker{}, err
	}
	if err := r.Validate(); err != nil {
		return domain.Worker{}, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	now := w.s.now()
	old := w.s.workers[r.WorkerID]
	switch _, ended := w.s.past[r.SessionID]; {
	case ended:
		return domain.Worker{}, domain.NewError(domain.CodeFenced, "session %s has ended", r.SessionID)
	case w.s.died(r):
		return domain.Worker{}, domain.NewError(domain.CodeFenced, "process %s has died", r.ProcessID)
	case old != nil && old.SessionID == r.SessionID:
		old.HeartbeatAt, old.LeaseUntil = now, now.Add(lease)
		return old.Clone(), nil
	}
	loss, err := r.Displaces(old, now)
	switch {
	case err != nil:
		return domain.Worker{}, err
	case loss == domain.LossExpired:
		w.s.expire(old)
	case loss != "":
		w.s.end(old.SessionID, loss)
	}
	if _, ended := w.s.past[r.PreviousSessionID]; ended { // its process lives
		w.s.returned[r.PreviousSessionID] = true
	}
	r = r.Clone()
	wk := &domain.Worker{
		ID: r.WorkerID, SessionID: r.SessionID, Status: r.Status(), Capabilities: r.Capabilities,
		Slots: r.Slots, Resources: r.Resources, Tags: r.Tags, Version: r.Version,
		ProcessID: r.ProcessID, CertificateDigest: r.CertificateDigest,
		RegisteredAt: now, HeartbeatAt: now, LeaseUntil: now.Add(lease),
	}
	w.s.workers[wk.ID] = wk
	for _, t := range r.Types() {
		w.s.types[t] = true
	}
	w.s.appendWorker(wk.ID, domain.AuditWorkerJoined, workerActor(wk.ID), "")
	if r.Draining {
		w.s.appendWorker(wk.ID, domain.AuditWorkerDraining, workerActor(wk.ID), "")
	}
	return wk.Clone(), nil
}

func workerActor(id domain.WorkerID) domain.Actor {
	return domain.Actor{Kind: domain.ActorWorker, ID: string(id)}
}

// end ends a session for good, and remembers how while it still holds something.
func (s *Store) end(session domain.SessionID, loss domain.Loss) {
	s.past[session] = s.now()
	h := s.holdings[session]
	if h == nil {
		return
	}
	s.ended[session] = loss
	for _, w := range s.workers {
		if w.SessionID == session && w.CertificateDigest != "" {
			s.supervised[session] = true
		}
	}
	for k := range h.ending { // its process is gone or stops all it runs
		s.letGo(h, k)
	}
	s.dropIfEmpty(session)
}

// Heartbeat implements ports.WorkerStore.
func (w workers) Heartbeat(ctx context.Context, beats []ports.Beat, lease time.Duration) ([]ports.BeatResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	now := w.s.now()
	results := make([]ports.BeatResult, len(beats))
	for i, b := range beats {
		results[i] = w.s.beat(b, now, lease)
	}
	return results, nil
}

func (s *Store) beat(b ports.Beat, now time.Time, lease time.Duration) ports.BeatResult {
	w := s.workers[b.WorkerID]
	switch {
	case w == nil || !w.Live():
		return ports.BeatResult{Status: ports.BeatExpired}
	case w.SessionID != b.SessionID:
		return ports.BeatResult{Status: ports.BeatReplaced}
	}
	w.HeartbeatAt, w.LeaseUntil = now, now.Add(lease)
	if b.Draining && w.Status == domain.WorkerHealthy {
		w.Status = domain.WorkerDraining
		s.appendWorker(w.ID, domain.AuditWorkerDraining, workerActor(w.ID), "")
	}
	return ports.BeatResult{Status: ports.BeatRenewed, WorkerStatus: w.Status}
}

// Expire implements ports.WorkerStore.
func (w workers) Expire(ctx context.Context, epoch int64, limit int) ([]domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if err := w.s.checkEpoch(epoch); err != nil {
		return nil, err
	}
	now := w.s.now()
	var dead []*domain.Worker
	for _, wk := range w.s.workers {
		if wk.Live() && wk.LeaseUntil.Before(now) {
			dead = append(dead, wk)
		}
	}
	slices.SortFunc(dead, func(a, b *domain.Worker) int {
		return cmp.Or(a.LeaseUntil.Compare(b.LeaseUntil), cmp.Compare(a.ID, b.ID))
	})
	out := make([]domain.Worker, 0, min(limit, len(dead)))
	for _, wk := range dead[:min(limit, len(dead))] {
		w.s.expire(wk)
		out = append(out, wk.Clone())
	}
	return out, nil
}

// expire declares a worker DEAD whose lease has ended.
func (s *Store) expire(wk *domain.Worker) {
	wk.Status = domain.WorkerDead
	s.end(wk.SessionID, domain.LossExpired)
	system := domain.Actor{Kind: domain.ActorCoordinator}
	s.appendWorker(wk.ID, domain.AuditHeartbeatMissed, system, "last heartbeat at "+wk.HeartbeatAt.Format(time.RFC3339Nano))
	s.appendWorker(wk.ID, domain.AuditWorkerDead, system, string(domain.LossExpired))
}

// List implements ports.WorkerStore.
func (w workers) List(ctx context.Context, ids ...domain.WorkerID) ([]domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if len(ids) == 0 {
		ids = slices.Collect(maps.Keys(w.s.workers))
	}
	out := make([]domain.Worker, 0, len(ids))
	for _, id := range ids {
		if wk := w.s.workers[id]; wk != nil {
			out = append(out, wk.Clone())
		}
	}
	slices.SortFunc(out, func(a, b domain.Worker) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// KnownTypes implements ports.WorkerStore.
func (w workers) KnownTypes(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return slices.Sorted(maps.Keys(w.s.types)), nil
}
