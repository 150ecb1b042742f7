package days

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

var grain = 2 * time.Second

func TestScratchDay(t *testing.T) {
	var cs []Customer
	d := Duration{2 * time.Minute, 0.8}
	capacity := 100 / d.Mean().Seconds()
	for _, x := range []struct {
		t domain.Tier
		n int
		l float64
	}{{domain.TierFree, 4, .25}, {domain.TierStandard, 3, .3}, {domain.TierPremium, 2, .25}, {domain.TierEnterprise, 1, .2}} {
		for i := range x.n {
			f := x.l / float64(x.n) * capacity
			cs = append(cs, Customer{ID: domain.CustomerID(fmt.Sprint("cust_", x.t, i)), Tier: x.t, Duration: d,
				Priorities: []Chance{{0, .2}, {10, .6}, {100, .15}, {1000, .05}},
				Rate:       func(at time.Duration) float64 { return f * (.85 - .55*math.Cos(2*math.Pi*at.Hours()/24)) }, MaxRate: f * 1.4, MaxConcurrent: 1000})
		}
	}
	for _, p := range []domain.Policy{domain.PolicyFIFO, domain.PolicyPriority, domain.PolicyFair} {
		b := time.Now()
		r, err := Run(t.Context(), Config{Seed: 1, Policy: p, Workers: 20, Slots: 5, Customers: cs, Length: 24 * time.Hour, Drain: true, Samples: 200, Grain: grain})
		require.NoError(t, err)
		fmt.Println(p, r.Placed(), r.Refused, r.Utilisation(), time.Since(b), r.Patience())
		for _, tier := range []domain.Tier{domain.TierFree, domain.TierStandard, domain.TierPremium, domain.TierEnterprise} {
			ws := r.Waits(tier)
			fmt.Println(" ", tier, len(ws), Quantile(ws, .5), Quantile(ws, .95), Quantile(ws, 1))
		}
	}
}

func TestScratchShares(t *testing.T) {
	tiers := []domain.Tier{domain.TierFree, domain.TierStandard, domain.TierPremium, domain.TierEnterprise}
	for _, x := range [][]time.Duration{
		{2 * time.Minute, 2 * time.Minute, 2 * time.Minute, 2 * time.Minute},
		{time.Hour, 10 * time.Minute, time.Minute, 10 * time.Second},
	} {
		for _, limit := range []int{0, 1000} {
			var cs []Customer
			for i, tr := range tiers {
				cs = append(cs, Customer{ID: domain.CustomerID("cust_" + tr), Tier: tr, Duration: Duration{x[i], 0.5}, Backlog: 100, MaxConcurrent: limit})
			}
			b := time.Now()
			r, err := Run(t.Context(), Config{Seed: 1, Policy: domain.PolicyFair, Workers: 20, Slots: 5, Customers: cs, Length: 24 * time.Hour, Samples: 200, Grain: grain})
			require.NoError(t, err)
			fmt.Println(x, limit, r.Placed(), r.Refused, r.Utilisation(), time.Since(b), r.Patience())
			fmt.Printf("   %.4f\n   %.4f\n   %.4f\n", r.Weights(), r.Shares(), r.ReservedShares())
		}
	}
}
