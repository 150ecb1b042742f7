package redis

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/niyanta/niyanta/core/ports"
)

// retryPause is how long Redis is not asked after it failed, so that each request does not wait for
// it.
const retryPause = time.Second

// takeTokens takes tokens from a bucket. All that is stored of a bucket is the moment at which it is
// full again, in microseconds of the server's clock; one that is full is not stored. Debt is a
// moment so far ahead that less than no tokens are there now.
var takeTokens = redis.NewScript(`
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local interval = 1000000 / rate -- the time in which one token comes
local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]
local full = math.max(tonumber(redis.call("GET", KEYS[1]) or now), now)
local tokens = burst - (full - now) / interval
if tokens < math.min(cost, burst) then
  return {0, tostring(tokens)}
end
if cost > 0 then
  full = full + cost * interval
  redis.call("SET", KEYS[1], string.format("%.3f", full), "PX", string.format("%.0f", math.ceil((full - now) / 1000)))
end
return {1, tostring(tokens - cost)}
`)

// keyPrefix is what the names of buckets begin with.
const keyPrefix = "rate:"

// RateLimiter implements ports.RateLimiter. While Redis does not answer, fallback limits each
// process by itself: requests are still limited, only not across processes.
type RateLimiter struct {
	client   *redis.Client
	fallback ports.RateLimiter
	clock    ports.Clock
	log      *slog.Logger

	mu         sync.Mutex
	pauseUntil time.Time // Redis is not asked before
	since      time.Time // when it stopped answering; zero while it answers
}

// NewRateLimiter returns a limiter on a client.
func NewRateLimiter(c *redis.Client, fallback ports.RateLimiter, clock ports.Clock, log *slog.Logger) *RateLimiter {
	return &RateLimiter{client: c, fallback: fallback, clock: clock, log: log.With("address", c.Options().Addr)}
}

// Allow implements ports.RateLimiter.
func (l *RateLimiter) Allow(
	ctx context.Context, key string, rate float64, burst, cost int,
) (ports.RateDecision, error) {
	if err := ctx.Err(); err != nil {
		return ports.RateDecision{}, err
	}
	if l.isPaused() {
		return l.fallback.Allow(ctx, key, rate, burst, cost)
	}
	// What is stored is the moment at which the bucket is full again, which means nothing under
	// other limits: they get a bucket of their own.
	bucket := fmt.Sprintf("%s%s/%g/%d", keyPrefix, key, rate, burst)
	allowed, tokens, err := l.take(ctx, bucket, rate, burst, cost)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ports.RateDecision{}, ctx.Err()
	default:
		l.failed(err)
		return l.fallback.Allow(ctx, key, rate, burst, cost)
	}
	l.answered()
	return ports.NewRateDecision(allowed, tokens, rate, burst, cost), nil
}

// take runs the script. It returns how many tokens are left.
func (l *RateLimiter) take(
	ctx context.Context, bucket string, rate float64, burst, cost int,
) (allowed bool, tokens float64, err error) {
	answer, err := takeTokens.Run(ctx, l.client, []string{bucket}, rate, burst, cost).Slice()
	if err != nil {
		return false, 0, err
	}
	if len(answer) != 2 {
		return false, 0, fmt.Errorf("the script answered %d values in place of 2", len(answer))
	}
	left, _ := answer[1].(string)
	tokens, err = strconv.ParseFloat(left, 64)
	return answer[0] == int64(1), tokens, err
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
