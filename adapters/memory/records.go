package memory

import (
	"context"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type audit struct{ s *Store }

// Workload implements ports.AuditStore.
func (a audit) Workload(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, after int64, limit int,
) ([]domain.AuditEvent, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	r := a.s.trailLocked(customer, id)
	if r == nil {
		return nil, nil
	}
	return eventsAfter(r.audit, after, limit), nil
}

// Worker implements ports.AuditStore.
func (a audit) Worker(ctx context.Context, id domain.WorkerID, after int64, limit int) ([]domain.AuditEvent, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	return eventsAfter(a.s.byWorker[id], after, limit), nil
}

func eventsAfter(events []domain.AuditEvent, after int64, limit int) []domain.AuditEvent {
	i, _ := slices.BinarySearchFunc(events, after+1, func(e domain.AuditEvent, id int64) int { return int(e.ID - id) })
	return slices.Clone(events[i:min(i+limit, len(events))])
}

type logs struct{ s *Store }

// keep stores the log lines of an applied transition, and drops the oldest beyond the limit.
func (r *record) keep(t *domain.Transition) {
	for _, line := range t.Lines {
		r.logSeq++
		line.WorkloadID, line.CustomerID, line.Generation, line.Seq = r.ID, r.CustomerID, t.Generation, r.logSeq
		r.logs = append(r.logs, line)
	}
	if over := len(r.logs) - domain.MaxLogLines; over > 0 {
		r.logs = r.logs[over:]
	}
}

// List implements ports.LogStore.
func (l logs) List(ctx context.Context, q ports.LogQuery) ([]domain.LogLine, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	r := l.s.findLocked(q.Customer, q.Workload)
	if r == nil {
		return nil, nil
	}
	var out []domain.LogLine
	for _, line := range r.logs {
		if line.Seq > q.After() && !line.At.Before(q.Since) && (q.Until.IsZero() || line.At.Before(q.Until)) {
			out = append(out, line)
		}
	}
	if q.Newest() {
		return out[max(0, len(out)-q.Limit):], nil
	}
	return out[:min(q.Limit, len(out))], nil
}
