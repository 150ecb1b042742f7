package memory

import (
	"context"
	"fmt"
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
	w.s.pruneIdempotency(now)
	results := make([]ports.SubmitResult, len(batch))
	for i := range batch {
		results[i] = w.s.submit(&batch[i], now)
	}
	return results, nil
}

func (s *Store) submit(sub *domain.Submission, now time.Time) ports.SubmitResult {
	t := s.customers[sub.CustomerID]
	if t == nil {
		return ports.SubmitResult{Status: ports.SubmitNoCustomer}
	}
	if old := s.workloads[sub.ID]; old != nil {
		if old.CustomerID != sub.CustomerID {
			return ports.SubmitResult{Status: ports.SubmitConflict}
		}
		return ports.SubmitResult{Status: ports.SubmitDuplicate, Workload: old.Workload.Clone()}
	}
	if sub.IdempotencyKey != "" {
		if e, ok := t.idem[sub.IdempotencyKey]; ok {
			if e.digest != sub.Digest {
				return ports.SubmitResult{Status: ports.SubmitConflict}
			}
			return ports.SubmitResult{Status: ports.SubmitDuplicate, Workload: s.workloads[e.id].Workload.Clone()}
		}
	}
	if t.usage.Queued >= t.Limits().MaxQueueDepth {
		return ports.SubmitResult{Status: ports.SubmitQueueFull}
	}
	wl, created := domain.NewWorkload(*sub, now)
	r := &record{Workload: wl.Clone()}
	r.audit = make([]domain.AuditEvent, 0, 4)
	s.workloads[r.ID] = r
	t.byCreated.Set(r)
	s.append(r, created)
	s.enter(r, now)
	if sub.IdempotencyKey != "" {
		t.idem[sub.IdempotencyKey] = idemEntry{sub.Digest, r.ID, now}
		s.idemOrder = append(s.idemOrder, idemRef{sub.CustomerID, sub.IdempotencyKey, now})
	}
	return ports.SubmitResult{Status: ports.SubmitAccepted, Workload: wl.Clone()}
}

// pruneIdempotency forgets keys older than their retention, oldest first.
func (s *Store) pruneIdempotency(now time.Time) {
	n := 0
	for n < len(s.idemOrder) && now.Sub(s.idemOrder[n].at) >= domain.IdempotencyRetention {
		delete(s.customers[s.idemOrder[n].customer].idem, s.idemOrder[n].key)
		n++
	}
	s.idemOrder = s.idemOrder[n:]
}

// Apply implements ports.WorkloadStore.
func (w workloads) Apply(ctx context.Context, b domain.Batch) ([]domain.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if b.Epoch != 0 || b.NeedsEpoch() {
		if err := w.s.checkEpoch(b.Epoch); err != nil {
			return nil, err
		}
	}
	now := w.s.now()
	results := make([]domain.Result, len(b.Transitions))
	for i := range b.Transitions {
		results[i] = w.s.apply(&b.Transitions[i], now)
	}
	return results, nil
}

// apply executes one transition; the mutex is held.
func (s *Store) apply(t *domain.Transition, now time.Time) domain.Result {
	r := s.find(t.CustomerID, t.WorkloadID)
	if r == nil {
		return domain.Result{Outcome: domain.OutcomeNotFound, WorkloadID: t.WorkloadID}
	}
	res := domain.Result{
		WorkloadID: r.ID, CustomerID: r.CustomerID, Type: r.Type, CreatedAt: r.CreatedAt,
		From: r.Status, FromWorkerID: r.WorkerID, FromSessionID: r.SessionID,
	}
	out, next, event := domain.Decide(&r.Workload, t, now)
	if out == domain.OutcomeApplied && t.Event == domain.EventAssign {
		if res.Reason = s.refusal(r, t); res.Reason != "" {
			out = domain.OutcomeRefused
		}
	}
	res.Outcome = out
	if out == domain.OutcomeApplied && t.Event != domain.EventLog {
		s.replace(r, next.Clone(), now)
		if event.Type != "" {
			s.append(r, event)
		}
	}
	res.State = r.State.Clone()
	return res
}

// replace gives the record its next state and files it anew where that matters.
func (s *Store) replace(r *record, next domain.State, now time.Time) {
	if next.Status == r.Status || next.Status.Held() && r.Status.Held() {
		r.State = next
		return
	}
	s.leave(r)
	r.State = next
	s.enter(r, now)
}

// refusal says why an assignment that is legal for the workload is not possible now; empty when it is.
func (s *Store) refusal(r *record, t *domain.Transition) string {
	tenant := s.customers[r.CustomerID]
	if limit := tenant.Limits().MaxConcurrent; tenant.usage.Running >= limit {
		return fmt.Sprintf("customer at its limit of %d running workloads", limit)
	}
	w := s.workers[t.WorkerID]
	if w == nil || w.SessionID != t.SessionID || w.Status != domain.WorkerHealthy {
		return "worker session is not healthy"
	}
	if h := s.holdings[t.SessionID]; h != nil && len(h.records) >= w.Slots {
		return fmt.Sprintf("all %d slots of the worker are taken", w.Slots)
	}
	return ""
}

// Get implements ports.WorkloadStore.
func (w workloads) Get(ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID) ([]domain.Workload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	found := make([]domain.Workload, 0, len(ids))
	for _, id := range ids {
		if r := w.s.find(customer, id); r != nil {
			found = append(found, r.Workload.Clone())
		}
	}
	return found, nil
}

// Usage implements ports.WorkloadStore.
func (w workloads) Usage(ctx context.Context, customer domain.CustomerID) (domain.Usage, error) {
	if err := ctx.Err(); err != nil {
		return domain.Usage{}, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if t := w.s.customers[customer]; t != nil {
		return t.usage, nil
	}
	return domain.Usage{}, nil
}
