package placement_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// measured is 50 placements of type t in 100 s, 5 of them of customer a.
var measured = domain.Throughput{
	At:        epoch0,
	Types:     map[string]domain.PlacementRate{"t": {Placed: 50, Busy: 100e6, Last: epoch0}},
	Customers: map[domain.CustomerID]domain.PlacementRate{"a": {Placed: 5, Busy: 100e6, Last: epoch0}},
}

func TestEstimateWait_FromMeasuredThroughput_SaysHowLong(t *testing.T) {
	for name, c := range map[string]struct {
		later      time.Duration
		w          placement.Waiting
		in         time.Duration
		confidence placement.Confidence
	}{
		"the tenth of its type": {
			w:  placement.Waiting{Ahead: placement.Ahead{Type: 9, Customer: 1}},
			in: 20 * time.Second, confidence: placement.ConfidenceMedium,
		},
		"the second of a customer at its limit": {
			w:  placement.Waiting{Ahead: placement.Ahead{Type: 9, Customer: 1}, AtLimit: true},
			in: 40 * time.Second, confidence: placement.ConfidenceLow,
		},
		"room for it and for all before it": {
			w:  placement.Waiting{Ahead: placement.Ahead{Type: 3}, Room: 4},
			in: 0, confidence: placement.ConfidenceHigh,
		},
		"counts that are lower bounds": {
			w:  placement.Waiting{Ahead: placement.Ahead{Type: 9, Estimated: true}},
			in: 20 * time.Second, confidence: placement.ConfidenceLow,
		},
		"500 s estimated from 100 s": {
			w:  placement.Waiting{Ahead: placement.Ahead{Type: 249}},
			in: 500 * time.Second, confidence: placement.ConfidenceLow,
		},
		"nothing placed for 40 s: the tenth of four slots is in the third period": {
			later: 40 * time.Second, w: placement.Waiting{Ahead: placement.Ahead{Type: 9}},
			in: 120 * time.Second, confidence: placement.ConfidenceLow,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.w.CustomerID, c.w.Type, c.w.Slots = "a", "t", 4
			e, ok := placement.EstimateWait(measured, epoch0.Add(c.later), c.w)
			require.True(t, ok)
			assert.Equal(t, placement.Estimate{In: c.in, Confidence: c.confidence}, e)
		})
	}
}

func TestEstimateWait_BurstAfterIdleTime_RestsOnTheBurstAlone(t *testing.T) {
	idle := domain.Throughput{
		At: epoch0, Window: 5 * time.Minute, Types: map[string]domain.PlacementRate{"t": {Last: epoch0}},
	}
	w := placement.Waiting{CustomerID: "a", Type: "t", Ahead: placement.Ahead{Type: 100}, Slots: 50}
	_, ok := placement.EstimateWait(idle, epoch0, w)
	assert.False(t, ok, "nothing is known yet")
	e, ok := placement.EstimateWait(idle, epoch0.Add(9*time.Second), w)
	assert.True(t, ok)
	assert.Equal(t, placement.Estimate{In: 27 * time.Second, Confidence: placement.ConfidenceLow}, e,
		"none of the 50 slots became free for 9 s, and 101 workloads take three such periods")
}

func TestEstimateWait_WithoutThroughput_SaysNothing(t *testing.T) {
	w := placement.Waiting{CustomerID: "a", Type: "t", Ahead: placement.Ahead{Type: 1}, Slots: 1}
	for name, c := range map[string]struct {
		throughput domain.Throughput
		now        time.Time
	}{
		"too old":              {measured, epoch0.Add(placement.ThroughputLifetime + time.Second)},
		"nothing of the type":  {domain.Throughput{At: epoch0, Window: time.Second}, epoch0},
		"never measured":       {domain.Throughput{}, epoch0},
		"nothing of the owner": {domain.Throughput{At: epoch0, Types: measured.Types}, epoch0},
	} {
		t.Run(name, func(t *testing.T) {
			w := w
			w.AtLimit = name == "nothing of the owner"
			_, ok := placement.EstimateWait(c.throughput, c.now, w)
			assert.False(t, ok)
		})
	}
}
