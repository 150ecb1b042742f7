package contracttests

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func listCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"pages neither repeat nor skip, in every order",
			"Order is total; pages by After never repeat or skip a workload", func(t T, h StoreHarness) {
				f := given(t, h)
				for i := range 11 {
					f.submit(func(s *domain.Submission) { s.Priority = i % 3 })
					if i%2 == 0 {
						h.Advance(time.Second)
					}
				}
				for _, by := range []ports.OrderBy{
					"", ports.OrderCreatedAt, ports.OrderPriority, ports.OrderUpdatedAt,
				} {
					for _, ascending := range []bool{true, false} {
						q := ports.WorkloadQuery{Customer: acme, OrderBy: by, Ascending: ascending, Limit: 4}
						all := f.list(withLimit(q, 100)).Items
						require.Len(t, all, 11)
						var paged []domain.Workload
						for {
							p := f.list(q)
							paged = append(paged, p.Items...)
							if q.After = p.Next; q.After == nil {
								break
							}
							require.Equal(t, cursorOf(p.Items[len(p.Items)-1], by), p.Next)
							f.submit(func(s *domain.Submission) { s.CustomerID = rival }) // the other customer submits meanwhile
						}
						require.Equal(t, all, paged, "%s ascending=%v", by, ascending)
						for i := 1; i < len(all); i++ {
							require.True(t, ordered(all[i-1], all[i], by, ascending),
								"%s ascending=%v at %d", by, ascending, i)
						}
					}
				}
			}},
		{"a brief list leaves out what may be large",
			"Brief makes the page hold the workloads as domain.Workload.Brief returns them", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				done := f.running(w, func(s *domain.Submission) {
					s.Labels, s.RunAt = map[string]string{"x": "1"}, time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC)
					s.Affinity.Anti.WorkloadTypes, s.Run.Config = []string{"noisy"}, `{"k":1}`
				})
				f.must(report(done, w, domain.EventComplete, 1))
				f.submit()
				q := ports.WorkloadQuery{Customer: acme, Limit: 10}
				whole := f.list(q)
				q.Brief = true
				brief := f.list(q)
				require.Len(t, brief.Items, 2)
				for i, got := range brief.Items {
					require.Equal(t, whole.Items[i].Brief(), got)
				}
				require.Equal(t, domain.StatusCompleted, brief.Items[1].Status)
				require.Empty(t, brief.Items[1].Input+brief.Items[1].Result)
				q.Labels, q.Limit = map[string]string{"x": "1"}, 1
				require.Equal(t, brief.Items[1:], f.list(q).Items, "filters hold all the same")
			}},
		{"filters match what they say", "Zero filters match everything", func(t T, h StoreHarness) {
			f := given(t, h)
			w := f.worker("w", 5)
			a := f.submit(func(s *domain.Submission) { s.Labels = map[string]string{"x": "1", "y": "2"} })
			h.Advance(time.Minute)
			b := f.running(w)
			h.Advance(time.Minute)
			c := f.submit(func(s *domain.Submission) { s.Type, s.Labels = "u", map[string]string{"x": "1"} })
			for i, q := range []struct {
				ports.WorkloadQuery
				want []domain.WorkloadID
			}{
				{ports.WorkloadQuery{}, []domain.WorkloadID{a.ID, b.ID, c.ID}},
				{ports.WorkloadQuery{Statuses: []domain.Status{domain.StatusRunning}}, []domain.WorkloadID{b.ID}},
				{ports.WorkloadQuery{Statuses: []domain.Status{domain.StatusRunning, domain.StatusPending}},
					[]domain.WorkloadID{a.ID, b.ID, c.ID}},
				{ports.WorkloadQuery{Statuses: []domain.Status{domain.StatusFailed}}, nil},
				{ports.WorkloadQuery{Type: "u"}, []domain.WorkloadID{c.ID}},
				{ports.WorkloadQuery{Labels: map[string]string{"x": "1"}}, []domain.WorkloadID{a.ID, c.ID}},
				{ports.WorkloadQuery{Labels: map[string]string{"x": "1", "y": "2"}}, []domain.WorkloadID{a.ID}},
				{ports.WorkloadQuery{CreatedAfter: a.CreatedAt}, []domain.WorkloadID{b.ID, c.ID}},
				{ports.WorkloadQuery{CreatedBefore: b.CreatedAt}, []domain.WorkloadID{a.ID}},
			} {
				q.Customer, q.Ascending, q.Limit = acme, true, 10
				var got []domain.WorkloadID
				for _, w := range f.list(q.WorkloadQuery).Items {
					got = append(got, w.ID)
				}
				require.Equal(t, q.want, got, "filter %d", i)
			}
		}},
		{"final and unfinished statuses combine with every filter and order",
			"Statuses, Type, Labels, CreatedAfter and CreatedBefore all match", func(t T, h StoreHarness) {
				f := given(t, h)
				w, user := f.worker("w", 100), domain.Actor{Kind: domain.ActorUser, ID: "key_1"}
				var all []domain.Workload
				for i := range 24 {
					s := f.running(w, func(s *domain.Submission) {
						s.Priority, s.Labels = i%5, map[string]string{"x": fmt.Sprint(i % 2)}
					})
					f.must(domain.Transition{
						WorkloadID: s.ID, CustomerID: acme, Event: domain.EventRequestPause, Actor: user,
					})
					end := []domain.Transition{
						report(s, w, domain.EventComplete, 1), report(s, w, domain.EventFail, 1),
						report(s, w, domain.EventPaused, 1),
						{WorkloadID: s.ID, CustomerID: acme, Event: domain.EventCancel, Actor: user},
					}[i/2%4]
					end.Failure = &domain.Failure{Type: "error", Message: "boom", Permanent: true}
					f.must(end)
					all = append(all, f.get(s.ID))
					h.Advance(time.Second)
				}
				sets := [][]domain.Status{
					nil, {domain.StatusCompleted}, {domain.StatusFailed, domain.StatusCompleted}, {domain.StatusCancelled},
					{domain.StatusPaused}, {domain.StatusFailed, domain.StatusPaused}, {domain.StatusRunning},
					{domain.StatusFailed, domain.StatusFailed},
				}
				for _, statuses := range sets {
					for _, label := range []string{"", "1"} {
						for _, by := range []ports.OrderBy{
							ports.OrderCreatedAt, ports.OrderPriority, ports.OrderUpdatedAt,
						} {
							q := ports.WorkloadQuery{
								Customer: acme, Statuses: statuses, Type: "t", OrderBy: by, Ascending: true, Limit: 100,
								CreatedAfter: all[3].CreatedAt, CreatedBefore: all[20].CreatedAt,
							}
							if label != "" {
								q.Labels = map[string]string{"x": label}
							}
							var want []domain.Workload
							for _, w := range all[4:20] {
								if (len(statuses) == 0 || slices.Contains(statuses, w.Status)) &&
									(label == "" || w.Labels["x"] == label) {
									want = append(want, w)
								}
							}
							slices.SortFunc(want, func(a, b domain.Workload) int {
								if ordered(a, b, by, true) {
									return -1
								}
								return 1
							})
							p := f.list(q)
							require.Equal(t, want, p.Items, "%v by %s", statuses, by)
							require.Equal(t, len(want), f.count(q))
							q.Type = "none"
							require.Empty(t, f.list(q).Items)
						}
					}
				}
			}},
		{"a list by the time of change forgets",
			"OrderUpdatedAt leaves out what last changed before UpdatedWindow", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				runs, waits := f.running(w), f.submit()
				done := f.running(w)
				f.must(report(done, w, domain.EventComplete, 1))
				again := f.running(w)
				failed := report(again, w, domain.EventFail, 1)
				failed.Failure = &domain.Failure{Type: "error", Message: "boom"}
				f.must(failed)
				ids := func() (ids []domain.WorkloadID) {
					for _, w := range f.list(ports.WorkloadQuery{
						Customer: acme, OrderBy: ports.OrderUpdatedAt, Limit: 10,
					}).Items {
						ids = append(ids, w.ID)
					}
					return ids
				}
				require.ElementsMatch(t, []domain.WorkloadID{runs.ID, waits.ID, done.ID, again.ID}, ids())
				h.Advance(ports.UpdatedWindow - time.Minute)
				percent := 50.0
				progress := report(runs, w, domain.EventProgress, 1)
				progress.Percent = &percent
				f.must(progress)
				require.Len(t, ids(), 4)
				require.Equal(t, runs.ID, ids()[0])
				h.Advance(2 * time.Minute)
				require.Equal(t, []domain.WorkloadID{runs.ID}, ids())
			}},
		{"times of creation are compared as they are shown",
			"Times of creation are compared in milliseconds, see CreatedRange", func(t T, h StoreHarness) {
				f := given(t, h)
				for range 3 { // at three places within a millisecond
					w := f.submit()
					shown := w.CreatedAt.Truncate(time.Millisecond)
					for i, c := range []struct {
						after, before time.Time
						found         bool
					}{
						{shown, time.Time{}, false}, {shown.Add(-time.Microsecond), time.Time{}, true},
						{shown.Add(999 * time.Microsecond), time.Time{}, false}, {time.Time{}, shown, false},
						{time.Time{}, shown.Add(999 * time.Microsecond), false},
						{time.Time{}, shown.Add(time.Millisecond), true},
						{shown.Add(-time.Millisecond), shown.Add(time.Millisecond), true},
					} {
						q := ports.WorkloadQuery{
							Customer: acme, Limit: 100, CreatedAfter: c.after, CreatedBefore: c.before,
						}
						found := false
						for _, got := range f.list(q).Items {
							found = found || got.ID == w.ID
						}
						require.Equal(t, c.found, found, "%d: %v", i, w.CreatedAt)
					}
					h.Advance(333 * time.Microsecond)
				}
			}},
		{"an offset skips", "Offset skips that many", func(t T, h StoreHarness) {
			f := given(t, h)
			for range 5 {
				f.submit()
			}
			p := f.list(ports.WorkloadQuery{Customer: acme, Ascending: true, Limit: 2, Offset: 2})
			require.Equal(t, []string{"wl_0003", "wl_0004"}, []string{string(p.Items[0].ID), string(p.Items[1].ID)})
			require.NotNil(t, p.Next)
		}},
		{"a count has what the pages have",
			"Count counts what the pages of List have from q.After on, whatever Limit and Offset are",
			func(t T, h StoreHarness) {
				f := given(t, h)
				for i := range 9 {
					f.submit(func(s *domain.Submission) { s.Priority = i % 3 })
					h.Advance(time.Second)
				}
				for _, by := range []ports.OrderBy{
					ports.OrderCreatedAt, ports.OrderPriority, ports.OrderUpdatedAt,
				} {
					for _, ascending := range []bool{true, false} {
						q := ports.WorkloadQuery{Customer: acme, OrderBy: by, Ascending: ascending, Limit: 4}
						require.Equal(t, 9, f.count(q))
						q.After = f.list(q).Next
						require.Equal(t, 5, f.count(q))
						q.After = f.list(q).Next
						require.Equal(t, 1, f.count(q))
					}
				}
				require.Equal(t, 9, f.count(ports.WorkloadQuery{Customer: acme, Limit: 1, Offset: 3}))
				require.Zero(t, f.count(ports.WorkloadQuery{Customer: acme, Type: "none"}))
			}},
		{"no customer sees workloads of another",
			"List returns one page of a customer's workloads", func(t T, h StoreHarness) {
				f := given(t, h)
				a := f.submit()
				for _, other := range []domain.CustomerID{rival, "cust_nobody"} {
					require.Empty(t, f.list(ports.WorkloadQuery{Customer: other, Limit: 10}).Items)
					ws, err := f.Workloads.Get(t.Context(), other, a.ID)
					require.NoError(t, err)
					require.Empty(t, ws)
				}
			}},
		{"get keeps the order asked for",
			"in the order asked for, leaving out those that do not exist", func(t T, h StoreHarness) {
				f := given(t, h)
				a, b := f.submit(), f.submit()
				ws, err := f.Workloads.Get(t.Context(), acme, b.ID, "wl_none", a.ID)
				require.NoError(t, err)
				require.Equal(t, []domain.Workload{b, a}, ws)
			}},
	}
}

func withLimit(q ports.WorkloadQuery, n int) ports.WorkloadQuery {
	q.Limit = n
	return q
}

func (f *fixture) list(q ports.WorkloadQuery) ports.WorkloadPage {
	f.Helper()
	p, err := f.Workloads.List(f.Context(), q)
	require.NoError(f, err)
	return p
}

func (f *fixture) count(q ports.WorkloadQuery) int {
	f.Helper()
	c, err := f.Workloads.Count(f.Context(), q)
	require.NoError(f, err)
	require.False(f, c.Estimated)
	return c.N
}

func cursorOf(w domain.Workload, by ports.OrderBy) *ports.Cursor {
	c := &ports.Cursor{ID: w.ID}
	switch by {
	case ports.OrderPriority:
		c.Priority = w.Priority
	case ports.OrderUpdatedAt:
		c.Time = w.UpdatedAt
	default:
		c.Time = w.CreatedAt
	}
	return c
}

func ordered(a, b domain.Workload, by ports.OrderBy, ascending bool) bool {
	if !ascending {
		a, b = b, a
	}
	key := func(w domain.Workload) string {
		c := cursorOf(w, by)
		return fmt.Sprintf("%020d %06d %s", c.Time.UnixNano(), c.Priority, c.ID)
	}
	return key(a) < key(b)
}
