package redis

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/niyanta/niyanta/core/ports"
)

// retryPause is how long Redis is not asked after it failed, so that each request does not wait for
// it.
const retryPause = time.Second

// RateLimiter implements ports.RateLimiter. While Redis does not answer, fallback limits each
// process by itself: requests are still limited, only not across processes.
type RateLimiter struct {
	limiter  *redis_rate.Limiter
	fallback ports.RateLimiter
	clock    ports.Clock
	log      *slog.Logger

	mu         sync.Mutex
	pauseUntil time.Time // Redis is not asked before
	since      time.Time // when it stopped answering; zero while it answers
}

// NewRateLimiter returns a limiter on a client.
func NewRateLimiter(c *redis.Client, fallback ports.RateLimiter, clock ports.Clock, log *slog.Logger) *RateLimiter {
	return &RateLimiter{limiter: redis_rate.NewLimiter(c), fallback: fallback, clock: clock, log: log.With("address", c.Options().Addr)}
}

// Allow implements ports.RateLimiter.
func (l *RateLimiter) Allow(ctx context.Context, key string, rate float64, burst int) (ports.RateDecision, error) {
	if err := ctx.Err(); err != nil {
		return ports.RateDecision{}, err
	}
	if l.isPaused() {
		return l.fallback.Allow(ctx, key, rate, burst)
	}
	// What is stored is the moment at which the bucket is full again, which means nothing under
	// other limits: they get a bucket of their own.
	key = fmt.Sprintf("%s/%g/%d", key, rate, burst)
	r, err := l.limiter.Allow(ctx, key, redis_rate.Limit{Rate: 1, Period: time.Duration(float64(time.Second) / rate), Burst: burst})
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ports.RateDecision{}, ctx.Err()
	default:
		l.failed(err)
		return l.fallback.Allow(ctx, key, rate, burst)
	}
	l.answered()
	d := ports.RateDecision{Allowed: r.Allowed > 0, Remaining: r.Remaining, ResetAfter: r.ResetAfter}
	if !d.Allowed {
		d.RetryAfter = r.RetryAfter
	}
	return d, nil
}

func (l *RateLimiter) isPaused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.Now().Before(l.pauseUntil)
}

// failed has Redis left alone for a moment. The first of several failures in a row is logged.
func (l *RateLimiter) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	if l.since.IsZero() {
		l.since = now
		l.log.Warn("rate limiter disconnected: each process limits by itself", "error", err)
	}
	l.pauseUntil = now.Add(retryPause)
}

func (l *RateLimiter) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.since.IsZero() {
		l.log.Info("rate limiter reconnected", "after", l.clock.Now().Sub(l.since).Round(time.Millisecond).String())
		l.since = time.Time{}
	}
}
