package ports

import (
	"context"
	"time"
)

// RateLimiter is a token bucket per key.
type RateLimiter interface {
	// Allow takes cost tokens from the bucket of key, which holds burst tokens and refills at rate
	// per second, and says whether it did. The bucket is full at first. It takes all of them or
	// none: it is allowed when min(cost, burst) tokens are there. What it takes beyond those that
	// are there is debt: nothing more is allowed until the bucket has refilled for it. So a cost
	// above burst is allowed too, once the bucket is full. A cost of 0 takes nothing and is allowed
	// unless the bucket is in debt. Of N racers with a cost of 1 on a bucket of b tokens, b are
	// allowed.
	Allow(ctx context.Context, key string, rate float64, burst, cost int) (RateDecision, error)
}

// RateDecision is the state of a bucket after a request.
type RateDecision struct {
	Allowed bool
	// Remaining is how many whole tokens are left; 0 in debt.
	Remaining int
	// ResetAfter is when the bucket is full again.
	ResetAfter time.Duration
	// RetryAfter is when the same cost would be allowed; 0 when it is allowed.
	RetryAfter time.Duration
}

// NewRateDecision returns the decision on a request for cost tokens that left so many in its
// bucket, a negative number in debt.
func NewRateDecision(allowed bool, tokens, rate float64, burst, cost int) RateDecision {
	refill := func(to int) time.Duration {
		return time.Duration(max(float64(to)-tokens, 0) / rate * float64(time.Second))
	}
	d := RateDecision{
		Allowed: allowed, ResetAfter: refill(burst),
		Remaining: max(int(tokens+1e-6), 0), // arithmetic may lose a little of a whole token
	}
	if !allowed {
		d.RetryAfter = refill(min(cost, burst))
	}
	return d
}
