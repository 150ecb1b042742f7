package domain

import (
	"math"
	"time"
)

// MaxRetryAfter bounds the delay that a workload may ask for, and the longest wait of a backoff.
const MaxRetryAfter = 24 * time.Hour

// RetryBackoff sets how long a workload waits before it runs again after a failure of its own:
// Initial before the first retry, and Factor times as long before each further one, up to Max. Half
// of each wait is fixed and half is random, so that workloads that failed together do not retry
// together. The zero RetryBackoff is the default.
type RetryBackoff struct {
	Initial time.Duration
	Factor  float64
	Max     time.Duration
}

// DefaultRetryBackoff returns the default: 5 s, 15 s, 45 s, 135 s and 405 s, or half of that. With
// it the default five retries span at least five minutes, so that they outlast the restart of a
// service that the workload needs.
func DefaultRetryBackoff() RetryBackoff {
	return RetryBackoff{Initial: 5 * time.Second, Factor: 3, Max: 10 * time.Minute}
}

// Delay returns the wait before a retry; 0 is the first. jitter is in [0,1). The wait is at least a
// millisecond.
func (b RetryBackoff) Delay(retry int, jitter float64) time.Duration {
	if b == (RetryBackoff{}) {
		b = DefaultRetryBackoff()
	}
	bound := b.Max
	if grown := float64(b.Initial) * math.Pow(b.Factor, float64(max(retry, 0))); grown < float64(b.Max) {
		bound = time.Duration(grown)
	}
	fixed := bound / 2
	return max(fixed+time.Duration(jitter*float64(bound-fixed)), time.Millisecond)
}

func (b RetryBackoff) validate(field string) error {
	switch {
	case b == (RetryBackoff{}):
		return nil
	case b.Initial < time.Millisecond || b.Initial > MaxRetryAfter:
		return Invalid(field+".initial_seconds", "must be 0.001 to %d", int(MaxRetryAfter.Seconds()))
	case !(b.Factor >= 1 && b.Factor <= 100):
		return Invalid(field+".factor", "must be 1 to 100")
	case b.Max < b.Initial || b.Max > MaxRetryAfter:
		return Invalid(field+".max_seconds", "must be at least initial_seconds and at most %d",
			int(MaxRetryAfter.Seconds()))
	}
	return nil
}

// ValidateMaxRetries checks a budget of retries.
func ValidateMaxRetries(n int) error {
	if n < 0 || n > MaxRetriesBound {
		return Invalid("max_retries", "must be 0 to %d", MaxRetriesBound)
	}
	return nil
}

func retryDelay(w *Workload, t *Transition) time.Duration {
	if t.RetryAfter != nil {
		return min(max(*t.RetryAfter, 0), MaxRetryAfter)
	}
	return w.Run.Backoff.Delay(w.RetryCount, t.Jitter)
}

// PreemptionDelay is how long a preempted workload waits, so that it does not take the slot that it
// released.
const PreemptionDelay = 5 * time.Second
