package contracttests

import (
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	keepWorkloads = 90 * day
	keepArchive   = 365 * day
)

// archived returns the customer's workloads of these ids that are in the archive.
func (f *fixture) archived(customer domain.CustomerID, ids ...domain.WorkloadID) []domain.Workload {
	f.Helper()
	ws, err := f.Retention.Archived(f.Context(), customer, keepArchive, ids...)
	require.NoError(f, err)
	return ws
}

// owners returns the customers of these workloads.
func (f *fixture) owners(ids ...domain.WorkloadID) map[domain.WorkloadID]domain.CustomerID {
	f.Helper()
	owners, err := f.Retention.Owners(f.Context(), keepArchive, ids...)
	require.NoError(f, err)
	return owners
}

// archive moves all workloads that are due to the archive.
func (f *fixture) archive() int {
	f.Helper()
	return f.purge(domain.KeptWorkloads, keepWorkloads)
}

// stored returns the ids of these workloads that are stored outside the archive.
func (f *fixture) stored(ws ...domain.Workload) (ids []domain.WorkloadID) {
	f.Helper()
	for _, w := range ws {
		found, err := f.Workloads.GetAny(f.Context(), w.ID)
		require.NoError(f, err)
		for _, w := range found {
			ids = append(ids, w.ID)
		}
	}
	return ids
}

// finished returns a workload that has finished, with everything that a workload can have.
func (f *fixture) finished(on domain.Worker, e domain.Event) domain.Workload {
	f.Helper()
	w := f.running(on, func(s *domain.Submission) {
		s.Labels, s.Input = map[string]string{"run": "nightly"}, `{"file":"a"}`
		s.Affinity.Soft.WorkerTags = map[string]string{"zone": "a"}
		s.Run.MaxRetries = 0
	})
	_, err := f.Checkpoints.Save(
		f.Context(), report(w, on, domain.EventCheckpoint, 1), domain.Checkpoint{}, []byte("half"),
	)
	require.NoError(f, err)
	f.must(wrote(w, on, domain.LogLine{Message: "one"}, domain.LogLine{Message: "two"}))
	f.must(report(w, on, e, 1))
	return f.get(w.ID)
}

func (f *fixture) lines(w domain.Workload) int {
	f.Helper()
	ls, err := f.Logs.List(f.Context(), ports.LogQuery{Customer: w.CustomerID, Workload: w.ID, Limit: 100})
	require.NoError(f, err)
	return len(ls)
}

// archiveCases are about workloads that move to the archive, and out of it.
func archiveCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a finished workload moves to the archive after its time",
			"final ones that finished longer ago than their customer keeps them. They move to the archive, each with " +
				"its input and result",
			func(t T, h StoreHarness) {
				f := given(t, h)
				on := f.worker("w", 9)
				done := []domain.Workload{f.finished(on, domain.EventComplete), f.finished(on, domain.EventFail)}
				cancelled := f.submit()
				f.must(cancel(cancelled))
				done = append(done, f.get(cancelled.ID))
				h.Advance(keepWorkloads - time.Minute)
				require.Zero(t, f.archive())
				later := f.finished(f.worker("v", 1), domain.EventComplete)
				counts := f.counts(acme)
				h.Advance(2 * time.Minute)
				now := f.now()
				require.Equal(t, 3, f.archive())
				require.Equal(t, []domain.WorkloadID{later.ID}, f.stored(append(done, later)...))
				var ids []domain.WorkloadID
				for _, w := range done {
					ids = append(ids, w.ID)
				}
				found := f.archived(acme, ids...)
				require.Len(t, found, 3)
				for i := range found {
					require.False(t, found[i].ArchivedAt.Before(now))
					found[i].ArchivedAt = time.Time{}
				}
				require.Equal(t, done, found, "with every field, in the order asked for")
				require.Equal(t, counts, f.counts(acme), "nothing is counted otherwise")
				require.Zero(t, f.archive())
			}},
		{"what belongs to an archived workload is gone, but for its audit",
			"Their checkpoints, log lines and places in lists go", func(t T, h StoreHarness) {
				f := given(t, h)
				on := f.worker("w", 9)
				w := f.finished(on, domain.EventComplete)
				require.Equal(t, 2, f.lines(w))
				events := len(f.trail(w))
				h.Advance(keepWorkloads + time.Minute)
				require.Equal(t, 1, f.archive())
				require.Zero(t, f.lines(w))
				_, _, err := f.Checkpoints.Load(t.Context(), w.ID, 0)
				requireCode(t, err, domain.CodeNotFound)
				cs, err := f.Checkpoints.List(t.Context(), acme, w.ID)
				require.NoError(t, err)
				require.Empty(t, cs)
				for _, q := range []ports.WorkloadQuery{{}, {Statuses: []domain.Status{domain.StatusCompleted}}, {Type: "t"}} {
					q.Customer, q.Limit = acme, 10
					page, err := f.Workloads.List(t.Context(), q)
					require.NoError(t, err)
					require.Empty(t, page.Items)
				}
				trail, err := f.Audit.Workload(t.Context(), acme, w.ID, 0, 100)
				require.NoError(t, err)
				require.Len(t, trail, events)
				for _, tr := range []domain.Transition{cancel(w), report(w, on, domain.EventComplete, 1)} {
					require.Equal(t, domain.OutcomeNotFound, f.apply(tr)[0].Outcome)
				}
			}},
		{"what is not finished is never archived", "final ones", func(t T, h StoreHarness) {
			f := given(t, h)
			on := f.worker("w", 9)
			waits, runs, lost, paused := f.submit(), f.running(on), f.running(on), f.running(on)
			later := f.submit(func(s *domain.Submission) { s.RunAt = waits.CreatedAt.Add(1000 * day) })
			f.must(domain.Transition{WorkloadID: paused.ID, CustomerID: acme, Event: domain.EventRequestPause})
			f.must(report(paused, on, domain.EventPaused, 1))
			f.must(report(lost, on, domain.EventRelease, 1))
			h.Advance(2 * keepWorkloads)
			require.Zero(t, f.archive())
			require.Len(t, f.stored(waits, runs, lost, paused, later), 5)
		}},
		{"a workload whose run keeps its slot stays",
			"One whose run has not let go of its slot (domain.Ending) stays", func(t T, h StoreHarness) {
				f := given(t, h)
				on := f.worker("w", 9)
				w := f.running(on)
				f.must(cancel(w))
				h.Advance(keepWorkloads + time.Minute)
				require.Zero(t, f.archive())
				gone := report(w, on, domain.EventLetGo, 1)
				gone.WorkerID = on.ID
				f.apply(gone)
				require.Equal(t, 1, f.archive())
			}},
		{"a workload whose run ended with its session moves to the archive",
			"One whose run has not let go of its slot (domain.Ending) stays", func(t T, h StoreHarness) {
				f := given(t, h)
				on := f.register(process("w", "s", "proc_w"))
				f.must(cancel(f.running(on)))
				h.Advance(keepWorkloads + time.Minute)
				require.Zero(t, f.archive())
				require.Len(t, f.end(certificate("proc_w", secret)), 1)
				require.Equal(t, 1, f.archive(), "a session that has ended keeps no slot")
			}},
		{"a customer has periods of its own",
			"domain.CustomerRetention", func(t T, h StoreHarness) {
				f := given(t, h)
				on := f.worker("w", 9)
				mine := f.finished(on, domain.EventComplete)
				theirs := f.running(on, func(s *domain.Submission) { s.CustomerID = rival })
				f.must(wrote(theirs, on, domain.LogLine{Message: "one"}))
				f.must(report(theirs, on, domain.EventComplete, 1))
				days := domain.RetentionPatch{WorkloadDays: domain.To(30), LogDays: domain.To(10)}
				c, err := f.Customers.Update(t.Context(), rival, domain.CustomerPatch{Retention: days}, admin)
				require.NoError(t, err)
				require.Equal(t, domain.CustomerRetention{WorkloadDays: 30, LogDays: 10}, c.Retention)
				h.Advance(10*day + time.Minute)
				require.Equal(t, 1, f.purge(domain.KeptLogs, keepWorkloads))
				require.Equal(t, []int{2, 0}, []int{f.lines(mine), f.lines(theirs)})
				require.Zero(t, f.archive())
				h.Advance(20 * day)
				require.Equal(t, 1, f.archive())
				require.Len(t, f.archived(rival, theirs.ID), 1)
				require.Equal(t, []domain.WorkloadID{mine.ID}, f.stored(mine, theirs))
				_, err = f.Customers.Update(t.Context(), acme, domain.CustomerPatch{
					Retention: domain.RetentionPatch{WorkloadDays: domain.To(domain.MaxRetentionDays + 1)},
				}, admin)
				requireCode(t, err, domain.CodeInvalidInput)
				_, err = f.Customers.Update(t.Context(), acme, domain.CustomerPatch{
					Retention: domain.RetentionPatch{WorkloadDays: domain.To(200)},
				}, admin)
				require.NoError(t, err)
				h.Advance(keepWorkloads)
				require.Zero(t, f.archive(), "a longer one")
			}},
		{"log lines go before their workload if their period is shorter",
			"logs: the lines of such workloads, likewise", func(t T, h StoreHarness) {
				f := given(t, h)
				on := f.worker("w", 9)
				runs := f.running(on)
				f.must(wrote(runs, on, domain.LogLine{Message: "it runs"}))
				old := f.finished(on, domain.EventComplete)
				h.Advance(8 * day)
				young := f.finished(f.worker("v", 9), domain.EventComplete)
				require.Equal(t, 2, f.purge(domain.KeptLogs, 7*day))
				require.Equal(t, []int{1, 0, 2}, []int{f.lines(runs), f.lines(old), f.lines(young)})
				require.Equal(t, old, f.get(old.ID), "the workload stays as it was")
				require.Zero(t, f.purge(domain.KeptLogs, 7*day))
				h.Advance(8 * day)
				require.Equal(t, 2, f.purge(domain.KeptLogs, 7*day))
				require.Equal(t, []int{1, 0}, []int{f.lines(runs), f.lines(young)})
			}},
		{"a batch is bounded, and the next one goes on",
			"removes up to p.Limit, from the customer Next on", func(t T, h StoreHarness) {
				f := given(t, h)
				for _, c := range []domain.CustomerID{acme, rival} {
					for range 7 {
						w := f.submit(func(s *domain.Submission) { s.CustomerID = c })
						f.must(cancel(w))
					}
				}
				h.Advance(keepWorkloads + time.Minute)
				req, calls, n := ports.Purge{What: domain.KeptWorkloads, Age: keepWorkloads, Limit: 3}, 0, 0
				for more := true; more; calls++ {
					p, err := f.Retention.Purge(t.Context(), f.epoch, req)
					require.NoError(t, err)
					require.LessOrEqual(t, p.Count, req.Limit)
					n += p.Count
					more, req.From = p.More, p.Next
				}
				require.Equal(t, 14, n)
				require.GreaterOrEqual(t, calls, 5)
				require.Less(t, calls, 10)
			}},
		{"an archived workload is found by its customer, for its time",
			"Archived returns the customer's workloads that were archived no longer ago than age",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.submit()
				f.must(cancel(w))
				h.Advance(keepWorkloads + time.Minute)
				require.Empty(t, f.archived(acme, w.ID), "it is not archived yet")
				require.Equal(t, 1, f.archive())
				require.Len(t, f.archived(acme, "wl_none", w.ID), 1)
				require.Empty(t, f.archived(rival, w.ID), "another customer's")
				require.Empty(t, f.archived("", w.ID), "an empty customer owns nothing")
				theirs := f.submission(rival)
				_, err := f.Workloads.Submit(t.Context(), []domain.Submission{theirs})
				require.NoError(t, err)
				require.Equal(t, map[domain.WorkloadID]domain.CustomerID{w.ID: acme, theirs.ID: rival},
					f.owners(w.ID, "wl_none", theirs.ID))
				h.Advance(keepArchive - time.Minute)
				require.Zero(t, f.purge(domain.KeptArchive, keepArchive))
				require.Len(t, f.archived(acme, w.ID), 1)
				h.Advance(2 * time.Minute)
				require.Empty(t, f.archived(acme, w.ID))
				require.Equal(t, map[domain.WorkloadID]domain.CustomerID{theirs.ID: rival}, f.owners(w.ID, theirs.ID))
				h.Advance(32 * day)
				f.purge(domain.KeptArchive, keepArchive)
				long, err := f.Retention.Archived(t.Context(), acme, 10*keepArchive, w.ID)
				require.NoError(t, err)
				require.Empty(t, long, "it is gone, not only hidden")
			}},
		{"a workload is kept as long as its submission can be repeated",
			"domain.CustomerRetention.Workloads of Age", func(t T, h StoreHarness) {
				f := given(t, h)
				s := f.submission(acme)
				s.IdempotencyKey, s.Digest = "a", [32]byte{1}
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{s})
				require.NoError(t, err)
				f.must(cancel(rs[0].Workload))
				h.Advance(domain.IdempotencyRetention - time.Minute)
				require.Zero(t, f.purge(domain.KeptWorkloads, time.Second))
				again := f.submission(acme)
				again.IdempotencyKey, again.Digest = s.IdempotencyKey, s.Digest
				rs, err = f.Workloads.Submit(t.Context(), []domain.Submission{again})
				require.NoError(t, err)
				require.Equal(t, domain.AdmittedBefore, rs[0].Status)
				require.Equal(t, s.ID, rs[0].Workload.ID)
				h.Advance(2 * time.Minute)
				require.Equal(t, 1, f.purge(domain.KeptWorkloads, time.Second))
				rs, err = f.Workloads.Submit(t.Context(), []domain.Submission{again})
				require.NoError(t, err)
				require.Equal(t, domain.Admitted, rs[0].Status)
			}},
		{"of several purges at once each workload is archived by one",
			"Any number of callers may purge at once: each item is removed and counted once",
			func(t T, h StoreHarness) {
				f := given(t, h)
				var ids []domain.WorkloadID
				for range 40 {
					w := f.submit()
					f.must(cancel(w))
					ids = append(ids, w.ID)
				}
				h.Advance(keepWorkloads + time.Minute)
				var wg sync.WaitGroup
				start, counts := make(chan struct{}), make([]int, 4)
				for i := range counts {
					st := h.Open()
					wg.Go(func() {
						<-start
						for range 20 {
							p, err := st.Retention.Purge(t.Context(), f.epoch,
								ports.Purge{What: domain.KeptWorkloads, Age: keepWorkloads, Limit: 5})
							assert.NoError(t, err)
							counts[i] += p.Count
						}
					})
				}
				close(start)
				wg.Wait()
				require.Equal(t, len(ids), counts[0]+counts[1]+counts[2]+counts[3]+f.archive(), fmt.Sprint(counts))
				require.Len(t, f.archived(acme, ids...), len(ids))
			}},
	}
}
