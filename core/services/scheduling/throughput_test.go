package scheduling

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// What was placed longer ago than the window does not count.
func TestThroughput_OfWhatWasPlacedLately_SaysHowLongItHadWaited(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var m meter
	m.waited(now, domain.TierFree, "a/t@5", time.Hour)
	now = now.Add(throughputWindow)
	for range 99 {
		m.waited(now, domain.TierFree, "a/t@5", time.Second)
	}
	now = now.Add(throughputInterval)
	m.waited(now, domain.TierFree, "a/u@5", time.Minute)
	m.waited(now, domain.TierPremium, "b/t@5", time.Millisecond)
	waits := m.throughput(now).Waits
	assert.Equal(t, 100, waits[domain.TierFree].Count())
	assert.InEpsilon(t, time.Second, waits[domain.TierFree].Quantile(0.99), 0.1)
	assert.InEpsilon(t, time.Minute, waits[domain.TierFree].Quantile(1), 0.1)
	assert.Equal(t, 1, waits[domain.TierPremium].Count())
	assert.Equal(t, 100, m.throughput(now).Waits[domain.TierFree].Count(), "to ask changes nothing")
	lanes := m.throughput(now).Lanes
	require.Len(t, lanes, 3)
	assert.Equal(t, 99, lanes["a/t@5"].Count())
	assert.InEpsilon(t, time.Minute, lanes["a/u@5"].Quantile(0.5), 0.1)
	assert.Equal(t, 1, lanes["b/t@5"].Count())
}

func TestThroughput_OfMoreLanesThanAreMeasured_HasThoseWithTheMost(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var m meter
	lane := func(i int) domain.LaneID { return domain.LaneID(fmt.Sprintf("c%05d/t@5", i)) }
	for range 3 { // each interval has other lanes, and one that they share
		for i := range domain.MeasuredLanes + 50 {
			m.waited(now, domain.TierFree, lane(0), time.Second)
			m.waited(now, domain.TierFree, lane(len(m.buckets)*10_000+i), time.Second)
		}
		assert.Len(t, m.buckets[len(m.buckets)-1].lanes, domain.MeasuredLanes)
		now = now.Add(throughputInterval)
	}
	m.waited(now, domain.TierFree, lane(20_000), time.Second)
	lanes := m.throughput(now).Lanes
	assert.Len(t, lanes, domain.MeasuredLanes)
	assert.Equal(t, 3*(domain.MeasuredLanes+50), lanes[lane(0)].Count())
	assert.Equal(t, 2, lanes[lane(20_000)].Count())
	assert.Contains(t, lanes, lane(10_000), "among equals, the first by name")
	assert.NotContains(t, lanes, lane(30_000))
}

// Ten slots, runs of 10 s. After an hour of single submissions a hundred workloads are submitted at
// once. The estimates must fit how fast these are placed.
func TestThroughput_BurstAfterIdleTime_SaysHowFastTheQueueMoves(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := begin
	var m meter
	full := map[domain.Obstacle][]domain.LaneHeads{
		domain.ObstacleFull: {{Lane: domain.Lane{CustomerID: "a", Type: "t"}}},
	}
	for range 60 {
		m.advance(now)
		m.placed(now, "t", "a")
		m.note(nil)
		now = now.Add(time.Minute)
	}
	estimate := func(ahead int) (placement.Estimate, bool) {
		return placement.EstimateWait(m.throughput(now), now, placement.Waiting{
			CustomerID: "a", Type: "t", Ahead: placement.Ahead{Type: ahead}, Slots: 10,
		})
	}
	waiting := 100
	round := func() {
		m.advance(now)
		for range min(waiting, 10) {
			m.placed(now, "t", "a")
			waiting--
		}
		m.note(full)
		for range 10 {
			now = now.Add(time.Second)
			m.advance(now)
		}
	}
	round()
	e, ok := estimate(waiting - 1)
	assert.True(t, ok)
	assert.InDelta(t, 90, e.In.Seconds(), 10, "90 workloads wait, and ten are placed every ten seconds")
	assert.Equal(t, placement.ConfidenceLow, e.Confidence)
	for range 3 {
		round()
	}
	e, ok = estimate(waiting - 1)
	assert.True(t, ok)
	assert.InDelta(t, 60, e.In.Seconds(), 25)
	assert.NotEqual(t, placement.ConfidenceHigh, e.Confidence, "only 30 placements were measured")
}
