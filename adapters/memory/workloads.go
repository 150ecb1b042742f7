package memory

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type workloads struct{ s *Store }

// Submit implements ports.WorkloadStore.
func (w workloads) Submit(ctx context.Context, batch []domain.Submission) ([]ports.SubmitResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	now := w.s.now()
	results := make([]ports.SubmitResult, len(batch))
	for i := range batch {
		results[i] = w.s.submitLocked(&batch[i], now)
	}
	return results, nil
}

func (s *Store) submitLocked(sub *domain.Submission, now time.Time) ports.SubmitResult {
	var known domain.KnownWorkloads
	t := s.customers[sub.CustomerID]
	if t != nil {
		known = domain.KnownWorkloads{Customer: &t.Customer, Use: t.uses[sub.IdempotencyKey], Queued: t.counts.total.Queued}
	}
	if old := s.workloads[sub.ID]; old != nil {
		known.Owner = old.CustomerID
	}
	restored := s.restorableLocked(sub)
	if restored != nil {
		known.Restored = &restored.Checkpoint
	}
	admission, existing := sub.Admit(known, now)
	switch admission {
	case domain.Admitted:
	case domain.AdmittedBefore:
		return ports.SubmitResult{Status: admission, Workload: s.workloads[existing].Workload.Clone()}
	case domain.AdmissionQueueFull:
		return ports.SubmitResult{Status: admission, Queue: known.Queue()}
	default:
		return ports.SubmitResult{Status: admission}
	}
	wl, created := domain.NewWorkload(*sub, known.Restored, now)
	r := &record{Workload: wl.Clone()}
	if restored != nil {
		r.checkpoints = []savedCheckpoint{{restored.RestoredFor(wl.ID, now), restored.data}}
	}
	r.audit = make([]domain.AuditEvent, 0, 4)
	s.workloads[r.ID] = r
	t.byCreated.Set(r)
	s.auditLocked(r, created)
	s.enterLocked(r, now)
	t.counts.add(domain.CountChange(&domain.State{}, &wl, domain.Consumption{}))
	s.demands.Add(domain.HourOf(now), wl.Run.Resources, 1)
	s.actLocked(sub.Act(&wl, now))
	if sub.IdempotencyKey != "" {
		use := sub.Use(now)
		t.uses[use.Key] = &use
		s.uses = append(s.uses, &use)
	}
	return ports.SubmitResult{Status: admission, Workload: wl.Clone()}
}

// Apply implements ports.WorkloadStore.
func (w workloads) Apply(ctx context.Context, b domain.Batch) ([]domain.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if b.Epoch != 0 || b.NeedsEpoch() {
		if err := w.s.checkEpochLocked(b.Epoch); err != nil {
			return nil, err
		}
	}
	now := w.s.now()
	results := make([]domain.Result, len(b.Transitions))
	for i := range b.Transitions {
		results[i] = w.s.applyLocked(&b.Transitions[i], now)
	}
	return results, nil
}

// applyLocked executes one transition.
func (s *Store) applyLocked(t *domain.Transition, now time.Time) domain.Result {
	r := s.workloads[t.WorkloadID]
	if r == nil {
		res, _, _ := domain.Execute(nil, t, nil, now)
		return res
	}
	next := r.Workload // the record itself changes only between leave and enter
	res, event, changed := domain.Execute(&next, t, s.tallyLocked(r, t), now)
	s.keepEndingLocked(r, res.Hands, res.Ending)
	if changed {
		s.customers[r.CustomerID].counts.add(domain.CountChange(&r.State, &next, event.Used))
		s.replaceLocked(r, next.State, now)
		if event.Type != "" {
			s.auditLocked(r, event)
		}
		s.actLocked(t.Act(&res, now))
	}
	if res.Outcome == domain.OutcomeApplied {
		r.keep(t)
	}
	return res
}

// replaceLocked gives a record its next state, and moves it between indexes if that is needed.
func (s *Store) replaceLocked(r *record, next domain.State, now time.Time) {
	if next.Status == r.Status || next.Status.Held() && r.Status.Held() {
		r.State = next
		return
	}
	s.leaveLocked(r)
	r.State = next
	s.enterLocked(r, now)
}

// tallyLocked returns what domain.Execute checks an assignment against, and the worker of a
// report. It returns nil for other events.
func (s *Store) tallyLocked(r *record, t *domain.Transition) *domain.Tally {
	if t.Reported() {
		return &domain.Tally{Workers: map[domain.WorkerID]*domain.Worker{r.WorkerID: s.workers[r.WorkerID]}}
	}
	if t.Event != domain.EventAssign {
		return nil
	}
	tenant := s.customers[r.CustomerID]
	y := &domain.Tally{
		MaxConcurrent: map[domain.CustomerID]int{r.CustomerID: tenant.Entitlements().MaxConcurrent},
		Running:       map[domain.CustomerID]int{r.CustomerID: tenant.counts.total.Running},
		Workers:       map[domain.WorkerID]*domain.Worker{t.WorkerID: s.workers[t.WorkerID]},
		Held:          map[domain.SessionID]int{},
		Suspects:      map[domain.SessionID]int{t.SessionID: s.suspectsOfLocked(t.SessionID)},
		FoundAt:       map[domain.SessionID]time.Time{},
	}
	if wk := s.workers[t.WorkerID]; wk.Holds(t.SessionID) && !r.Run.Resources.IsZero() {
		y.Holdings = map[domain.SessionID]*domain.Holding{t.SessionID: s.heldOfLocked(wk)}
	}
	if h := s.holdings[t.SessionID]; h != nil {
		y.Held[t.SessionID] = len(h.records) + len(h.ending)
		for _, e := range h.ending {
			if e.FoundAt.After(y.FoundAt[t.SessionID]) {
				y.FoundAt[t.SessionID] = e.FoundAt
			}
		}
	}
	return y
}

// Get implements ports.WorkloadStore.
func (w workloads) Get(
	ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.collectLocked(ids, func(id domain.WorkloadID) *record { return w.s.findLocked(customer, id) }), nil
}

// GetBrief implements ports.WorkloadStore.
func (w workloads) GetBrief(
	ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	found := w.collectLocked(ids, func(id domain.WorkloadID) *record { return w.s.findLocked(customer, id) })
	for i := range found {
		found[i] = found[i].Brief()
	}
	return found, nil
}

// GetAny implements ports.WorkloadStore.
func (w workloads) GetAny(ctx context.Context, ids ...domain.WorkloadID) ([]domain.Workload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.collectLocked(ids, func(id domain.WorkloadID) *record { return w.s.workloads[id] }), nil
}

// collectLocked copies the workloads that find returns.
func (w workloads) collectLocked(ids []domain.WorkloadID, find func(domain.WorkloadID) *record) []domain.Workload {
	found := make([]domain.Workload, 0, len(ids))
	for _, id := range ids {
		if r := find(id); r != nil {
			found = append(found, r.Workload.Clone())
		}
	}
	return found
}
