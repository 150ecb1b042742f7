package ports

import (
	"context"
	"time"
)

// RateLimiter is a token bucket per key.
type RateLimiter interface {
	// Allow takes one token from the bucket of key, which holds burst tokens and refills at rate
	// per second, and says whether there was one. The bucket is full at first. Of N racers on a
	// bucket of b tokens, b are allowed.
	Allow(ctx context.Context, key string, rate float64, burst int) (RateDecision, error)
}

// RateDecision is the state of a bucket after a request.
type RateDecision struct {
	Allowed bool
	// Remaining is how many whole tokens are left.
	Remaining int
	// ResetAfter is when the bucket is full again.
	ResetAfter time.Duration
	// RetryAfter is when the next token comes; 0 when allowed.
	RetryAfter time.Duration
}
