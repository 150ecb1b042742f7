package days

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// An elastic fleet is there when it is needed, and gone when it is not. Run checks that no run was
// lost with a worker: it fails when a report is refused.
func TestElasticFleet_OverADay_FollowsTheWork(t *testing.T) {
	cfg := ElasticDay(30, 10*time.Second)
	r := run(t, cfg)
	require.Greater(t, r.Placed(), 5000)
	assert.Zero(t, r.waitingNow)

	busy := 0
	for i := range r.Series {
		s := &r.Series[i]
		switch at := s.At; {
		case at < 4*time.Hour, at > 20*time.Hour+30*time.Minute && at < 22*time.Hour, at > 23*time.Hour+30*time.Minute:
			assert.Zero(t, s.Workers, "nothing to do at %s", at)
		case at > 9*time.Hour && at < 15*time.Hour:
			busy++
			assert.GreaterOrEqual(t, s.Workers*slotsOfWorker, s.Running/2, at)
		}
		assert.LessOrEqual(t, s.Desired, cfg.Elastic.Pool.MaxWorkers)
	}
	require.Greater(t, busy, 50)
	assert.InDelta(t, 0.55, r.UtilisationOfElastic(), 0.1, "the slots are neither idle nor scarce")

	waits := map[domain.CustomerID][]time.Duration{}
	for i := range r.placements {
		id := cfg.Customers[r.placements[i].customer].ID
		waits[id] = append(waits[id], r.placements[i].waited)
	}
	for _, c := range cfg.Customers {
		ws := waits[c.ID]
		slices.Sort(ws)
		if c.ID == "cust_batch" {
			assert.Less(t, Quantile(ws, 1), 12*time.Minute, "a batch has its workers as soon as they may be started")
			continue
		}
		assert.Less(t, Quantile(ws, 0.95), c.Tier.WaitObjective(), c.ID)
	}
}
