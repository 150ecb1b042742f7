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

type retention struct{ s *Store }

// Purge implements ports.RetentionStore.
func (r retention) Purge(ctx context.Context, epoch int64, p ports.Purge) (ports.Purged, error) {
	if err := ctx.Err(); err != nil {
		return ports.Purged{}, err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if err := r.s.checkEpochLocked(epoch); err != nil {
		return ports.Purged{}, err
	}
	n, now := 0, r.s.now()
	switch p.What {
	case domain.KeptAudit:
		return ports.Purged{Count: r.s.purgeAuditLocked(domain.AuditMonth(p.Age, now))}, nil
	case domain.KeptIdempotencyKeys:
		n = r.s.purgeKeysLocked(p, now)
	case domain.KeptStatistics:
		n = r.s.purgeHoursLocked(p, now)
	case domain.KeptWorkers:
		n = r.s.purgeWorkersLocked(p, now)
	case domain.KeptSessions:
		n = r.s.purgeSessionsLocked(p, now)
	case domain.KeptLanes: // lanes go with the last that stands in them, ending runs with their sessions
	}
	return ports.Purged{Count: n, More: n == p.Limit}, nil
}

// purgeAuditLocked removes the events before a time. It looks at all events, but only once for each
// month that is to go.
func (s *Store) purgeAuditLocked(from time.Time) (n int) {
	if !from.After(s.auditFrom) {
		return 0
	}
	s.auditFrom = from
	drop := func(events []domain.AuditEvent) []domain.AuditEvent {
		kept := slices.DeleteFunc(slices.Clone(events), func(e domain.AuditEvent) bool { return e.At.Before(from) })
		n += len(events) - len(kept)
		return kept
	}
	for _, r := range s.workloads {
		happened := s.customers[r.CustomerID].happened
		for _, e := range r.audit {
			if e.At.Before(from) {
				happened.Delete(happening{id: e.ID})
			}
		}
		r.audit = drop(r.audit)
	}
	for id, events := range s.byWorker {
		if s.byWorker[id] = drop(events); len(s.byWorker[id]) == 0 {
			delete(s.byWorker, id)
		}
	}
	return n
}

// purgeKeysLocked removes idempotency keys and answers, oldest first.
func (s *Store) purgeKeysLocked(p ports.Purge, now time.Time) (n int) {
	for n < p.Limit && len(s.uses) > 0 && now.Sub(s.uses[0].At) > p.Age {
		u := s.uses[0]
		s.uses = s.uses[1:]
		if t := s.customers[u.CustomerID]; t.uses[u.Key] == u { // it has not been used anew
			delete(t.uses, u.Key)
			n++
		}
	}
	for n < p.Limit && len(s.answers) > 0 && now.Sub(s.answers[0].At) > p.Age {
		a := s.answers[0]
		s.answers = s.answers[1:]
		if t := s.customers[a.CustomerID]; t.answers[a.Request] == a {
			delete(t.answers, a.Request)
			n++
		}
	}
	return n
}

func (s *Store) purgeHoursLocked(p ports.Purge, now time.Time) (n int) {
	for _, t := range s.customers {
		for hour, types := range t.counts.hours {
			if n < p.Limit && now.Sub(hour) > p.Age {
				n += len(types)
				delete(t.counts.hours, hour)
			}
		}
	}
	return min(n, p.Limit)
}

func (s *Store) purgeWorkersLocked(p ports.Purge, now time.Time) (n int) {
	for _, id := range slices.Sorted(maps.Keys(s.workers)) {
		if wk := s.workers[id]; n < p.Limit && wk.Outdated(p.Age, now) {
			s.changeLocked(wk.Purge(now))
			n++
		}
	}
	return n
}

func (s *Store) purgeSessionsLocked(p ports.Purge, now time.Time) (n int) {
	for _, id := range slices.Sorted(maps.Keys(s.past)) {
		if n < p.Limit && now.Sub(s.past[id].At) > p.Age && s.holdings[id] == nil {
			delete(s.past, id)
			n++
		}
	}
	byProcess := func(a, b certificate) int {
		return cmp.Or(cmp.Compare(a.process, b.process), cmp.Compare(a.digest, b.digest))
	}
	for _, c := range slices.SortedFunc(maps.Keys(s.certificates), byProcess) {
		if n < p.Limit && now.Sub(s.certificates[c]) > p.Age {
			delete(s.certificates, c)
			n++
		}
	}
	return n
}
