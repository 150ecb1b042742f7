package placement_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

func TestEstimate_ComesFromThePaceOfWhatHadToWait(t *testing.T) {
	p := domain.Throughput{
		At: epoch0, Types: map[string]domain.PlacementRate{"t": {Placed: 50, Busy: 100e6, Last: epoch0}},
		Customers: map[domain.CustomerID]domain.PlacementRate{"a": {Placed: 5, Busy: 100e6, Last: epoch0}},
	}
	estimate := func(now time.Time, a placement.Ahead, room int, atLimit bool) placement.Estimate {
		e, ok := placement.EstimateWait(p, now, "a", "t", a, room, 4, atLimit)
		require.True(t, ok)
		return e
	}
	assert.Equal(t, placement.Estimate{In: 20 * time.Second, Confidence: placement.ConfidenceMedium}, estimate(epoch0, placement.Ahead{Type: 9, Customer: 1}, 0, false))
	assert.Equal(t, placement.Estimate{In: 40 * time.Second, Confidence: placement.ConfidenceLow}, estimate(epoch0, placement.Ahead{Type: 9, Customer: 1}, 0, true), "at its limit its own throughput counts")
	assert.Equal(t, placement.Estimate{Confidence: placement.ConfidenceHigh}, estimate(epoch0, placement.Ahead{Type: 3}, 4, false), "room for it and for what is before it")
	assert.Equal(t, placement.ConfidenceLow, estimate(epoch0, placement.Ahead{Type: 9, AtLeast: true}, 0, false).Confidence)
	assert.Equal(t, placement.ConfidenceLow, estimate(epoch0, placement.Ahead{Type: 249}, 0, false).Confidence, "500 s from 100 s")
	later := epoch0.Add(40 * time.Second)
	assert.Equal(t, placement.Estimate{In: 120 * time.Second, Confidence: placement.ConfidenceLow}, estimate(later, placement.Ahead{Type: 9}, 0, false),
		"four slots that nobody left for 40 s: the tenth is in their third turn")

	// A burst behind idle minutes: what was placed while nothing waited says nothing of it.
	idle := domain.Throughput{At: epoch0, Window: 5 * time.Minute, Types: map[string]domain.PlacementRate{"t": {Last: epoch0}}}
	_, ok := placement.EstimateWait(idle, epoch0, "a", "t", placement.Ahead{Type: 99}, 0, 50, false)
	assert.False(t, ok, "nothing tells it yet")
	e, ok := placement.EstimateWait(idle, epoch0.Add(9*time.Second), "a", "t", placement.Ahead{Type: 100}, 0, 50, false)
	assert.True(t, ok)
	assert.Equal(t, placement.Estimate{In: 27 * time.Second, Confidence: placement.ConfidenceLow}, e, "50 slots that nobody left for 9 s")

	for name, unknown := range map[string]domain.Throughput{"stale": p, "nothing of the type": {At: epoch0, Window: time.Second}, "never measured": {}} {
		now := epoch0
		if name == "stale" {
			now = epoch0.Add(2 * placement.ThroughputLifetime)
		}
		_, ok := placement.EstimateWait(unknown, now, "a", "t", placement.Ahead{Type: 1}, 0, 1, false)
		assert.False(t, ok, name)
	}
}
