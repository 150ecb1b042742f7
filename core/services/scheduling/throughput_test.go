package scheduling

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// Ten slots, runs of 10 s: an hour of single submissions, then a burst of a hundred. What is told then is what comes.
func TestPace_AfterIdleTime_TellsHowFastTheQueueIsWorkedOff(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := begin
	var m meter
	full := map[domain.Obstacle][]domain.LaneHeads{domain.ObstacleFull: {{Lane: domain.Lane{CustomerID: "a", Type: "t"}}}}
	for range 60 {
		m.pass(now)
		m.placed(now, "t", "a")
		m.look(nil)
		now = now.Add(time.Minute)
	}
	estimate := func(ahead int) (placement.Estimate, bool) {
		return placement.EstimateWait(m.throughput(now), now, placement.Waiting{
			CustomerID: "a", Type: "t", Ahead: placement.Ahead{Type: ahead}, Slots: 10,
		})
	}
	waiting := 100
	round := func() {
		m.pass(now)
		for range min(waiting, 10) {
			m.placed(now, "t", "a")
			waiting--
		}
		m.look(full)
		for range 10 {
			now = now.Add(time.Second)
			m.pass(now)
		}
	}
	round()
	e, ok := estimate(waiting - 1)
	assert.True(t, ok)
	assert.InDelta(t, 90, e.In.Seconds(), 10, "90 wait, in nine turns of ten seconds")
	assert.Equal(t, placement.ConfidenceLow, e.Confidence)
	for range 3 {
		round()
	}
	e, ok = estimate(waiting - 1)
	assert.True(t, ok)
	assert.InDelta(t, 60, e.In.Seconds(), 25)
	assert.NotEqual(t, placement.ConfidenceHigh, e.Confidence, "30 placements")
}
