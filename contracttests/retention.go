package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	day            = 24 * time.Hour
	keepDead       = 7 * day
	keepAdminAudit = 365 * day
)

// purgeSome calls Purge once.
func (f *fixture) purgeSome(what domain.Kept, age time.Duration, limit int) ports.Purged {
	f.Helper()
	p, err := f.Retention.Purge(f.Context(), f.epoch, ports.Purge{What: what, Age: age, Limit: limit})
	require.NoError(f, err)
	return p
}

// purge removes all data that is due, and returns how many items that were.
func (f *fixture) purge(what domain.Kept, age time.Duration) (n int) {
	f.Helper()
	req := ports.Purge{What: what, Age: age, Limit: 100}
	for {
		p, err := f.Retention.Purge(f.Context(), f.epoch, req)
		require.NoError(f, err)
		if n += p.Count; !p.More {
			return n
		}
		req.From = p.Next
	}
}

// retentionCases are about which data is removed, and when.
func retentionCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"only the leader purges",
			"CodeFenced unless epoch is the current leader epoch; nothing is removed then",
			func(t T, h StoreHarness) {
				f := given(t, h)
				f.register(process("w", "s", "proc_w"))
				f.end(certificate("proc_w", secret))
				h.Advance(keepDead + time.Minute)
				for _, what := range domain.AllKept() {
					for _, epoch := range []int64{0, f.epoch - 1, f.epoch + 1} {
						_, err := f.Retention.Purge(t.Context(), epoch, ports.Purge{What: what, Age: time.Second, Limit: 10})
						requireCode(t, err, domain.CodeFenced)
					}
				}
				require.Len(t, f.workers(), 1)
				require.Equal(t, 1, f.purge(domain.KeptWorkers, keepDead))
			}},
		{"a dead worker is kept for its time",
			"DEAD workers, since they were last heard of, with the audit event worker.removed",
			func(t T, h StoreHarness) {
				f := given(t, h)
				for _, name := range []string{"a", "b"} {
					r := process(name, name+"-session", "proc_"+name)
					f.register(r)
				}
				f.end(certificate("proc_a", secret))
				f.end(certificate("proc_b", secret))
				require.Zero(t, f.purge(domain.KeptWorkers, keepDead))
				require.Len(t, f.workers(), 2)
				h.Advance(keepDead + time.Minute)
				live := f.worker("live", 1)
				require.Equal(t, ports.Purged{Count: 1, More: true}, f.purgeSome(domain.KeptWorkers, keepDead, 1))
				require.Equal(t, 1, f.purge(domain.KeptWorkers, keepDead))
				require.Equal(t, []domain.WorkerID{live.ID}, []domain.WorkerID{f.workers()[0].ID})
				require.Len(t, f.workers(), 1)
				require.Zero(t, f.purge(domain.KeptWorkers, keepDead), "nothing is left of them")
				trail := f.workerTrail("a")
				require.Equal(t, domain.AuditWorkerRemoved, trail[len(trail)-1])
			}},
		{"a live worker is never purged", "DEAD workers", func(t T, h StoreHarness) {
			f := given(t, h)
			f.worker("w", 1)
			h.Advance(2 * keepDead) // its lease is over, but it is not declared dead yet
			require.Zero(t, f.purge(domain.KeptWorkers, keepDead))
			require.Len(t, f.workers(), 1)
		}},
		{"how a session ended is remembered while it holds work",
			"What a session that still holds work ended by is kept", func(t T, h StoreHarness) {
				f := given(t, h)
				work := f.running(f.register(process("w", "s1", "proc_1")))
				f.end(certificate("proc_1", secret))
				require.Zero(t, f.purge(domain.KeptSessions, keepDead))
				h.Advance(keepDead + time.Minute)
				require.Equal(t, 1, f.purge(domain.KeptSessions, keepDead), "the certificate")
				require.Equal(t, map[domain.WorkloadID]domain.Loss{work.ID: domain.LossDied}, f.orphans())
				f.must(lose(work, domain.LossDied))
				require.Equal(t, 1, f.purge(domain.KeptSessions, keepDead))
			}},
		{"lanes without work are forgotten, and come back",
			"those that nothing unfinished stands in, since something was submitted to them. A submission " +
				"beside it always finds its lane",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 9)
				priority := func(n int) func(s *domain.Submission) {
					return func(s *domain.Submission) { s.Priority = n }
				}
				done, waits, runs, paused := f.submit(priority(1)), f.submit(priority(2)), f.running(w, priority(3)),
					f.running(w, priority(4))
				later := f.submit(priority(5), func(s *domain.Submission) { s.RunAt = done.CreatedAt.Add(time.Hour) })
				stuck := f.running(w, priority(6))
				f.must(cancel(done))
				f.must(cancel(stuck))
				f.must(domain.Transition{WorkloadID: paused.ID, CustomerID: acme, Event: domain.EventRequestPause})
				f.must(report(paused, w, domain.EventPaused, 1))
				f.purge(domain.KeptLanes, domain.LaneRetention)
				require.Equal(t, f.lane(waits), f.heads(1)[0].Lane)
				h.Advance(domain.LaneRetention + time.Minute)
				f.purge(domain.KeptLanes, domain.LaneRetention)
				again := f.submit(priority(1))
				h.Advance(time.Hour)
				f.must(report(runs, w, domain.EventRelease, 1))
				f.must(domain.Transition{WorkloadID: paused.ID, CustomerID: acme, Event: domain.EventResume})
				want := []domain.Lane{f.lane(again), f.lane(waits), f.lane(runs), f.lane(paused), f.lane(later)}
				var got []domain.Lane
				f.Stores = h.Open() // a new process, without lanes in memory
				for _, l := range f.heads(1) {
					got = append(got, l.Lane)
				}
				require.ElementsMatch(t, want, got, "each lane is whole, whatever was forgotten")
				require.Equal(t, f.lane(stuck), f.occupancy()[0].Lane)
				require.Zero(t, f.purge(domain.KeptLanes, domain.LaneRetention), "what has work is never forgotten")
			}},
		{"an idempotency key is removed after its time, not before",
			"keys of submissions, from the submission on", func(t T, h StoreHarness) {
				f := given(t, h)
				keyed := func(key string) func(*domain.Submission) {
					return func(s *domain.Submission) { s.IdempotencyKey, s.Digest = key, [32]byte{1} }
				}
				first := f.submit(keyed("a"))
				f.submit(keyed("b"))
				h.Advance(domain.IdempotencyRetention - time.Minute)
				require.Zero(t, f.purge(domain.KeptIdempotencyKeys, domain.IdempotencyRetention))
				s := f.submission(acme)
				keyed("a")(&s)
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{s})
				require.NoError(t, err)
				require.Equal(t, domain.AdmittedBefore, rs[0].Status)
				require.Equal(t, first.ID, rs[0].Workload.ID)
				h.Advance(time.Hour)
				again := f.submit(keyed("a")) // it is forgotten, whether it was removed or not
				require.Equal(t, 1, f.purge(domain.KeptIdempotencyKeys, domain.IdempotencyRetention), "b; a is in use anew")
				rs, err = f.Workloads.Submit(t.Context(), []domain.Submission{s})
				require.NoError(t, err)
				require.Equal(t, again.ID, rs[0].Workload.ID)
				require.Zero(t, f.purge(domain.KeptIdempotencyKeys, domain.IdempotencyRetention))
			}},
		{"the audit events of a month go together",
			"events, by month in UTC: those of a month go when the whole month is older",
			func(t T, h StoreHarness) {
				f := given(t, h)
				now := f.now()
				month := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
				h.Advance(month.Add(time.Hour).Sub(now)) // the first hour of a month
				w := f.worker("w", 5)
				a := f.running(w)
				h.Advance(29 * day) // still the same month, or the first days of March
				b := f.submit()
				same := b.CreatedAt.Month() == a.CreatedAt.Month()
				h.Advance(30 * day)
				c := f.submit()
				require.Zero(t, f.purge(domain.KeptAudit, 90*day))
				require.Len(t, f.trail(a), 3)
				// The whole month of a is older than the age, and nothing of the next one.
				f.purge(domain.KeptAudit, f.now().Sub(month.AddDate(0, 1, 0)))
				events := func(id domain.WorkloadID) int {
					es, err := f.Audit.Workload(t.Context(), acme, id, 0, 10)
					require.NoError(t, err)
					return len(es)
				}
				require.Zero(t, events(a.ID))
				require.Empty(t, f.workerTrail("w"))
				if same {
					require.Zero(t, events(b.ID))
				}
				require.Equal(t, 1, events(c.ID))
				require.Equal(t, domain.StatusRunning, f.get(a.ID).Status, "the workload stays")
				f.must(report(a, w, domain.EventComplete, 1))
				require.Equal(t, 1, events(a.ID))
			}},
		{"an action of an administrator is kept for its time",
			"admin_audit: events of AdminAuditStore, one by one, oldest first", func(t T, h StoreHarness) {
				f := given(t, h)
				rename := func(name string) {
					_, err := f.Customers.Update(t.Context(), acme, domain.CustomerPatch{Name: new(name)}, admin)
					require.NoError(t, err)
				}
				h.Advance(time.Hour)
				rename("B")
				all := f.acts(ports.AdminAuditQuery{Ascending: true})
				require.Len(t, all, 3)
				h.Advance(keepAdminAudit - 30*time.Minute)
				require.Equal(t, ports.Purged{Count: 1, More: true}, f.purgeSome(domain.KeptAdminAudit, keepAdminAudit, 1))
				require.Equal(t, all[1:], f.acts(ports.AdminAuditQuery{Ascending: true}), "the oldest first")
				require.Equal(t, 1, f.purge(domain.KeptAdminAudit, keepAdminAudit))
				require.Equal(t, all[2:], f.acts(ports.AdminAuditQuery{Ascending: true}), "the last is younger")
				rename("C")
				left := f.acts(ports.AdminAuditQuery{Ascending: true})
				require.Len(t, left, 2)
				require.Greater(t, left[1].ID, all[2].ID, "no id is given twice")
				h.Advance(time.Hour)
				require.Equal(t, 1, f.purge(domain.KeptAdminAudit, keepAdminAudit))
				require.Equal(t, left[1:], f.acts(ports.AdminAuditQuery{Ascending: true, After: all[2].ID}),
					"who follows the actions goes on behind what is gone")
				require.Zero(t, f.purge(domain.KeptAdminAudit, keepAdminAudit))
			}},
		{"the hours of statistics go after their time",
			"the hours of StatisticsStore, from their beginning on", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				old := f.submit()
				f.must(cancel(old))
				h.Advance(40 * day)
				f.submit()
				f.fold(100)
				require.Len(t, f.counts(acme).hours, 2)
				require.Zero(t, f.purge(domain.KeptStatistics, 41*day))
				require.Positive(t, f.purge(domain.KeptStatistics, 39*day))
				got := f.counts(acme)
				require.Len(t, got.hours, 1)
				require.Equal(t, domain.Usage{Unfinished: domain.Unfinished{Queued: 1}, SubmittedToday: 1}, got.usage)
				require.Len(t, got.depth, 1)
			}},
		{"a total that counts nothing goes, and comes back",
			"totals of types of which nothing is unfinished, whatever their age", func(t T, h StoreHarness) {
				f := given(t, h)
				for range 2 {
					w := f.submit()
					f.fold(100)
					f.purge(domain.KeptStatistics, 365*day)
					require.Equal(t, 1, f.counts(acme).usage.Queued)
					f.must(cancel(w))
					f.fold(100)
					f.purge(domain.KeptStatistics, 365*day)
					require.Empty(t, f.counts(acme).depth)
				}
			}},
	}
}
