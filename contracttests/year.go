package contracttests

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// yearCases are about the size of the storage over a year.
func yearCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"with the same work every day the sizes stay flat for a year",
			"RetentionStore removes what has been kept for its time", func(t T, h StoreHarness) {
				f := given(t, h)
				periods := domain.Retention{
					Workloads: 30 * day, Logs: 10 * day, Archive: 40 * day, Audit: 60 * day, AdminAudit: 60 * day,
					Statistics: 60 * day, DeadWorkers: 7 * day,
				}
				const step = 10 * day
				waits := f.submit(func(s *domain.Submission) { s.Priority = 1 })
				early, late := map[string]int{}, map[string]int{}
				for n := range int(365 * day / step) {
					f.work(n)
					h.Advance(step)
					f.fold(1000)
					for _, k := range domain.AllKept() {
						f.purge(k, periods.Of(k))
					}
					into := early
					switch {
					case n < 15: // the sizes still grow until the retention periods have passed once
						continue
					case n >= 25:
						into = late
					}
					for what, size := range h.Sizes(t) {
						into[what] = max(into[what], size)
					}
				}
				for what, size := range late {
					// The tolerance is for months of 28 to 31 days. Data that is never removed
					// would have grown by half.
					require.LessOrEqual(t, size, early[what]*5/4+2, "%s: %v, then %v", what, early, late)
				}
				require.Empty(t, f.archived(acme, "wl_0002"), "it was archived, and then removed")
				require.Equal(t, domain.StatusPending, f.get(waits.ID).Status, "a waiting workload stays")
				c := f.counts(acme)
				require.Equal(t, domain.Unfinished{Queued: 1}, c.usage.Unfinished, "counts are exact")
				require.Len(t, c.depth, 1)
			}},
	}
}

// work does the work of a day: submissions with keys, runs that end in each way, with log lines and
// checkpoints, a worker that registers and dies, and an administrator who changes something.
func (f *fixture) work(n int) {
	f.Helper()
	name := fmt.Sprint("w", n)
	on := f.register(process(name, name+"-session", "proc_"+name))
	keyed := func(s *domain.Submission) {
		s.IdempotencyKey, s.Digest = fmt.Sprint("key", f.n), [32]byte{1}
		s.Type = "t"
	}
	for _, e := range []domain.Event{domain.EventComplete, domain.EventFail} {
		w := f.running(on, keyed, func(s *domain.Submission) { s.Run.MaxRetries = 0 })
		_, err := f.Checkpoints.Save(
			f.Context(), report(w, on, domain.EventCheckpoint, 1), domain.Checkpoint{}, []byte("half"),
		)
		require.NoError(f, err)
		f.must(wrote(w, on, domain.LogLine{Message: "one", At: time.Unix(1, 0)}))
		f.must(report(w, on, e, 1))
	}
	f.must(cancel(f.submit(keyed)))
	f.ticket(byte(n))
	f.must(cancel(f.running(on, keyed))) // its run keeps its slot until the session ends
	f.end(certificate(on.ProcessID, secret))
	_, err := f.Customers.Update(f.Context(), acme, domain.CustomerPatch{Name: new(name)}, admin)
	require.NoError(f, err)
}
