package contracttests

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func recordCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"audit events are read in order and in pages",
			"up to limit events, oldest first, with ids above after", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				f.must(report(a, w, domain.EventComplete, 1))
				all, err := h.Open().Audit.Workload(t.Context(), acme, a.ID, 0, 100)
				require.NoError(t, err)
				require.Len(t, all, 4)
				first, err := f.Audit.Workload(t.Context(), acme, a.ID, 0, 3)
				require.NoError(t, err)
				rest, err := f.Audit.Workload(t.Context(), acme, a.ID, first[2].ID, 3)
				require.NoError(t, err)
				require.Equal(t, all, append(first, rest...))
				e := all[1]
				require.Equal(t, domain.AuditEvent{
					ID: e.ID, WorkloadID: a.ID, CustomerID: acme, Type: domain.AuditScheduled, Actor: coordinator,
					From: domain.StatusPending, To: domain.StatusScheduled, Generation: 1, WorkerID: "w", At: e.At,
				}, e)
				for i := 1; i < len(all); i++ {
					require.Greater(t, all[i].ID, all[i-1].ID)
					require.False(t, all[i].At.Before(all[i-1].At))
				}
				for _, id := range []domain.WorkloadID{a.ID, "wl_none"} {
					none, err := f.Audit.Workload(t.Context(), rival, id, 0, 10)
					require.NoError(t, err)
					require.Empty(t, none)
				}
			}},
		{"log lines are numbered and bounded by time",
			"The lines of an applied transition are kept in the same transaction: in order, numbered per workload",
			func(t T, h StoreHarness) {
				f := given(t, h)
				wk := f.worker("w", 5)
				a, b := f.running(wk), f.running(wk)
				at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
				var lines []domain.LogLine
				for i := range 6 {
					lines = append(lines, domain.LogLine{
						At: at.Add(time.Duration(i) * time.Minute), Level: domain.LevelInfo, Stream: "stdout",
						Message: fmt.Sprint(i), Details: domain.JSON(fmt.Sprintf(`{"i":%d}`, i)),
					})
				}
				for _, r := range f.apply(wrote(a, wk, lines[:2]...),
					wrote(b, wk, domain.LogLine{At: at, Message: "other"}), wrote(a, wk, lines[2:5]...)) {
					require.Equal(t, domain.OutcomeApplied, r.Outcome)
				}
				f.must(wrote(a, wk, lines[5:]...))
				read := func(q ports.LogQuery) (out string) {
					q.Customer, q.Workload = acme, a.ID
					got, err := h.Open().Logs.List(t.Context(), q)
					require.NoError(t, err)
					for _, l := range got {
						out += l.Message
					}
					return out
				}
				require.Equal(t, "012345", read(ports.LogQuery{Limit: 100}))
				require.Equal(t, "45", read(ports.LogQuery{Limit: 2}), "without a start, the newest lines are returned")
				require.Equal(t, "12", read(ports.LogQuery{Limit: 2, AfterSeq: new(int64(1))}))
				require.Equal(t, "01", read(ports.LogQuery{Limit: 2, AfterSeq: new(int64(0))}), "from the first one on")
				require.Equal(t, "23", read(ports.LogQuery{Limit: 2, Since: at.Add(2 * time.Minute)}))
				require.Equal(t, "01", read(ports.LogQuery{Limit: 9, Until: at.Add(2 * time.Minute)}))
				got, err := f.Logs.List(t.Context(), ports.LogQuery{Customer: acme, Workload: a.ID, Limit: 1,
					AfterSeq: new(int64(2))})
				require.NoError(t, err)
				want := lines[2]
				want.WorkloadID, want.CustomerID, want.Generation, want.Seq = a.ID, acme, 1, 3
				require.Equal(t, []domain.LogLine{want}, got)
				for _, id := range []domain.WorkloadID{a.ID, "wl_none"} {
					none, err := f.Logs.List(t.Context(), ports.LogQuery{Customer: rival, Workload: id, Limit: 9})
					require.NoError(t, err)
					require.Empty(t, none)
				}
			}},
		{"the oldest log lines go first",
			"the oldest of a workload beyond domain.MaxLogLines are dropped", func(t T, h StoreHarness) {
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
				got, err := f.Logs.List(t.Context(), ports.LogQuery{
					Customer: acme, Workload: a.ID, Limit: 2 * domain.MaxLogLines,
				})
				require.NoError(t, err)
				require.Len(t, got, domain.MaxLogLines)
				require.Equal(t, int64(1001), got[0].Seq)
			}},
		{"lines are kept with the transition that brings them, or not at all",
			"The lines of an applied transition are kept in the same transaction", func(t T, h StoreHarness) {
				f := given(t, h)
				wk := f.worker("w", 5)
				a := f.running(wk)
				stale := wrote(a, wk, domain.LogLine{Message: "of another generation"})
				stale.Generation = 2
				end := report(a, wk, domain.EventComplete, 1)
				end.Lines = []domain.LogLine{{At: time.Unix(1, 0).UTC(), Message: "the last"}}
				unknown := wrote(a, wk, domain.LogLine{Message: "of nobody"})
				unknown.WorkloadID = "wl_none"
				for i, want := range []domain.Outcome{
					domain.OutcomeFenced, domain.OutcomeApplied, domain.OutcomeAlready, domain.OutcomeNotFound,
				} {
					require.Equal(t, want, f.apply([]domain.Transition{stale, end, end, unknown}[i])[0].Outcome)
				}
				got, err := f.Logs.List(t.Context(), ports.LogQuery{Customer: acme, Workload: a.ID, Limit: 10})
				require.NoError(t, err)
				require.Len(t, got, 1)
				require.Equal(t, "the last", got[0].Message)
			}},
	}
}

func leaderCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"of many racers one becomes leader", "Of N racers exactly one gets it", func(t T, h StoreHarness) {
			rs := race(32, func(i int) bool {
				_, held, err := h.Open().Leader.Acquire(t.Context(), fmt.Sprint("c", i), lease)
				return err == nil && held
			})
			require.Equal(t, 1, count(rs, func(held bool) bool { return held }))
		}},
		{"epochs grow with every change of leader",
			"Epochs never repeat and never fall, releases included", func(t T, h StoreHarness) {
				l := h.Open().Leader
				last := int64(0)
				for i := range 5 {
					name := fmt.Sprint("c", i%2)
					got, held, err := l.Acquire(t.Context(), name, lease)
					require.NoError(t, err)
					require.True(t, held)
					require.Greater(t, got.Epoch, last)
					require.Equal(t, name, got.Holder)
					last = got.Epoch
					if i%2 == 0 {
						require.NoError(t, l.Release(t.Context(), name, last))
					} else {
						h.Advance(lease + time.Second)
					}
				}
			}},
		{"a held lease is not granted to another process",
			"Otherwise held is false and Leadership tells who has it", func(t T, h StoreHarness) {
				l := h.Open().Leader
				mine, _, err := l.Acquire(t.Context(), "a", lease)
				require.NoError(t, err)
				h.Advance(lease - time.Second)
				got, held, err := l.Acquire(t.Context(), "b", lease)
				require.NoError(t, err)
				require.False(t, held)
				require.Equal(t, mine, got)
				again, held, err := l.Acquire(t.Context(), "a", lease)
				require.NoError(t, err)
				require.True(t, held, "its holder renews it")
				require.Equal(t, mine, again)
				h.Advance(2 * time.Second)
				_, held, err = l.Acquire(t.Context(), "b", lease)
				require.NoError(t, err)
				require.False(t, held)
			}},
		{"even a late renewal extends the lease",
			"A lease past its end that nobody else took is renewed", func(t T, h StoreHarness) {
				l := h.Open().Leader
				mine, _, err := l.Acquire(t.Context(), "a", lease)
				require.NoError(t, err)
				h.Advance(lease + time.Minute)
				require.NoError(t, l.Renew(t.Context(), "a", mine.Epoch, lease))
				_, held, err := l.Acquire(t.Context(), "b", lease)
				require.NoError(t, err)
				require.False(t, held)
			}},
		{"a lost lease cannot be renewed",
			"CodeFenced when holder does not have it at that epoch any more", func(t T, h StoreHarness) {
				l := h.Open().Leader
				mine, _, err := l.Acquire(t.Context(), "a", lease)
				require.NoError(t, err)
				h.Advance(lease + time.Second)
				theirs, held, err := l.Acquire(t.Context(), "b", lease)
				require.NoError(t, err)
				require.True(t, held)
				requireCode(t, l.Renew(t.Context(), "a", mine.Epoch, lease), domain.CodeFenced)
				requireCode(t, l.Renew(t.Context(), "a", theirs.Epoch, lease), domain.CodeFenced)
				requireCode(t, l.Renew(t.Context(), "b", mine.Epoch, lease), domain.CodeFenced)
				require.NoError(t, l.Release(t.Context(), "a", mine.Epoch), "not holding it is a success")
				require.NoError(t, l.Renew(t.Context(), "b", theirs.Epoch, lease))
			}},
	}
}
