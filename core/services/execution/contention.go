package execution

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// contention is the wait for a worker id that another process holds. If that process has died, the
// id becomes free when its lease ends. If it keeps renewing the lease, it is alive, and this
// process must end.
type contention struct {
	until time.Time
}

// The defaults for what a refusal does not say.
const (
	contendedLease    = 10 * time.Second
	contendedInterval = 2500 * time.Millisecond
)

// again returns how long to wait before the next attempt. gaveUp reports whether a whole lease has
// passed since the first attempt.
func (c *contention) again(err error, now time.Time) (wait time.Duration, gaveUp bool) {
	interval := detail(err, "heartbeat_interval_ms", contendedInterval)
	if c.until.IsZero() {
		c.until = now.Add(detail(err, "lease_ms", contendedLease) + interval)
	}
	return interval, !now.Before(c.until)
}

// detail reads a duration in milliseconds from the details of an error.
func detail(err error, key string, otherwise time.Duration) time.Duration {
	var e *domain.Error
	if !errors.As(err, &e) {
		return otherwise
	}
	switch ms := e.Details[key].(type) {
	case int64:
		return time.Duration(ms) * time.Millisecond
	case float64:
		return time.Duration(ms) * time.Millisecond
	case json.Number:
		if n, err := ms.Int64(); err == nil {
			return time.Duration(n) * time.Millisecond
		}
	}
	return otherwise
}
