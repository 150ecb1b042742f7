package memory

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/niyanta/niyanta/core/ports"
)

// RateLimiter implements ports.RateLimiter with golang.org/x/time/rate, one bucket per key. A
// bucket that is full again is removed: a new one is full as well.
type RateLimiter struct {
	clock ports.Clock

	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	*rate.Limiter
}

// sweepInterval is how often full buckets are looked for.
const sweepInterval = time.Minute

// NewRateLimiter returns a limiter that reads its time from clock.
func NewRateLimiter(clock ports.Clock) *RateLimiter {
	return &RateLimiter{clock: clock, buckets: map[string]*bucket{}}
}

// Allow implements ports.RateLimiter.
func (l *RateLimiter) Allow(
	ctx context.Context, key string, perSecond float64, burst, cost int,
) (ports.RateDecision, error) {
	if err := ctx.Err(); err != nil {
		return ports.RateDecision{}, err
	}
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweepLocked(now)
	b := l.buckets[key]
	if b == nil {
		b = &bucket{Limiter: rate.NewLimiter(rate.Limit(perSecond), burst)}
		l.buckets[key] = b
	}
	if b.Burst() != burst {
		b.SetBurstAt(now, burst)
	}
	if b.Limit() != rate.Limit(perSecond) {
		b.SetLimitAt(now, rate.Limit(perSecond))
	}

	allowed := b.AllowN(now, min(cost, burst))
	if allowed {
		// The rest is debt. The bucket lends at most burst tokens at once.
		for rest := cost - burst; rest > 0; rest -= burst {
			b.ReserveN(now, min(rest, burst))
		}
	}
	return ports.NewRateDecision(allowed, b.TokensAt(now), perSecond, burst, cost), nil
}

// sweepLocked removes buckets that are full again.
func (l *RateLimiter) sweepLocked(now time.Time) {
	if now.Sub(l.swept) < sweepInterval {
		return
	}
	l.swept = now
	for key, b := range l.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(l.buckets, key)
		}
	}
}
