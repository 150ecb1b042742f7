package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tidwall/btree"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type queue struct{ s *Store }

// Heads implements ports.QueueStore.
func (q queue) Heads(ctx context.Context, hq domain.HeadsQuery) (domain.QueueHeads, error) {
	var out domain.QueueHeads
	if err := ctx.Err(); err != nil {
		return out, err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	q.s.promoteLocked(q.s.now())
	out.Now = q.s.now()
	add := func(l *lane) {
		if l != nil && l.waiting.Len() > 0 {
			out.Lanes = append(
				out.Lanes, domain.LaneHeads{Lane: l.Lane, Heads: first(l.waiting, hq.N), More: l.waiting.Len() > hq.N},
			)
		}
	}
	if len(hq.Lanes) > 0 {
		for _, id := range hq.Lanes {
			add(q.s.lanes[id])
		}
	} else {
		for customer, lanes := range q.s.lanesByCustomerLocked() {
			if len(lanes) > hq.PerCustomer() {
				lanes = q.chooseLocked(hq, customer, lanes, &out)
			}
			for _, l := range lanes {
				add(l)
			}
		}
	}
	slices.SortFunc(out.Lanes, func(a, b domain.LaneHeads) int { return cmp.Compare(a.Lane.ID, b.Lane.ID) })
	for i := range out.Lanes {
		out.Lanes[i].Lane = out.Lanes[i].Lane.Clone()
	}
	return out, nil
}

// lanesByCustomerLocked returns the lanes in which something waits.
func (s *Store) lanesByCustomerLocked() map[domain.CustomerID][]*lane {
	out := map[domain.CustomerID][]*lane{}
	for _, l := range s.lanes {
		if l.waiting.Len() > 0 {
			out[l.CustomerID] = append(out[l.CustomerID], l)
		}
	}
	return out
}

// chooseLocked returns the lanes of a customer that a cycle considers, and counts the others in
// out.
func (q queue) chooseLocked(
	hq domain.HeadsQuery, customer domain.CustomerID, lanes []*lane, out *domain.QueueHeads,
) []*lane {
	firsts := make([]domain.FirstOfLane, len(lanes))
	for i, l := range lanes {
		r, _ := l.waiting.Min()
		firsts[i] = domain.FirstOfLane{Lane: l.Lane, Since: r.QueueAt}
	}
	ids, aside := hq.Choose(firsts, q.s.customers[customer].Tier)
	out.Aside, out.Cut = out.Aside+aside, out.Cut+len(lanes)-aside-len(ids)
	chosen := make([]*lane, len(ids))
	for i, id := range ids {
		chosen[i] = q.s.lanes[id]
	}
	return chosen
}

func first(t *btree.BTreeG[*record], n int) []domain.Candidate {
	cs := make([]domain.Candidate, 0, min(n, t.Len()))
	t.Scan(func(r *record) bool {
		if len(cs) == n {
			return false
		}
		cs = append(cs, domain.Candidate{
			ID: r.ID, Generation: r.Generation, QueueAt: r.QueueAt, Declines: slices.Clone(r.Declines),
			SuspectSince: r.SuspectSince, Timeout: r.HeadTimeout(),
		})
		return true
	})
	return cs
}

// NextDue implements ports.QueueStore.
func (q queue) NextDue(ctx context.Context) (in time.Duration, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	now := q.s.now()
	q.s.promoteLocked(now)
	r, ok := q.s.delayed.Min()
	if !ok {
		return 0, false, nil
	}
	return r.NotBefore.Sub(now), true, nil
}

// Occupancy implements ports.QueueStore.
func (q queue) Occupancy(ctx context.Context, sessions ...domain.SessionID) ([]domain.Occupancy, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	return q.s.occupancyLocked(sessions), nil
}

// occupancyLocked counts what the given sessions hold, or all.
func (s *Store) occupancyLocked(sessions []domain.SessionID) []domain.Occupancy {
	now := s.now()
	var out []domain.Occupancy
	for session, h := range s.holdings {
		if len(sessions) > 0 && !slices.Contains(sessions, session) {
			continue
		}
		counts := map[domain.LaneID]*domain.Occupancy{}
		of := func(id domain.LaneID) *domain.Occupancy {
			if counts[id] == nil {
				counts[id] = &domain.Occupancy{SessionID: session, Lane: s.lanes[id].Clone()}
			}
			return counts[id]
		}
		for id, n := range h.lanes {
			of(id).Count = n
		}
		for _, r := range h.records {
			end := domain.ExpectedEnd(r.EndsBy(), r.ScheduledAt, now)
			of(r.Lane).Expect(end)
			of(r.Lane).Hold(r.Devices, end)
			if r.SuspectUntil().After(now) {
				of(r.Lane).Suspects++
			}
		}
		for _, e := range h.ending {
			o := of(e.Lane)
			o.Ending++
			end := domain.ExpectedEnd(time.Time{}, e.EndedAt, now)
			o.Expect(end)
			o.Hold(e.Devices, end)
			if e.FoundAt.After(o.FoundAt) {
				o.FoundAt = e.FoundAt
			}
		}
		for _, o := range counts {
			out = append(out, *o)
		}
	}
	slices.SortFunc(out, func(a, b domain.Occupancy) int {
		return cmp.Or(cmp.Compare(a.SessionID, b.SessionID), cmp.Compare(a.Lane.ID, b.Lane.ID))
	})
	return out
}

// Held implements ports.QueueStore.
func (q queue) Held(ctx context.Context, sessions ...domain.SessionID) ([]ports.HeldWorkload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	now := q.s.now()
	var out []ports.HeldWorkload
	for _, session := range sessions {
		if h := q.s.holdings[session]; h != nil {
			for _, r := range h.records {
				out = append(out, r.heldBy(now))
			}
		}
	}
	sortHeld(out)
	held := len(out)
	for _, session := range sessions {
		if h := q.s.holdings[session]; h != nil {
			for _, e := range h.ending {
				ended := ports.HeldWorkload{
					WorkloadID: e.WorkloadID, CustomerID: e.CustomerID, WorkerID: e.WorkerID, SessionID: e.SessionID, Lane: e.Lane,
					Generation: e.Generation, HeldFor: now.Sub(e.AssignedAt), Ending: true,
					EndingFor: now.Sub(e.EndedAt),
				}
				if r := q.s.workloads[e.WorkloadID]; r != nil {
					ended.Status = r.Status
				}
				out = append(out, ended)
			}
		}
	}
	slices.SortFunc(out[held:], func(a, b ports.HeldWorkload) int {
		return cmp.Or(cmp.Compare(a.WorkloadID, b.WorkloadID), cmp.Compare(a.Generation, b.Generation))
	})
	return out, nil
}

func (r *record) heldBy(now time.Time) ports.HeldWorkload {
	return ports.HeldWorkload{
		WorkloadID: r.ID, CustomerID: r.CustomerID, WorkerID: r.WorkerID, SessionID: r.SessionID, Lane: r.Lane,
		Generation: r.Generation, Status: r.Status, PauseRequested: r.PauseRequested, HeldFor: now.Sub(r.ScheduledAt),
		Suspect: r.SuspectUntil().After(now),
	}
}

func sortHeld(hs []ports.HeldWorkload) {
	slices.SortFunc(hs, func(a, b ports.HeldWorkload) int { return cmp.Compare(a.WorkloadID, b.WorkloadID) })
}

// sweep returns the held workloads that match, ordered by id, after the given id and at most
// limit.
func (q queue) sweep(
	ctx context.Context, after domain.WorkloadID, limit int, match func(r *record, now time.Time) bool,
) ([]ports.HeldWorkload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	now := q.s.now()
	var out []ports.HeldWorkload
	for _, h := range q.s.holdings {
		for _, r := range h.records {
			if r.ID > after && match(r, now) {
				out = append(out, r.heldBy(now))
			}
		}
	}
	sortHeld(out)
	return out[:min(limit, len(out))], nil
}

// Unstarted implements ports.QueueStore.
func (q queue) Unstarted(
	ctx context.Context, age time.Duration, after domain.WorkloadID, limit int,
) ([]ports.HeldWorkload, error) {
	return q.sweep(ctx, after, limit, func(r *record, now time.Time) bool {
		return r.Status == domain.StatusScheduled && now.Sub(r.ScheduledAt) > age
	})
}

// Overdue implements ports.QueueStore.
func (q queue) Overdue(
	ctx context.Context, grace time.Duration, after domain.WorkloadID, limit int,
) ([]ports.HeldWorkload, error) {
	return q.sweep(ctx, after, limit, func(r *record, now time.Time) bool {
		return r.Status == domain.StatusRunning && !r.Deadline.IsZero() && now.Sub(r.Deadline) > grace
	})
}

// Orphans implements ports.QueueStore.
func (q queue) Orphans(ctx context.Context, after domain.WorkloadID, limit int) ([]ports.Orphan, error) {
	held, err := q.sweep(ctx, after, limit, func(r *record, _ time.Time) bool { return q.s.past[r.SessionID] != nil })
	if err != nil {
		return nil, err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	var out []ports.Orphan
	for _, h := range held {
		// The lock was released in between. A workload that was freed meanwhile is no orphan any
		// more.
		if end := q.s.past[h.SessionID]; end != nil && q.s.workloads[h.WorkloadID].SessionID == h.SessionID {
			o := ports.Orphan{HeldWorkload: h, Loss: end.Loss, Excused: end.Excused()}
			o.Shared = h.Suspect && q.s.suspects[h.SessionID] > 1
			for _, id := range q.s.workloads[h.WorkloadID].Deaths {
				if d := q.s.past[id]; d != nil && d.Returned {
					o.Returned = append(o.Returned, id)
				}
			}
			out = append(out, o)
		}
	}
	return out, nil
}

// suspectsOfLocked counts the suspects that a session holds.
func (s *Store) suspectsOfLocked(session domain.SessionID) (n int) {
	if h := s.holdings[session]; h != nil {
		for _, r := range h.records {
			if r.SuspectUntil().After(s.now()) {
				n++
			}
		}
	}
	return n
}
