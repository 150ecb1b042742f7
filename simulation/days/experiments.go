package days

import (
	"fmt"
	"math"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	slotsOfWorker = 5
	// unlimited keeps the customers' own limits out of the experiments: what is looked at is the order of the queue.
	unlimited = 1_000_000
	// The load of a day goes up and down like a sine between these parts of the capacity, lowest at midnight.
	night, noon = 0.3, 1.4
)

// Day is a day on which more work comes than there is room for, from seven in the morning until five in the afternoon, and less at night. Ten
// customers bring it, in equal parts at every hour: four of the free tier a quarter of it, three standard ones 30 %, two premium ones a
// quarter, one enterprise 20 %, all with the same mix of priorities. It ends when all is done.
func Day(p domain.Policy, workers int, grain time.Duration) Config {
	runs := Duration{Median: 2 * time.Minute, Spread: 0.8}
	capacity := float64(workers*slotsOfWorker) / runs.Mean().Seconds() // workloads per second
	cfg := Config{Seed: 1, Policy: p, Workers: workers, Slots: slotsOfWorker, Grain: grain, Length: 24 * time.Hour, Drain: true, Samples: 200}
	for _, t := range []struct {
		tier      domain.Tier
		customers int
		load      float64
	}{{domain.TierFree, 4, 0.25}, {domain.TierStandard, 3, 0.3}, {domain.TierPremium, 2, 0.25}, {domain.TierEnterprise, 1, 0.2}} {
		for i := range t.customers {
			part := t.load / float64(t.customers) * capacity
			cfg.Customers = append(cfg.Customers, Customer{
				ID: domain.CustomerID(fmt.Sprintf("cust_%s_%d", t.tier, i)), Tier: t.tier, MaxConcurrent: unlimited, Duration: runs,
				Priorities: []Chance{{0, 0.2}, {domain.DefaultPriority, 0.6}, {100, 0.15}, {domain.MaxPriority, 0.05}},
				Rate: func(at time.Duration) float64 {
					return part * (night + (noon-night)/2*(1-math.Cos(2*math.Pi*at.Hours()/24)))
				},
				MaxRate: part * noon,
			})
		}
	}
	return cfg
}

// Equal are runs of the same length for every tier.
func Equal(median time.Duration) map[domain.Tier]time.Duration {
	ds := map[domain.Tier]time.Duration{}
	for _, t := range domain.Tiers() {
		ds[t] = median
	}
	return ds
}

// Backlogged is a day on which four customers, one of each tier, always have a hundred workloads waiting, under the fair policy. Their
// workloads run so long, more or less.
func Backlogged(runs map[domain.Tier]time.Duration, workers int, grain time.Duration) Config {
	cfg := Config{
		Seed: 1, Policy: domain.PolicyFair, Workers: workers, Slots: slotsOfWorker, Grain: grain, Length: 24 * time.Hour, Samples: 200,
	}
	for _, t := range domain.Tiers() {
		cfg.Customers = append(cfg.Customers, Customer{
			ID: domain.CustomerID("cust_" + t), Tier: t, MaxConcurrent: unlimited, Duration: Duration{Median: runs[t], Spread: 0.5}, Backlog: 100,
		})
	}
	return cfg
}
