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
				first, second := f.submit(), f.submit() // of one lane; the same moment on a clock that stands still
				h.Advance(time.Second)
				third := f.submit()
				other := f.submit(func(s *domain.Submission) { s.Priority = 11 })
				f.submit(func(s *domain.Submission) { s.RunAt = third.CreatedAt.Add(time.Hour) })
				cutoffs := []ports.Cutoff{
					{Lane: first.Lane, Before: candidate(first)}, {Lane: first.Lane, Before: candidate(second)},
					{Lane: first.Lane, Before: candidate(third)}, {Lane: first.Lane},
					{Lane: other.Lane, Before: candidate(third)}, {Lane: other.Lane}, {Lane: "no such lane"},
				}
				counts, err := f.Insight.Ahead(t.Context(), cutoffs, 10)
				require.NoError(t, err)
				require.Equal(t, []int{0, 1, 2, 3, 0, 1, 0}, counts)
				counts, err = f.Insight.Ahead(t.Context(), cutoffs, 1)
				require.NoError(t, err)
				require.Equal(t, []int{0, 1, 1, 1, 0, 1, 0}, counts)
				f.must(assign(first, f.worker("w", 1)))
				counts, err = f.Insight.Ahead(t.Context(), cutoffs[2:3], 10)
				require.NoError(t, err)
				require.Equal(t, []int{1}, counts, "what is assigned does not wait")
				h.Advance(time.Hour)
				counts, err = f.Insight.Ahead(t.Context(), cutoffs[3:4], 10)
				require.NoError(t, err)
				require.Equal(t, []int{3}, counts, "what has become due waits")
			}},
		{"no cutoffs get no counts", "for each cutoff in its place", func(t T, h StoreHarness) {
			counts, err := h.Open().Insight.Ahead(t.Context(), nil, 10)
			require.NoError(t, err)
			require.Empty(t, counts)
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
				}
				require.NoError(t, a.Insight.SaveThroughput(t.Context(), saved))
				saved.Types["t"] = domain.PlacementRate{Placed: 99} // not aliased
				p, err = b.Insight.Throughput(t.Context())
				require.NoError(t, err)
				saved.Types["t"] = domain.PlacementRate{Placed: 3, Busy: 7, Last: last}
				require.Equal(t, saved, p)
				p.Customers[acme] = domain.PlacementRate{Placed: 99}
				next := domain.Throughput{
					At: saved.At.Add(time.Minute), Window: time.Second,
					Types:     map[string]domain.PlacementRate{"u": {Placed: 1, Last: last}},
					Customers: map[domain.CustomerID]domain.PlacementRate{rival: {Placed: 1}},
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
				_, err := s.Insight.Ahead(ctx, []ports.Cutoff{{Lane: "l"}}, 1)
				require.ErrorIs(t, err, context.Canceled)
				_, err = s.Insight.Throughput(ctx)
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, s.Insight.SaveThroughput(ctx, domain.Throughput{}), context.Canceled)
			}},
	}
}
