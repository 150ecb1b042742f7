package placement_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

func TestDrainTime_FollowsTheRateThatIsKnown(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	rate := func(placed int, busy time.Duration) domain.PlacementRate {
		return domain.PlacementRate{Placed: placed, Busy: busy.Microseconds(), Last: now}
	}
	types := map[string]domain.PlacementRate{"a": rate(30, time.Minute), "b": rate(90, 2*time.Minute)}
	for name, c := range map[string]struct {
		t    domain.Throughput
		n    int
		want time.Duration
		ok   bool
	}{
		"nothing measured": {domain.Throughput{At: now}, 1, 0, false},
		"too old":          {domain.Throughput{At: now.Add(-2 * time.Minute), Types: types}, 1, 0, false},
		"the whole queue":  {domain.Throughput{At: now, Types: types}, 1, time.Second, true},
		"n workloads":      {domain.Throughput{At: now, Types: types}, 7, 7 * time.Second, true},
		"the customer's own": {domain.Throughput{
			At: now, Types: types, Customers: map[domain.CustomerID]domain.PlacementRate{"c": rate(6, time.Minute)},
		}, 2, 20 * time.Second, true},
		"another customer's": {domain.Throughput{
			At: now, Types: types, Customers: map[domain.CustomerID]domain.PlacementRate{"other": rate(6, time.Minute)},
		}, 2, 2 * time.Second, true},
		"the customer's own was not measured": {domain.Throughput{
			At: now, Types: types, Customers: map[domain.CustomerID]domain.PlacementRate{"c": {Last: now.Add(-time.Hour)}},
		}, 2, 2 * time.Second, true},
		"nothing placed for long": {domain.Throughput{
			At: now, Customers: map[domain.CustomerID]domain.PlacementRate{
				"c": {Placed: 60, Busy: time.Minute.Microseconds(), Last: now.Add(-time.Minute)},
			},
		}, 1, time.Minute, true},
	} {
		d, ok := placement.DrainTime(c.t, now, "c", c.n)
		assert.Equal(t, c.want, d, name)
		assert.Equal(t, c.ok, ok, name)
	}
}
