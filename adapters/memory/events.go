package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/tidwall/btree"

	"github.com/niyanta/niyanta/core/domain"
)

type events struct{ s *Store }

// happening is an audit event of a workload. The record holds the event itself.
type happening struct {
	id     int64
	record *record
}

func newHappened() *btree.BTreeG[happening] {
	return btree.NewBTreeGOptions(
		func(a, b happening) bool { return a.id < b.id }, btree.Options{NoLocks: true},
	)
}

// OfWorkload implements ports.EventStore.
func (e events) OfWorkload(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, after domain.Position, limit int,
) (domain.EventPage, error) {
	if err := ctx.Err(); err != nil {
		return domain.EventPage{}, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	r := e.s.trailLocked(customer, id)
	if r == nil {
		return domain.EventPage{}, nil
	}
	audit := eventsAfter(r.audit, after.Audit, limit+1)
	i, _ := slices.BinarySearchFunc(
		r.logs, after.Log+1, func(l domain.LogLine, seq int64) int { return cmp.Compare(l.Seq, seq) },
	)
	lines := slices.Clone(r.logs[i:min(i+limit+1, len(r.logs))])
	return domain.EventPage{
		Audit: audit[:min(limit, len(audit))], MoreAudit: len(audit) > limit,
		Lines: lines[:min(limit, len(lines))], MoreLines: len(lines) > limit,
	}, nil
}

// Horizon implements ports.EventStore. Nothing is ever on its way, since one caller at a time
// writes.
func (e events) Horizon(ctx context.Context) (domain.Horizon, error) {
	if err := ctx.Err(); err != nil {
		return domain.Horizon{}, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	return domain.Horizon{Settled: e.s.auditID, Last: e.s.auditID}, nil
}

// OfCustomer implements ports.EventStore.
func (e events) OfCustomer(
	ctx context.Context, customer domain.CustomerID, after, upTo int64, limit int,
) ([]domain.AuditEvent, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	t := e.s.customers[customer]
	if t == nil {
		return nil, nil
	}
	return between(t.happened, after, upTo, limit), nil
}

// OfAll implements ports.EventStore.
func (e events) OfAll(ctx context.Context, after, upTo int64, limit int) ([]domain.AuditEvent, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	return between(e.s.happened, after, upTo, limit), nil
}

// between returns copies of up to limit events with ids above after, up to upTo.
func between(happened *btree.BTreeG[happening], after, upTo int64, limit int) []domain.AuditEvent {
	var out []domain.AuditEvent
	happened.Ascend(happening{id: after + 1}, func(h happening) bool {
		if h.id > upTo || len(out) == limit {
			return false
		}
		out = append(out, eventsAfter(h.record.audit, h.id-1, 1)...)
		return true
	})
	return out
}

// Ends implements ports.EventStore.
func (e events) Ends(
	ctx context.Context, ids []domain.WorkloadID,
) (map[domain.WorkloadID]domain.Position, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	ends := make(map[domain.WorkloadID]domain.Position, len(ids))
	for _, id := range ids {
		if r := cmp.Or(e.s.workloads[id], e.s.archive[id]); r != nil && len(r.audit) > 0 {
			ends[id] = domain.Position{Audit: r.audit[len(r.audit)-1].ID, Log: r.logSeq}
		}
	}
	return ends, nil
}

// CustomerEnds implements ports.EventStore.
func (e events) CustomerEnds(
	ctx context.Context, ids []domain.CustomerID,
) (map[domain.CustomerID]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	ends := make(map[domain.CustomerID]int64, len(ids))
	for _, id := range ids {
		if t := e.s.customers[id]; t != nil {
			if last, ok := t.happened.Max(); ok {
				ends[id] = last.id
			}
		}
	}
	return ends, nil
}
