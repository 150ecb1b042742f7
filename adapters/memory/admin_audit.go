package memory

import (
	"context"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type adminAudit struct{ s *Store }

// actLocked records an action of an administrator, if there is one.
func (s *Store) actLocked(e domain.AdminEvent) {
	if e.Action == "" {
		return
	}
	s.adminEventID++
	e.ID = s.adminEventID
	s.adminEvents = append(s.adminEvents, e)
}

// Record implements ports.AdminAuditStore.
func (a adminAudit) Record(ctx context.Context, events []domain.AdminEvent) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	for _, e := range events {
		e.At = a.s.now()
		a.s.actLocked(e)
	}
	return nil
}

// List implements ports.AdminAuditStore.
func (a adminAudit) List(ctx context.Context, q ports.AdminAuditQuery) ([]domain.AdminEvent, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	events := slices.All(a.s.adminEvents)
	if !q.Ascending {
		events = slices.Backward(a.s.adminEvents)
	}
	var out []domain.AdminEvent
	for _, e := range events {
		if len(out) == q.Limit {
			break
		}
		if q.Selects(&e) {
			out = append(out, e)
		}
	}
	return out, nil
}
