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

// certificate identifies the death of a process, by the digest of its secret.
type certificate struct{ process, digest string }

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
	known := domain.KnownSessions{Worker: w.s.workers[r.WorkerID]}
	_, known.Died = w.s.certificates[certificate{r.ProcessID, r.CertificateDigest}]
	for _, e := range w.s.past {
		if r.Names(e) {
			known.Ended = append(known.Ended, *e)
		}
	}
	change, err := r.Decide(known, w.s.now(), lease)
	if err != nil {
		return domain.Worker{}, err
	}
	w.s.changeLocked(change)
	return change.Worker.Clone(), nil
}

// changeLocked executes a decision about a worker.
func (s *Store) changeLocked(c domain.WorkerChange) {
	if c.Ended.ID != "" {
		s.past[c.Ended.ID] = &c.Ended
		if h := s.holdings[c.Ended.ID]; h != nil {
			n := s.suspectsOfLocked(c.Ended.ID)
			for k := range h.ending { // its process is gone or stops all it runs
				if r := s.workloads[k.WorkloadID]; r != nil && r.Suspect() {
					n++
				}
				s.letGoLocked(h, k)
			}
			if n > 0 {
				s.suspects[c.Ended.ID] = n
			}
			s.dropIfEmptyLocked(c.Ended.ID)
		}
	}
	for _, id := range c.Returned {
		s.past[id].Returned = true
	}
	if c.Removed {
		delete(s.workers, c.Worker.ID)
	} else {
		s.workers[c.Worker.ID] = &c.Worker
	}
	for _, e := range c.Events {
		s.auditID++
		e.ID = s.auditID
		s.byWorker[e.WorkerID] = append(s.byWorker[e.WorkerID], e)
	}
	s.actLocked(c.Act)
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
		status, change := w.s.workers[b.WorkerID].Heartbeat(b.SessionID, b.Draining, now, lease)
		results[i] = ports.BeatResult{Status: status, WorkerStatus: change.Worker.Status}
		if status == domain.SessionCurrent {
			w.s.changeLocked(change)
		}
	}
	return results, nil
}

// Expire implements ports.WorkerStore.
func (w workers) Expire(ctx context.Context, epoch int64, limit int) ([]domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if err := w.s.checkEpochLocked(epoch); err != nil {
		return nil, err
	}
	now := w.s.now()
	var late []*domain.Worker
	for _, wk := range w.s.workers {
		if wk.Live() && wk.LeaseEnded(now) {
			late = append(late, wk)
		}
	}
	slices.SortFunc(late, func(a, b *domain.Worker) int {
		return cmp.Or(a.LeaseUntil.Compare(b.LeaseUntil), cmp.Compare(a.ID, b.ID))
	})
	dead := make([]domain.Worker, 0, min(limit, len(late)))
	for _, wk := range late[:min(limit, len(late))] {
		change := wk.Expire(now)
		w.s.changeLocked(change)
		dead = append(dead, change.Worker.Clone())
	}
	return dead, nil
}

// End implements ports.WorkerStore.
func (w workers) End(ctx context.Context, e domain.SessionEnd) ([]domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	var known []domain.Worker
	for _, wk := range w.s.workers {
		if e.Concerns(wk) {
			known = append(known, *wk)
		}
	}
	proof := certificate{e.ProcessID, domain.CertificateDigest(e.Secret)}
	_, repeated := w.s.certificates[proof]
	changes, err := e.Decide(known, repeated, w.s.now())
	if err != nil {
		return nil, err
	}
	if e.Certificate() && !repeated {
		w.s.certificates[proof] = w.s.now()
	}
	var ended []domain.Worker
	for _, c := range changes {
		w.s.changeLocked(c)
		ended = append(ended, c.Worker.Clone())
	}
	return ended, nil
}

// List implements ports.WorkerStore.
func (w workers) List(ctx context.Context, ids ...domain.WorkerID) ([]domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.s.workersLocked(ids), nil
}

// workersLocked returns the given workers, or all.
func (s *Store) workersLocked(ids []domain.WorkerID) []domain.Worker {
	if len(ids) == 0 {
		ids = slices.Collect(maps.Keys(s.workers))
	}
	out := make([]domain.Worker, 0, len(ids))
	for _, id := range ids {
		if wk := s.workers[id]; wk != nil {
			out = append(out, wk.Clone())
		}
	}
	slices.SortFunc(out, func(a, b domain.Worker) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Fleet implements ports.WorkerStore.
func (w workers) Fleet(ctx context.Context) (domain.Fleet, error) {
	if err := ctx.Err(); err != nil {
		return domain.Fleet{}, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return domain.Fleet{Workers: w.s.workersLocked(nil), Occupancy: w.s.occupancyLocked(nil)}, nil
}
