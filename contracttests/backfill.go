package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// backfillCases are about how long runs last: what may pass a reservation is judged by that.
func backfillCases() []Case[StoreHarness] {
	half := domain.Resources{GPUs: 500}
	timesOut := func(after time.Duration) func(*domain.Submission) {
		return func(s *domain.Submission) { s.Run.Timeout = after }
	}
	return []Case[StoreHarness]{
		{"heads say how long a run may last", "with Timeout, of lanes that reserve anything or have rules",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Devices: a10s(2)})
				timeouts := func() (out []time.Duration) {
					for _, c := range f.heads(9)[0].Heads {
						out = append(out, c.Timeout)
					}
					return out
				}
				a := f.submit(reserves(half), timesOut(time.Minute))
				f.submit(reserves(half), timesOut(0))
				f.submit(reserves(half), timesOut(time.Hour), func(s *domain.Submission) {
					s.RunAt = a.CreatedAt.Add(time.Minute)
				})
				require.Equal(t, []time.Duration{time.Minute, 0}, timeouts())
				h.Advance(2 * time.Minute)
				require.Equal(t, []time.Duration{time.Minute, 0, time.Hour}, timeouts(), "also what was delayed")
				f.must(gives(assign(a, w), share("0", 500)))
				f.must(report(a, w, domain.EventStart, 1))
				require.Equal(t, []time.Duration{0, time.Hour}, timeouts())
				f.must(report(a, w, domain.EventRelease, 1))
				require.Equal(t, []time.Duration{time.Minute, 0, time.Hour}, timeouts(), "and what waits again")
				lane, err := f.Queue.Heads(t.Context(), domain.HeadsQuery{N: 9, Lanes: []domain.LaneID{a.Lane}})
				require.NoError(t, err)
				require.Equal(t, time.Minute, lane.Lanes[0].Heads[0].Timeout)
			}},
		{"occupancy says when devices come free", "Ends, by the timeouts of runs that have started or not",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Devices: a10s(2)})
				read := func() domain.Occupancy {
					occ, err := f.Queue.Occupancy(t.Context())
					require.NoError(t, err)
					require.Len(t, occ, 1)
					return occ[0]
				}
				short := f.submit(reserves(half), timesOut(time.Minute))
				long := f.submit(reserves(half), timesOut(time.Hour))
				f.must(gives(assign(short, w), share("0", 500)))
				end := f.get(short.ID).ScheduledAt.Add(domain.StartAllowance + time.Minute)
				require.Equal(t, []time.Time{end}, read().Ends, "it has not started")
				require.Equal(t, end, read().End)
				f.must(gives(assign(long, w), share("1", 500)))
				h.Advance(10 * time.Second)
				f.must(report(short, w, domain.EventStart, 1))
				f.must(report(long, w, domain.EventStart, 1))
				ends := []time.Time{f.get(short.ID).Deadline, f.get(long.ID).Deadline}
				require.Equal(t, ends, read().Ends)
				require.Equal(t, ends[1], read().End)
				more := f.submit(reserves(half), timesOut(30*time.Minute))
				f.must(gives(assign(more, w), share("0", 500)))
				f.must(report(more, w, domain.EventStart, 1))
				require.Equal(t, []time.Time{f.get(more.ID).Deadline, ends[1]}, read().Ends, "the last one counts")
				f.must(report(more, w, domain.EventComplete, 1))
				require.Equal(t, ends, read().Ends)
			}},
		{"a run without a timeout is expected to last as long again",
			"Ends, of runs without a timeout and of ending runs, as long ahead as they have lasted",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Devices: a10s(1), Custom: map[string]int64{"licence": 9}})
				ahead := func(want time.Duration) {
					occ, err := f.Queue.Occupancy(t.Context())
					require.NoError(t, err)
					require.Len(t, occ, 1)
					now := f.now()
					require.InDelta(t, want, occ[0].End.Sub(now), float64(time.Minute))
					for _, end := range occ[0].Ends {
						require.InDelta(t, want, end.Sub(now), float64(time.Minute))
					}
				}
				a := f.submit(reserves(half), timesOut(0))
				f.must(gives(assign(a, w), share("0", 500)))
				f.must(report(a, w, domain.EventStart, 1))
				h.Advance(time.Hour)
				ahead(time.Hour)
				f.must(cancel(a))
				ahead(0)
				h.Advance(10 * time.Minute)
				ahead(10 * time.Minute)
				gone := report(a, w, domain.EventLetGo, 1)
				gone.WorkerID = w.ID
				f.apply(gone)
				licence := domain.Resources{Custom: map[string]int64{"licence": 1}}
				for _, timeout := range []time.Duration{time.Minute, 0, 2 * time.Hour} {
					f.must(assign(f.submit(reserves(licence), timesOut(timeout)), w))
				}
				ahead(2 * time.Hour)
				h.Advance(time.Hour)
				f.beat(w)
				ahead(time.Hour)
				h.Advance(time.Hour)
				ahead(2 * time.Hour)
			}},
	}
}
