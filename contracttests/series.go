package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func seriesCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"the series of a customer and of all",
			"Recent returns what is unfinished now, and how that has changed since a minute", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				f.onTheMinute()
				start := domain.MinuteOf(f.now())
				w := f.worker("w", 5)
				h.Advance(10 * time.Second)
				done := f.running(w)
				f.submit()
				f.submit(func(s *domain.Submission) { s.CustomerID, s.Type = rival, "u" })
				h.Advance(time.Minute)
				f.must(report(done, w, domain.EventComplete, 1))
				f.must(lose(f.running(w), domain.LossMissing))
				h.Advance(time.Minute)
				f.must(cancel(f.submit()))
				f.running(w)

				// The worker is given a workload twice: once one that is lost and returned to the queue.
				one := []domain.Point{
					{At: start.Add(-time.Minute)},
					point(start, domain.Activity{Submitted: 2}, 1, 1),
					point(start.Add(time.Minute), domain.Activity{Submitted: 1, Completed: 1}, 2, 0),
					point(start.Add(2*time.Minute), domain.Activity{Submitted: 2, Cancelled: 1}, 2, 1),
				}
				all := []domain.Point{
					one[0], point(start, domain.Activity{Submitted: 3}, 2, 1),
					point(start.Add(time.Minute), domain.Activity{Submitted: 1, Completed: 1}, 3, 0),
					point(start.Add(2*time.Minute), domain.Activity{Submitted: 2, Cancelled: 1}, 3, 1),
				}
				for _, folded := range []string{"before a fold", "after a part", "after all"} {
					require.Equal(t, one, f.series(4), folded)
					require.Equal(t, all, f.seriesOf(everyone, 4), folded)
					require.Empty(t, f.seriesOf(domain.Whose{}, 1)[0].ByTier, "the zero value selects nothing")
					if f.fold(3); folded == "after a part" {
						for f.fold(3) > 0 {
						}
					}
				}
				require.Equal(t, one[2:], f.series(2), "a shorter series says the same")

				_, err := f.Customers.Update(t.Context(), rival, domain.CustomerPatch{Tier: new(domain.TierFree)}, admin)
				require.NoError(t, err)
				got := f.seriesOf(everyone, 4)
				require.Equal(t, []domain.Level{
					{Tier: domain.TierFree, Unfinished: domain.Unfinished{Queued: 1}},
					{Tier: domain.TierPremium, Unfinished: domain.Unfinished{Queued: 1, Running: 1}},
				}, got[1].ByTier, "a customer takes its past along to its new tier")
			}},
		{"minutes of series go by themselves",
			"minutes that are older than domain.SeriesPeriod, whatever the age", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				f.onTheMinute()
				f.submit()
				f.fold(100)
				h.Advance(domain.SeriesPeriod - time.Minute)
				require.Zero(t, f.purge(domain.KeptLanes, 365*day))
				require.Equal(t, 1, f.series(1440)[0].Submitted)
				h.Advance(2 * time.Minute)
				require.Equal(t, 1, f.purge(domain.KeptLanes, 365*day))
				require.Zero(t, f.purge(domain.KeptLanes, 365*day))
				for _, p := range f.series(1440) {
					require.Zero(t, p.Submitted)
					require.Equal(t, 1, p.Queued)
				}
			}},
		{"a series equals what happened, whoever folds",
			"both are of the same moment", func(t T, h StoreHarness) {
				f := given(t, h)
				subs := make([]domain.Submission, 64)
				for i := range subs {
					subs[i] = f.submission(acme)
				}
				errs := race(len(subs), func(i int) error {
					s := h.Open()
					_, err := s.Workloads.Submit(t.Context(), subs[i:i+1])
					if err == nil && i%3 == 0 {
						_, err = s.Statistics.Fold(t.Context(), 5)
					}
					if err == nil && i%4 == 0 {
						err = consistent(t, s)
					}
					return err
				})
				for _, err := range errs {
					require.NoError(t, err)
				}
				require.Equal(t, 64, f.series(1)[0].Queued)
			}},
	}
}

// consistent checks that changes since the beginning lead to the levels.
func consistent(t T, s ports.Stores) error {
	r, err := s.Statistics.Recent(t.Context(), domain.Whose{Customer: acme}, time.Unix(0, 0))
	if err != nil {
		return err
	}
	queued := 0
	for _, l := range r.Levels {
		queued += l.Queued
	}
	for _, c := range r.Changes {
		queued -= c.Queued
	}
	if queued != 0 {
		return domain.NewError(domain.CodeInternal, "the levels and the changes differ by %d", queued)
	}
	return nil
}

// point is a point of a series with one start, of which all is in the tier of the fixture's customers.
func point(at time.Time, a domain.Activity, queued, running int) domain.Point {
	u := domain.Unfinished{Queued: queued, Running: running}
	return domain.Point{
		At: at, Started: 1, Activity: a, Unfinished: u,
		ByTier: []domain.Level{{Tier: domain.TierPremium, Unfinished: u}},
	}
}

var everyone = domain.Whose{Everyone: true}

// series reads the series of acme's last minutes.
func (f *fixture) series(minutes int) []domain.Point {
	f.Helper()
	return f.seriesOf(domain.Whose{Customer: acme}, minutes)
}

func (f *fixture) seriesOf(whose domain.Whose, minutes int) []domain.Point {
	f.Helper()
	now := f.now()
	q := domain.SeriesQuery{Whose: whose, Period: time.Duration(minutes) * time.Minute, Step: time.Minute}
	r, err := f.Statistics.Recent(f.Context(), whose, q.From(now))
	require.NoError(f, err)
	return r.Series(q, now)
}

// onTheMinute moves the store's clock to a whole minute, so that none passes during a case.
func (f *fixture) onTheMinute() {
	f.Helper()
	now := f.now()
	f.h.Advance(domain.MinuteOf(now).Add(time.Minute).Sub(now))
}
