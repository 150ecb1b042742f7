package placement

import (
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// DrainTime estimates how long it takes until n more of the customer's waiting workloads have been
// placed. It rests on the customer's own rate, or on that of the whole queue if the customer's own
// was not measured. ok is false when the throughput says nothing.
func DrainTime(t domain.Throughput, now time.Time, customer domain.CustomerID, n int) (d time.Duration, ok bool) {
	if now.Sub(t.At) > ThroughputLifetime {
		return 0, false
	}
	if own := t.Customers[customer]; own.Placed > 0 && own.Busy > 0 {
		e, ok := wait(own, now, n, 1)
		return e.In, ok
	}
	// Types wait side by side, so the longest of their times is that of the queue.
	var all domain.PlacementRate
	for _, r := range t.Types {
		busy := max(all.Busy, r.Busy)
		all = all.Add(r)
		all.Busy = busy
	}
	if all.Placed == 0 || all.Busy == 0 {
		return 0, false
	}
	e, ok := wait(all, now, n, 1)
	return e.In, ok
}
