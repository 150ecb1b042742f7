package days

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

func run(t *testing.T, cfg Config) *Result {
	t.Helper()
	r, err := Run(t.Context(), cfg)
	require.NoError(t, err)
	require.Zero(t, r.Refused)
	return r
}

// requireFair runs cfg, and checks that the share of each customer is within a tenth of what its
// weight entitles it to.
func requireFair(t *testing.T, cfg Config, utilised float64) {
	t.Helper()
	r := run(t, cfg)
	require.Greater(t, r.Utilisation(), utilised)
	weights, shares := r.Weights(), r.Shares()
	for i, c := range cfg.Customers {
		assert.InEpsilon(t, weights[i], shares[i], 0.1, "share of %s: want %.4f, got %.4f", c.ID, weights, shares)
	}
}

func TestFairPolicy_EqualRuns_SharesFollowTheWeights(t *testing.T) {
	requireFair(t, Backlogged(Equal(2*time.Minute), 8, 10*time.Second), 0.9)
}

// Shares are shares of slot-time. If placements were counted instead, the free customer would hold
// most of the slots, because its runs are the longest.
func TestFairPolicy_UnequalRuns_SharesFollowTheWeights(t *testing.T) {
	requireFair(t, Backlogged(map[domain.Tier]time.Duration{
		domain.TierFree: 10 * time.Minute, domain.TierStandard: 5 * time.Minute, domain.TierPremium: 2 * time.Minute,
		domain.TierEnterprise: time.Minute,
	}, 16, 20*time.Second), 0.8)
}

// A customer that joins late has no credit for the time before, and no debt either.
func TestFairPolicy_LateCustomer_IsServedAsSoonAsTheOthers(t *testing.T) {
	cfg := Backlogged(Equal(2*time.Minute), 8, 5*time.Second)
	cfg.Length = 12 * time.Hour
	late := Customer{ID: "cust_late", Tier: domain.TierPremium, MaxConcurrent: unlimited,
		Duration: Duration{Median: time.Minute}}
	for _, hour := range []int{1, 3, 6, 9, 11} {
		late.At = append(late.At, time.Duration(hour)*time.Hour)
	}
	cfg.Customers = append(cfg.Customers, late)
	placed := 0
	for _, p := range run(t, cfg).placements {
		if p.customer == 4 {
			placed++
			assert.Less(t, p.waited, time.Minute, "after %s", p.submitted)
		}
	}
	assert.Equal(t, len(late.At), placed)
}

func TestPriorityPolicy_EndlessStreamOfHigherTiers_StarvesNobody(t *testing.T) {
	const older = 7
	runs := Duration{Median: 10 * time.Second}
	cfg := Config{
		Seed: 1, Policy: domain.PolicyPriority, Workers: 2, Slots: slotsOfWorker, Grain: time.Second,
		Length: 10 * time.Minute,
		Customers: []Customer{
			{ID: "cust_stream", Tier: domain.TierEnterprise, MaxConcurrent: unlimited, Duration: runs,
				Priorities: []Chance{{domain.MaxPriority, 1}}, Backlog: 10},
			{ID: "cust_older", Tier: domain.TierPremium, MaxConcurrent: unlimited, Duration: runs},
			{ID: "cust_free", Tier: domain.TierFree, MaxConcurrent: unlimited, Duration: runs,
				At: []time.Duration{2 * time.Minute}},
		},
	}
	for i := range older {
		cfg.Customers[1].At = append(cfg.Customers[1].At, 2*time.Minute-time.Duration(older-i)*time.Millisecond)
	}
	r := run(t, cfg)
	i := len(r.placements)
	for n, p := range r.placements {
		if p.customer == 2 {
			i = n
		}
	}
	require.Less(t, i, len(r.placements), "the free customer's workload must be placed")
	p := r.placements[i]
	took := p.index - p.before + 1
	t.Logf("%d were waiting when it was submitted; it was placed %d placements later", p.ahead, took)
	assert.True(t, p.reserved(), "by its priority alone it would start in a fortnight")
	assert.LessOrEqual(t, took, (p.ahead+1)*placement.LongestWaitShare)
	assert.Greater(t, took, older*placement.LongestWaitShare, "workloads that were submitted before it are placed first")
}

func TestEveryPolicy_LongestWait_StaysWithinItsBound(t *testing.T) {
	for _, p := range []domain.Policy{domain.PolicyFIFO, domain.PolicyPriority} {
		r := run(t, Day(p, 2, 10*time.Second))
		assert.Greater(t, r.Placed(), 4000, p)
		assert.Zero(t, r.waitingNow, p)
		assert.LessOrEqual(t, r.WaitOfBound(), 1.0, p)
	}
}

func TestRun_SameSeed_GivesTheSameDay(t *testing.T) {
	cfg := Day(domain.PolicyFair, 1, 10*time.Second)
	a, b := run(t, cfg), run(t, cfg)
	require.True(t, slices.Equal(a.placements, b.placements)) // require.Equal would print thousands of them
	require.Equal(t, a.Series, b.Series)
	cfg.Seed++
	require.False(t, slices.Equal(a.placements, run(t, cfg).placements))
}
