package contracttests

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func insightCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"workloads ahead are counted by lane",
			"counts the eligible workloads of its lane that began to wait before it, ties by id, at most most",
			func(t T, h StoreHarness) {
				f := given(t, h)
				first, second := f.submit(), f.submit() // in one lane, possibly at the same time
				h.Advance(time.Second)
				third := f.submit()
				other := f.submit(func(s *domain.Submission) { s.Priority = 11 })
				f.submit(func(s *domain.Submission) { s.RunAt = third.CreatedAt.Add(time.Hour) })
				cutoffs := []ports.Cutoff{
					{Lane: first.Lane, Before: candidate(first)}, {Lane: first.Lane, Before: candidate(second)},
					{Lane: first.Lane, Before: candidate(third)}, {Lane: first.Lane},
					{Lane: other.Lane, Before: candidate(third)}, {Lane: other.Lane}, {Lane: "no such lane"},
				}
				counts, exact, err := f.Insight.Ahead(t.Context(), cutoffs, 7)
				require.NoError(t, err)
				require.Equal(t, []int{0, 1, 2, 3, 0, 1, 0}, counts)
				require.True(t, exact)
				f.must(assign(first, f.worker("w", 1)))
				counts, exact, err = f.Insight.Ahead(t.Context(), cutoffs[2:3], 10)
				require.NoError(t, err)
				require.Equal(t, []int{1}, counts, "an assigned workload does not wait")
				require.True(t, exact)
				h.Advance(time.Hour)
				counts, exact, err = f.Insight.Ahead(t.Context(), cutoffs[3:4], 10)
				require.NoError(t, err)
				require.Equal(t, []int{3}, counts, "a workload that has become due waits")
				require.True(t, exact)
			}},
		{"beyond the limit counts are estimates", "If there are more than limit together, counts may be estimates",
			func(t T, h StoreHarness) {
				f := given(t, h)
				var last domain.Workload
				for range 40 {
					last = f.submit()
					h.Advance(time.Second)
				}
				other := f.submit(func(s *domain.Submission) { s.Priority = 11 })
				cutoffs := []ports.Cutoff{{Lane: last.Lane}, {Lane: other.Lane}}
				for limit, isExact := range map[int]bool{100: true, 41: true, 40: false, 20: false, 1: false} {
					counts, exact, err := f.Insight.Ahead(t.Context(), cutoffs, limit)
					require.NoError(t, err)
					require.Equal(t, isExact, exact, "limit %d", limit)
					require.InDelta(t, 40, counts[0], 3, "limit %d", limit)
					require.Equal(t, 1, counts[1], "limit %d", limit)
				}
			}},
		{"no cutoffs get no counts", "for each cutoff in its place", func(t T, h StoreHarness) {
			counts, exact, err := h.Open().Insight.Ahead(t.Context(), nil, 10)
			require.NoError(t, err)
			require.Empty(t, counts)
			require.True(t, exact)
		}},
		{"usages of many are those of each",
			"Usages returns what Usage does of each of these customers", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				w := f.worker("w", 5)
				f.submit()
				f.running(w)
				h.Advance(24 * time.Hour)
				f.submit()
				f.submit(func(s *domain.Submission) { s.CustomerID = rival })
				f.must(cancel(f.submit()))
				ids := []domain.CustomerID{acme, rival, "cust_unknown"}
				for range 2 { // before and after a fold
					found, err := f.Insight.Usages(t.Context(), ids)
					require.NoError(t, err)
					for _, id := range ids {
						u, err := f.Statistics.Usage(t.Context(), id)
						require.NoError(t, err)
						require.Equal(t, u, found[id], id)
					}
					require.Equal(t, domain.Usage{Unfinished: domain.Unfinished{Queued: 2, Running: 1}, SubmittedToday: 2},
						found[acme])
					require.Equal(t, 1, found[rival].Queued)
					f.fold(100)
				}
				found, err := f.Insight.Usages(t.Context(), []domain.CustomerID{rival})
				require.NoError(t, err)
				require.NotContains(t, found, acme)
				found, err = f.Insight.Usages(t.Context(), nil)
				require.NoError(t, err)
				require.Empty(t, found)
			}},
		{"the throughput is replaced as a whole and seen by every handle",
			"SaveThroughput replaces the throughput that is kept; zero when none was", func(t T, h StoreHarness) {
				a, b := h.Open(), h.Open()
				p, err := a.Insight.Throughput(t.Context())
				require.NoError(t, err)
				require.Zero(t, p)
				last := time.Unix(1_700_000_000, 5000).UTC()
				saved := domain.Throughput{
					At: time.Unix(1_700_000_000, 123_456_000).UTC(), Window: 90 * time.Second,
					Types: map[string]domain.PlacementRate{"t": {Placed: 3, Busy: 7, Last: last},
						"u": {Placed: 4, Last: last}},
					Customers: map[domain.CustomerID]domain.PlacementRate{acme: {Placed: 7, Busy: 1_500_000}},
					Waits:     map[domain.Tier]domain.Waits{domain.TierFree: {0: 1, 40: 6}, domain.TierPremium: {7: 2}},
					Lanes:     map[domain.LaneID]domain.Waits{"a/t#0@5": {3: 1}, "b/u@5": {0: 1, 40: 6}},
				}
				require.NoError(t, a.Insight.SaveThroughput(t.Context(), saved))
				saved.Types["t"] = domain.PlacementRate{Placed: 99} // not aliased
				saved.Waits[domain.TierPremium][7], saved.Lanes["b/u@5"][40] = 99, 99
				p, err = b.Insight.Throughput(t.Context())
				require.NoError(t, err)
				saved.Types["t"] = domain.PlacementRate{Placed: 3, Busy: 7, Last: last}
				saved.Waits[domain.TierPremium][7], saved.Lanes["b/u@5"][40] = 2, 6
				require.Equal(t, saved, p)
				p.Customers[acme] = domain.PlacementRate{Placed: 99}
				p.Waits[domain.TierPremium][7], p.Lanes["b/u@5"][40] = 99, 99
				next := domain.Throughput{
					At: saved.At.Add(time.Minute), Window: time.Second,
					Types:     map[string]domain.PlacementRate{"u": {Placed: 1, Last: last}},
					Customers: map[domain.CustomerID]domain.PlacementRate{rival: {Placed: 1}},
					Waits:     map[domain.Tier]domain.Waits{domain.TierFree: {3: 1}},
					Lanes:     map[domain.LaneID]domain.Waits{"b/u@5": {1: 1}},
				}
				require.NoError(t, b.Insight.SaveThroughput(t.Context(), next))
				p, err = a.Insight.Throughput(t.Context())
				require.NoError(t, err)
				require.Equal(t, next, p)
			}},
		{"a cancelled context surfaces as itself",
			"Context cancellation surfaces as itself", func(t T, h StoreHarness) {
				s := h.Open()
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_, _, err := s.Insight.Ahead(ctx, []ports.Cutoff{{Lane: "l"}}, 1)
				require.ErrorIs(t, err, context.Canceled)
				_, err = s.Insight.Usages(ctx, []domain.CustomerID{acme})
				require.ErrorIs(t, err, context.Canceled)
				_, err = s.Insight.Throughput(ctx)
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, s.Insight.SaveThroughput(ctx, domain.Throughput{}), context.Canceled)
			}},
	}
}
