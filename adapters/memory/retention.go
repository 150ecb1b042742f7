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
	case domain.KeptWorkloads:
		return r.s.purgeByCustomerLocked(p, func(t *tenant, limit int) (looked, removed int) {
			return r.s.archiveLocked(t, t.Retention.Workloads(p.Age), limit, now)
		}), nil
	case domain.KeptLogs:
		return r.s.purgeByCustomerLocked(p, func(t *tenant, limit int) (looked, removed int) {
			return t.purgeLogs(t.Retention.Logs(p.Age), limit, now)
		}), nil
	case domain.KeptArchive:
		from := domain.FirstMonthKept(p.Age, now)
		if !p.Until.IsZero() && p.Until.Before(from) {
			from = p.Until
		}
		return ports.Purged{Count: r.s.purgeArchiveLocked(from)}, nil
	case domain.KeptAudit:
		return ports.Purged{Count: r.s.purgeAuditLocked(domain.FirstMonthKept(p.Age, now))}, nil
	case domain.KeptAdminAudit:
		n = r.s.purgeAdminAuditLocked(p, now)
	case domain.KeptIdempotencyKeys:
		n = r.s.purgeKeysLocked(p, now)
	case domain.KeptTickets:
		n = r.s.purgeTicketsLocked(p, now)
	case domain.KeptStatistics:
		n = r.s.purgeHoursLocked(p, now)
	case domain.KeptWorkers:
		n = r.s.purgeWorkersLocked(p, now)
	case domain.KeptSessions:
		n = r.s.purgeSessionsLocked(p, now)
	case domain.KeptLanes: // lanes go with the last that stands in them, ending runs with their sessions
		before := len(r.s.demands)
		maps.DeleteFunc(r.s.demands, func(_ domain.DemandKey, d *domain.Demand) bool { return !domain.InMix(d.Hour, now) })
		n = before - len(r.s.demands) + r.s.purgeMinutesLocked(now)
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
	for _, rs := range []map[domain.WorkloadID]*record{s.workloads, s.archive} {
		for _, r := range rs {
			kept := drop(r.audit)
			s.forgetLocked(r, r.audit[:len(r.audit)-len(kept)]) // the oldest
			r.audit = kept
		}
	}
	for id, events := range s.byWorker {
		if s.byWorker[id] = drop(events); len(s.byWorker[id]) == 0 {
			delete(s.byWorker, id)
		}
	}
	return n
}

// purgeAdminAuditLocked removes actions of administrators, oldest first.
func (s *Store) purgeAdminAuditLocked(p ports.Purge, now time.Time) (n int) {
	for n < min(p.Limit, len(s.adminEvents)) && now.Sub(s.adminEvents[n].At) > p.Age {
		n++
	}
	s.adminEvents = slices.Delete(s.adminEvents, 0, n)
	return n
}

// forgetLocked removes events of a record from those of its customer and of all.
func (s *Store) forgetLocked(r *record, events []domain.AuditEvent) {
	for _, e := range events {
		s.happened.Delete(happening{id: e.ID})
		s.customers[r.CustomerID].happened.Delete(happening{id: e.ID})
	}
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

func (s *Store) purgeMinutesLocked(now time.Time) (n int) {
	for _, t := range s.customers {
		before := len(t.counts.minutes)
		maps.DeleteFunc(t.counts.minutes, func(m time.Time, _ domain.MinuteChange) bool { return !domain.InSeries(m, now) })
		n += before - len(t.counts.minutes)
	}
	return n
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
			delete(s.suspects, id)
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

// purgeByCustomerLocked purges one customer after the other. purge looks at up to limit of a
// customer's workloads, and returns how many it looked at and how many it has removed.
func (s *Store) purgeByCustomerLocked(
	p ports.Purge, purge func(t *tenant, limit int) (looked, removed int),
) (out ports.Purged) {
	left := p.Limit
	for _, id := range slices.Sorted(maps.Keys(s.customers)) {
		if id < p.From {
			continue
		}
		looked, removed := purge(s.customers[id], left)
		out.Count += removed
		if left -= looked; left == 0 {
			out.More, out.Next = true, id // it may have more
			break
		}
	}
	return out
}

// archiveLocked moves finished workloads of a customer to the archive.
func (s *Store) archiveLocked(t *tenant, age time.Duration, limit int, now time.Time) (looked, removed int) {
	var due []*record
	t.finished.Scan(func(r *record) bool {
		if len(due) == limit || now.Sub(r.FinishedAt) <= age {
			return false
		}
		if !s.endingLocked(r.ID) {
			due = append(due, r)
		}
		return true
	})
	for _, r := range due {
		t.finished.Delete(r)
		t.byCreated.Delete(r)
		delete(s.workloads, r.ID)
		r.ArchivedAt, r.logs, r.logSeq, r.checkpoints = now, nil, 0, nil
		s.archive[r.ID] = r
	}
	return len(due), len(due)
}

// endingLocked reports whether a run of the workload keeps its slot.
func (s *Store) endingLocked(id domain.WorkloadID) bool {
	for _, h := range s.holdings {
		for run := range h.ending {
			if run.WorkloadID == id {
				return true
			}
		}
	}
	return false
}

// purgeLogs removes the log lines of finished workloads, from where the purge before has stopped.
func (t *tenant) purgeLogs(age time.Duration, limit int, now time.Time) (looked, removed int) {
	visit := func(r *record) bool {
		if r == t.logsPurged {
			return true
		}
		if looked == limit || now.Sub(r.FinishedAt) <= age {
			return false
		}
		looked++
		removed += len(r.logs)
		r.logs, r.logSeq, t.logsPurged = nil, 0, r
		return true
	}
	if t.logsPurged == nil {
		t.finished.Scan(visit)
	} else {
		t.finished.Ascend(t.logsPurged, visit)
	}
	return looked, removed
}

// purgeArchiveLocked removes what was archived before a time.
func (s *Store) purgeArchiveLocked(from time.Time) (n int) {
	for id, r := range s.archive {
		if r.ArchivedAt.Before(from) {
			s.forgetLocked(r, r.audit)
			delete(s.archive, id)
			n++
		}
	}
	return n
}
