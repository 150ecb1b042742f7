package domain

import "time"

// Retry backoff: exponential from BackoffBase by factor 2 up to BackoffCap, full jitter.
const (
	BackoffBase = time.Second
	BackoffCap  = 5 * time.Minute
	// MaxRetryAfter bounds the delay that a workload may ask for.
	MaxRetryAfter = 24 * time.Hour
)

// Backoff is the delay before retry number attempt (0 is the first), jitter in [0,1): uniform between
// 0 and the exponential bound. It never truncates to zero: the least is a millisecond.
func Backoff(attempt int, jitter float64) time.Duration {
	bound := BackoffCap
	if attempt < 9 { // 1 s << 9 is above the cap
		bound = min(BackoffBase<<max(attempt, 0), BackoffCap)
	}
	return max(time.Duration(jitter*float64(bound)), time.Millisecond)
}

func retryDelay(attempt int, t *Transition) time.Duration {
	if t.RetryAfter != nil {
		return min(max(*t.RetryAfter, 0), MaxRetryAfter)
	}
	return Backoff(attempt, t.Jitter)
}
