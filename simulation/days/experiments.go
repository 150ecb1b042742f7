package days

import (
	"fmt"
	"math"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	slotsOfWorker = 5
	// unlimited keeps the running limits out of the experiments, which are about the order of the
	// queue.
	unlimited = 1_000_000
	// The load of a day is a sine between these parts of the capacity, lowest at midnight.
	night, noon = 0.3, 1.4
)

// Day returns a day with more work than capacity from 7:00 to 17:00, and less at night. Ten
// customers submit it with the same mix of priorities: four of the free tier together 25 %, three
// standard customers 30 %, two premium customers 25 %, one enterprise customer 20 %. The run ends
// when all work is done.
func Day(p domain.Policy, workers int, grain time.Duration) Config {
	runs := Duration{Median: 2 * time.Minute, Spread: 0.8}
	capacity := float64(workers*slotsOfWorker) / runs.Mean().Seconds() // workloads per second
	cfg := Config{Seed: 1, Policy: p, Workers: workers, Slots: slotsOfWorker, Grain: grain, Length: 24 * time.Hour,
		Drain: true, Samples: 200}
	for _, t := range []struct {
		tier      domain.Tier
		customers int
		load      float64
	}{{domain.TierFree, 4, 0.25}, {domain.TierStandard, 3, 0.3}, {domain.TierPremium, 2, 0.25},
		{domain.TierEnterprise, 1, 0.2}} {
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

// Equal returns the same run time for every tier.
func Equal(median time.Duration) map[domain.Tier]time.Duration {
	ds := map[domain.Tier]time.Duration{}
	for _, t := range domain.Tiers() {
		ds[t] = median
	}
	return ds
}

// Backlogged returns a day under the fair policy, with four customers, one of each tier, that
// always have a hundred workloads waiting. Their run times vary around the given medians.
func Backlogged(runs map[domain.Tier]time.Duration, workers int, grain time.Duration) Config {
	cfg := Config{
		Seed: 1, Policy: domain.PolicyFair, Workers: workers, Slots: slotsOfWorker, Grain: grain,
		Length: 24 * time.Hour, Samples: 200,
	}
	for _, t := range domain.Tiers() {
		cfg.Customers = append(cfg.Customers, Customer{
			ID: domain.CustomerID("cust_" + t), Tier: t, MaxConcurrent: unlimited,
			Duration: Duration{Median: runs[t], Spread: 0.5}, Backlog: 100,
		})
	}
	return cfg
}

// ElasticDay returns a day on a fleet that grows from nothing and shrinks to nothing. Two customers of
// each tier submit work between 4:00 and 20:00, most at noon, where it fills about the given number of
// slots. At 22:00 a standard customer submits a batch of six workloads for each of these slots. A new
// worker needs a minute to start.
func ElasticDay(slots int, grain time.Duration) Config {
	runs := Duration{Median: 2 * time.Minute, Spread: 0.8}
	cfg := Config{
		Seed: 1, Policy: domain.PolicyPriority, Grain: grain, Length: 24 * time.Hour, Samples: 24 * 12,
		Elastic: &Elastic{
			Pool: domain.Pool{
				Name: "all", Types: []string{workType}, Slots: slotsOfWorker, MaxWorkers: slots,
				TargetPercent: domain.DefaultTargetPercent,
			},
			Interval: 15 * time.Second, Start: time.Minute,
		},
	}
	most := float64(slots) / runs.Mean().Seconds() / float64(2*len(domain.Tiers())) // workloads per second and customer
	for _, t := range domain.Tiers() {
		for i := range 2 {
			cfg.Customers = append(cfg.Customers, Customer{
				ID: domain.CustomerID(fmt.Sprintf("cust_%s_%d", t, i)), Tier: t, MaxConcurrent: unlimited, Duration: runs,
				Rate: func(at time.Duration) float64 {
					return most * max(0, math.Sin(math.Pi*(at.Hours()-4)/16))
				},
				MaxRate: most,
			})
		}
	}
	batch := Customer{ID: "cust_batch", Tier: domain.TierStandard, MaxConcurrent: unlimited, Duration: runs}
	for range 6 * slots {
		batch.At = append(batch.At, 22*time.Hour)
	}
	cfg.Customers = append(cfg.Customers, batch)
	return cfg
}
