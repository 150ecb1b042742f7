package contracttests

import (
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// followed reads all events of a workload after a position, in pages, as a stream does.
func (f *fixture) followed(
	customer domain.CustomerID, id domain.WorkloadID, after domain.Position, limit int,
) (all []domain.StreamEvent) {
	f.Helper()
	for {
		p, err := f.h.Open().Events.OfWorkload(f.Context(), customer, id, after, limit)
		require.NoError(f, err)
		require.LessOrEqual(f, len(p.Audit), limit)
		require.LessOrEqual(f, len(p.Lines), limit)
		events := p.Events(after)
		if len(events) == 0 {
			require.Zero(f, len(p.Audit)+len(p.Lines))
			return all
		}
		all = append(all, events...)
		after = events[len(events)-1].Position
	}
}

// settled waits until no transaction is open, and returns the horizon.
func (f *fixture) settled() int64 {
	f.Helper()
	var h domain.Horizon
	eventually(f, func() bool {
		var err error
		h, err = f.Events.Horizon(f.Context())
		require.NoError(f, err)
		return h.Settled >= h.Last
	}, "the audit to settle")
	return h.Settled
}

func eventCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"the events of a workload are read from any position",
			"what happened to a customer's workload behind a position: up to limit audit events and log lines",
			func(t T, h StoreHarness) {
				f := given(t, h)
				wk := f.worker("w", 5)
				a, other := f.running(wk), f.running(wk)
				half := 50.0
				f.must(wrote(a, wk, domain.LogLine{At: time.Unix(1, 0), Message: "1"}, domain.LogLine{Message: "2"}))
				f.must(wrote(other, wk, domain.LogLine{Message: "of another one"}))
				progress := report(a, wk, domain.EventProgress, 1)
				progress.Percent, progress.Message = &half, "half"
				f.must(progress)
				end := report(a, wk, domain.EventComplete, 1)
				end.Lines = []domain.LogLine{{At: time.Unix(2e9, 0), Message: "3"}}
				f.must(end)
				all := f.followed(acme, a.ID, domain.Position{}, 100)
				var told []string
				for _, e := range all {
					if e.Line != nil {
						told = append(told, e.Line.Message)
						require.Equal(t, a.ID, e.Line.WorkloadID)
						require.Equal(t, acme, e.Line.CustomerID)
						continue
					}
					told = append(told, fmt.Sprintf("%s %g %s",
						e.Audit.To, e.Audit.ProgressPercent, e.Audit.ProgressMessage))
				}
				require.Equal(t, []string{
					"PENDING 0 ", "SCHEDULED 0 ", "RUNNING 0 ", "1", "2", "RUNNING 50 half", "3", "COMPLETED 100 ",
				}, told)
				require.True(t, all[7].Final())
				for limit := 1; limit <= 4; limit++ {
					require.Len(t, f.followed(acme, a.ID, domain.Position{}, limit), len(all))
				}
				for i, e := range all {
					require.Len(t, f.followed(acme, a.ID, e.Position, 3), len(all)-i-1, "behind event %d", i)
				}
			}},
		{"another customer's workload has no events",
			"Missing workloads and another customer's have nothing", func(t T, h StoreHarness) {
				f := given(t, h)
				wk := f.worker("w", 5)
				a := f.running(wk)
				f.must(wrote(a, wk, domain.LogLine{Message: "1"}))
				require.Empty(t, f.followed(rival, a.ID, domain.Position{}, 10))
				require.Empty(t, f.followed("", a.ID, domain.Position{}, 10))
				require.Empty(t, f.followed(acme, "wl_none", domain.Position{}, 10))
				require.Empty(t, f.followed(acme, "", domain.Position{}, 10))
				for _, customer := range []domain.CustomerID{rival, "", "cust_none"} {
					es, err := f.Events.OfCustomer(t.Context(), customer, 0, f.settled(), 100)
					require.NoError(t, err)
					require.Empty(t, es)
				}
			}},
		{"lines that were dropped are one gap",
			"what happened to a customer's workload behind a position", func(t T, h StoreHarness) {
				f := given(t, h)
				wk := f.worker("w", 5)
				a := f.running(wk)
				lines := make([]domain.LogLine, 1000)
				for i := range lines {
					lines[i] = domain.LogLine{At: time.Unix(1, 0), Message: "x"}
				}
				for range domain.MaxLogLines/1000 + 1 {
					f.must(wrote(a, wk, lines...))
				}
				p, err := f.Events.OfWorkload(t.Context(), acme, a.ID, domain.Position{Audit: 1 << 40, Log: 400}, 5)
				require.NoError(t, err)
				require.True(t, p.MoreLines)
				events := p.Events(domain.Position{Audit: 1 << 40, Log: 400})
				require.Len(t, events, 6)
				require.Equal(t, int64(600), events[0].Dropped)
				require.Equal(t, int64(1000), events[0].Position.Log)
				require.Equal(t, int64(1001), events[1].Line.Seq)
			}},
		{"a customer's events are read in order, between two ids",
			"up to limit audit events of a customer's workloads with ids above after, up to and including upTo",
			func(t T, h StoreHarness) {
				f := given(t, h)
				wk := f.worker("w", 5)
				a, b := f.running(wk), f.running(wk)
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{f.submission(rival)})
				require.NoError(t, err)
				theirs := rs[0].Workload.ID
				f.must(report(a, wk, domain.EventComplete, 1))
				upTo := f.settled()
				f.must(report(b, wk, domain.EventComplete, 1))
				all, err := f.h.Open().Events.OfCustomer(t.Context(), acme, 0, upTo, 100)
				require.NoError(t, err)
				require.Len(t, all, 7, "events after the horizon are left out")
				wa, err := f.Audit.Workload(t.Context(), acme, a.ID, 0, 100)
				require.NoError(t, err)
				require.Equal(t, wa[3], all[6])
				var paged []domain.AuditEvent
				for after := int64(0); ; {
					page, err := f.Events.OfCustomer(t.Context(), acme, after, upTo, 2)
					require.NoError(t, err)
					if paged = append(paged, page...); len(page) == 0 {
						break
					}
					after = page[len(page)-1].ID
				}
				require.Equal(t, all, paged)
				everybody, err := f.Events.OfAll(t.Context(), 0, f.settled(), 100)
				require.NoError(t, err)
				require.Len(t, everybody, 9)
				for i := range everybody[1:] {
					require.Greater(t, everybody[i+1].ID, everybody[i].ID)
				}
				page, err := f.Events.OfAll(t.Context(), everybody[1].ID, everybody[4].ID, 2)
				require.NoError(t, err)
				require.Equal(t, everybody[2:4], page)
				require.Contains(t, everybody, func() domain.AuditEvent {
					es, err := f.Audit.Workload(t.Context(), rival, theirs, 0, 1)
					require.NoError(t, err)
					return es[0]
				}())
			}},
		{"the ends of many workloads are read at once",
			"Ends returns the newest position of each of these workloads", func(t T, h StoreHarness) {
				f := given(t, h)
				wk := f.worker("w", 5)
				a, b := f.running(wk), f.submit()
				f.must(wrote(a, wk, domain.LogLine{Message: "1"}, domain.LogLine{Message: "2"}))
				ends, err := f.Events.Ends(t.Context(), []domain.WorkloadID{a.ID, b.ID, "wl_none"})
				require.NoError(t, err)
				require.Len(t, ends, 2)
				all := f.followed(acme, a.ID, domain.Position{}, 100)
				require.Equal(t, all[len(all)-1].Position, ends[a.ID])
				require.Zero(t, ends[b.ID].Log)
				customers, err := f.Events.CustomerEnds(t.Context(),
					[]domain.CustomerID{acme, rival, "", "cust_none"})
				require.NoError(t, err)
				require.Equal(t, map[domain.CustomerID]int64{acme: ends[b.ID].Audit}, customers)
				require.Equal(t, ends[b.ID].Audit, f.settled())
			}},
		{"a reader among writers misses nothing and repeats nothing",
			"Up to Settled, none appears later", func(t T, h StoreHarness) {
				f := given(t, h)
				const writers, each = 8, 12
				subs := make([][]domain.Submission, writers)
				for i := range subs {
					for range each {
						subs[i] = append(subs[i], f.submission(acme))
					}
				}
				done := make(chan struct{})
				var wg sync.WaitGroup
				errs := make([]error, writers)
				for i := range subs {
					wg.Go(func() {
						stores := h.Open()
						for _, s := range subs[i] {
							if _, err := stores.Workloads.Submit(t.Context(), []domain.Submission{s}); err != nil {
								errs[i] = err
								return
							}
						}
					})
				}
				go func() { wg.Wait(); close(done) }()
				var seen []int64
				tail := func() {
					after := int64(0)
					if len(seen) > 0 {
						after = seen[len(seen)-1]
					}
					horizon, err := f.Events.Horizon(t.Context())
					require.NoError(t, err)
					es, err := f.Events.OfCustomer(t.Context(), acme, after, horizon.Settled, 1000)
					require.NoError(t, err)
					for _, e := range es {
						seen = append(seen, e.ID)
					}
				}
				for reading := true; reading; {
					select {
					case <-done:
						reading = false
					default:
					}
					tail()
				}
				for _, err := range errs {
					require.NoError(t, err)
				}
				upTo := f.settled()
				tail()
				all, err := f.Events.OfCustomer(t.Context(), acme, 0, upTo, 1000)
				require.NoError(t, err)
				require.Len(t, all, writers*each)
				require.Len(t, seen, len(all))
				for i := range all {
					require.Equal(t, all[i].ID, seen[i])
				}
			}},
	}
}
