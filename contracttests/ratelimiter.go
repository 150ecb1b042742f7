package contracttests

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/ports"
)

// LimiterHarness hooks a rate limiter into the suite.
type LimiterHarness struct {
	// Open returns a new handle on the same limiter with each call.
	Open func() ports.RateLimiter
	// Advance moves the limiter's clock.
	Advance func(d time.Duration)
}

// stalls is for how many seconds a machine may stand still during a case. Rates are low, so that this
// does not matter.
const stalls = 50

// LimiterCases is the suite of the RateLimiter port.
func LimiterCases() []Case[LimiterHarness] {
	spend := func(t T, l ports.RateLimiter, cost int, key string, rate float64, burst int) ports.RateDecision {
		t.Helper()
		d, err := l.Allow(t.Context(), key, rate, burst, cost)
		require.NoError(t, err)
		return d
	}
	take := func(t T, l ports.RateLimiter, key string, rate float64, burst int) ports.RateDecision {
		t.Helper()
		return spend(t, l, 1, key, rate, burst)
	}
	return []Case[LimiterHarness]{
		{"a bucket is full at first and says what is left", "The bucket is full at first", func(t T, h LimiterHarness) {
			const perToken = 1000 // seconds
			for i := range 5 {
				d := take(t, h.Open(), "k", 1./perToken, 5)
				require.True(t, d.Allowed)
				require.Equal(t, 4-i, d.Remaining)
				require.InDelta(t, float64(i+1)*perToken, d.ResetAfter.Seconds(), stalls)
				require.Zero(t, d.RetryAfter)
			}
			d := take(t, h.Open(), "k", 1./perToken, 5)
			require.False(t, d.Allowed)
			require.Zero(t, d.Remaining)
			require.InDelta(t, perToken, d.RetryAfter.Seconds(), stalls)
		}},
		{"a bucket refills at its rate, up to its burst", "refills at rate per second", func(t T, h LimiterHarness) {
			l := h.Open()
			for range 4 {
				take(t, l, "k", 0.02, 4)
			}
			require.False(t, take(t, l, "k", 0.02, 4).Allowed)
			h.Advance(100 * time.Second)
			require.True(t, take(t, l, "k", 0.02, 4).Allowed)
			require.True(t, take(t, l, "k", 0.02, 4).Allowed)
			require.False(t, take(t, l, "k", 0.02, 4).Allowed)
			h.Advance(time.Hour)
			require.Equal(t, 3, take(t, l, "k", 0.02, 4).Remaining)
		}},
		{"keys have buckets of their own", "takes cost tokens from the bucket of key", func(t T, h LimiterHarness) {
			l := h.Open()
			require.True(t, take(t, l, "a", 0.001, 1).Allowed)
			require.False(t, take(t, l, "a", 0.001, 1).Allowed)
			require.True(t, take(t, l, "b", 0.001, 1).Allowed)
		}},
		{"of N racers on b tokens b are allowed",
			"Of N racers with a cost of 1 on a bucket of b tokens, b are allowed", func(t T, h LimiterHarness) {
				rs := race(64, func(int) bool {
					d, err := h.Open().Allow(t.Context(), "k", 0.001, 7, 1)
					return err == nil && d.Allowed
				})
				require.Equal(t, 7, count(rs, func(ok bool) bool { return ok }))
			}},
		{"a cost is taken as a whole or not at all", "all of them or none", func(t T, h LimiterHarness) {
			const perToken = 1000 // seconds
			l := h.Open()
			d := spend(t, l, 3, "k", 1./perToken, 5)
			require.True(t, d.Allowed)
			require.Equal(t, 2, d.Remaining)
			d = spend(t, l, 4, "k", 1./perToken, 5)
			require.False(t, d.Allowed)
			require.Equal(t, 2, d.Remaining, "a refused request takes nothing")
			require.InDelta(t, 2*perToken, d.RetryAfter.Seconds(), stalls)
			h.Advance(d.RetryAfter + time.Second)
			require.True(t, spend(t, l, 4, "k", 1./perToken, 5).Allowed)
		}},
		{"a cost above the burst needs a full bucket and leaves debt",
			"allowed when min(cost, burst) tokens are there; the rest is debt", func(t T, h LimiterHarness) {
				const perToken = 1000 // seconds
				l := h.Open()
				take(t, l, "k", 1./perToken, 5)
				d := spend(t, l, 1000, "k", 1./perToken, 5)
				require.False(t, d.Allowed, "one token is missing")
				require.Equal(t, 4, d.Remaining)
				require.InDelta(t, perToken, d.RetryAfter.Seconds(), stalls)
				h.Advance(d.RetryAfter + time.Second)
				d = spend(t, l, 12, "k", 1./perToken, 5)
				require.True(t, d.Allowed)
				require.Zero(t, d.Remaining)
				require.Zero(t, d.RetryAfter)
				require.InDelta(t, 12*perToken, d.ResetAfter.Seconds(), stalls)
				d = take(t, h.Open(), "k", 1./perToken, 5)
				require.False(t, d.Allowed, "later requests wait out the debt")
				require.InDelta(t, 8*perToken, d.RetryAfter.Seconds(), stalls, "7 owed, 1 wanted")
				h.Advance(7 * perToken * time.Second)
				require.False(t, take(t, l, "k", 1./perToken, 5).Allowed, "a refused request owes nothing")
				h.Advance(perToken * time.Second)
				require.True(t, take(t, l, "k", 1./perToken, 5).Allowed)
				h.Advance(2 * time.Hour)
				require.Equal(t, 4, take(t, l, "k", 1./perToken, 5).Remaining, "debt is paid once")
			}},
		{"debt outlasts the time in which an empty bucket would be full",
			"nothing more is allowed until the bucket has refilled for it", func(t T, h LimiterHarness) {
				l := h.Open()
				require.True(t, spend(t, l, 100, "k", 0.1, 2).Allowed)
				h.Advance(5 * time.Minute)
				take(t, l, "other", 1, 1) // a limiter may remove full buckets during this call
				require.False(t, take(t, l, "k", 0.1, 2).Allowed)
			}},
		{"a cost of zero takes nothing and tells of debt",
			"A cost of 0 takes nothing and is allowed unless the bucket is in debt", func(t T, h LimiterHarness) {
				l := h.Open()
				d := spend(t, l, 0, "k", 0.001, 2)
				require.True(t, d.Allowed)
				require.Equal(t, 2, d.Remaining)
				spend(t, l, 2, "k", 0.001, 2)
				require.True(t, spend(t, l, 0, "k", 0.001, 2).Allowed, "empty, but nothing is owed")
				h.Advance(time.Hour)
				spend(t, l, 3, "k", 0.001, 2)
				d = spend(t, l, 0, "k", 0.001, 2)
				require.False(t, d.Allowed)
				require.InDelta(t, 1000, d.RetryAfter.Seconds(), stalls)
			}},
		{"of racers with costs as many are allowed as there are tokens",
			"takes all of them or none", func(t T, h LimiterHarness) {
				rs := race(64, func(int) bool {
					d, err := h.Open().Allow(t.Context(), "k", 0.001, 20, 3)
					return err == nil && d.Allowed
				})
				require.Equal(t, 6, count(rs, func(ok bool) bool { return ok }))
			}},
		{"changed limits take effect", "burst tokens, rate per second: those of the call", func(t T, h LimiterHarness) {
			l := h.Open()
			for range 3 {
				take(t, l, "k", 1, 2)
			}
			h.Advance(time.Second)
			require.True(t, take(t, l, "k", 100, 50).Allowed)
			h.Advance(time.Second)
			require.Greater(t, take(t, l, "k", 100, 50).Remaining, 10)
			require.LessOrEqual(t, take(t, l, "k", 100, 5).Remaining, 5)
		}},
		{"a cancelled context surfaces as itself",
			"A context that is cancelled surfaces as context.Canceled", func(t T, h LimiterHarness) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_, err := h.Open().Allow(ctx, "k", 1, 1, 1)
				require.ErrorIs(t, err, context.Canceled)
			}},
	}
}
