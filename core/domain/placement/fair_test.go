package placement_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// pool simulates one worker whose slots are always taken, and customers that always have workloads
// waiting. As time passes, runs end and the planner gives their slots away again.
type pool struct {
	slots    int
	shares   *placement.FairShare
	now      time.Time
	running  []job
	received map[domain.CustomerID]float64 // slot-seconds
	placed   map[domain.CustomerID]int
}

type job struct {
	customer domain.CustomerID
	lane     domain.Lane
	ends     time.Time
}

// member is a customer of the pool. All its runs last equally long.
type member struct {
	tier     domain.Tier
	duration time.Duration
	limit    int
	from     time.Time // when it begins to submit
}

func newPool(slots int) *pool {
	return &pool{
		slots: slots, shares: placement.NewFairShare(), now: epoch0,
		received: map[domain.CustomerID]float64{}, placed: map[domain.CustomerID]int{},
	}
}

// run lets the time d pass, second by second. Received slot-seconds count from since on.
func (p *pool) run(members map[domain.CustomerID]member, d time.Duration, since time.Time) {
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(time.Second) {
		var left []job
		for _, j := range p.running {
			if j.ends.After(p.now) {
				left = append(left, j)
			}
		}
		p.running = left
		s := placement.Snapshot{
			Workers: []domain.Worker{worker(1, p.slots, "t")}, Policy: domain.PolicyFair, Shares: p.shares,
			Customers: map[domain.CustomerID]domain.Entitlements{},
		}
		held := map[domain.CustomerID]int{}
		for _, j := range p.running {
			held[j.customer]++
			s.Occupancy = append(s.Occupancy, domain.Occupancy{SessionID: "s1", Lane: j.lane, Count: 1})
		}
		var lanes []domain.LaneHeads
		for id, m := range members {
			if m.from.After(p.now) {
				continue
			}
			s.Customers[id] = domain.Entitlements{Tier: m.tier, MaxConcurrent: m.limit}
			l := lane(string(id), "t", domain.Affinity{}, make([]int, p.slots)...)
			for i := range l.Heads {
				l.Heads[i].QueueAt = p.now
			}
			lanes = append(lanes, l)
		}
		p.shares.Settle(p.now, held, s.Customers)
		planner := placement.NewPlanner(s)
		planner.Add(lanes...)
		as, _ := planner.Plan(p.slots)
		for _, a := range as {
			p.placed[a.CustomerID]++
			l := domain.Lane{CustomerID: a.CustomerID, Type: "t"}
			p.running = append(p.running, job{a.CustomerID, l, p.now.Add(members[a.CustomerID].duration)})
		}
		if !p.now.Before(since) {
			for _, j := range p.running {
				p.received[j.customer]++
			}
		}
	}
}

// share returns the customer's part of all slot-seconds.
func (p *pool) share(id domain.CustomerID) float64 {
	total := 0.0
	for _, n := range p.received {
		total += n
	}
	return p.received[id] / total
}

func TestFairShare_RunsOfDifferentLength_FollowsTheWeights(t *testing.T) {
	tiers := tiers[1:] // the share of a free customer is so small that only simulation/days measures it
	for name, durations := range map[string][3]time.Duration{
		"equal":                {20 * time.Second, 20 * time.Second, 20 * time.Second},
		"longest in low tier":  {100 * time.Second, 40 * time.Second, 20 * time.Second},
		"longest in high tier": {20 * time.Second, 40 * time.Second, 100 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			members := map[domain.CustomerID]member{}
			weights := 0
			for i, tier := range tiers {
				members[domain.CustomerID(tier)] = member{tier: tier, duration: durations[i], limit: 1000}
				weights += tier.Weight()
			}
			p := newPool(9)
			p.run(members, 3*time.Hour, epoch0.Add(time.Hour))
			for _, tier := range tiers {
				want := float64(tier.Weight()) / float64(weights)
				got := p.share(domain.CustomerID(tier))
				assert.InEpsilon(t, want, got, 0.1, "%s gets %.4f of the slot-time, its weight is worth %.4f", tier, got, want)
			}
		})
	}
}

func TestFairShare_IdleOrLimitedCustomer_GathersNoCredit(t *testing.T) {
	members := map[domain.CustomerID]member{
		"early": {tier: domain.TierStandard, duration: 30 * time.Second, limit: 1000},
		"late":  {tier: domain.TierStandard, duration: 30 * time.Second, limit: 1000, from: epoch0.Add(2 * time.Hour)},
		"bound": {tier: domain.TierStandard, duration: 30 * time.Second, limit: 1},
	}
	p := newPool(9)
	p.run(members, 2*time.Hour, epoch0.Add(time.Hour))
	assert.InDelta(t, 1.0/9, p.share("bound"), 0.02)
	m := members["bound"]
	m.limit = 1000
	members["bound"] = m
	p.received = map[domain.CustomerID]float64{}
	p.run(members, 20*time.Minute, p.now)
	for id := range members {
		assert.InDelta(t, 1.0/3, p.share(id), 0.07, "%s: an unused share is not made up for later", id)
	}
}

func TestFairShare_EqualWork_DiffersByAtMostOnePlacement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := map[domain.CustomerID]member{}
		for n := range rapid.IntRange(2, 5).Draw(t, "customers") {
			members[domain.CustomerID(fmt.Sprint("c", n))] = member{
				tier: rapid.SampledFrom(tiers).Draw(t, "tier"), duration: time.Second, limit: 1000,
			}
		}
		p := newPool(rapid.IntRange(1, 9).Draw(t, "slots"))
		p.run(members, time.Duration(rapid.IntRange(5, 120).Draw(t, "seconds"))*time.Second, epoch0)
		// Start-time fair queueing promises that service divided by weight differs by at most one
		// placement of each of the two customers compared.
		least, most := math.Inf(1), 0.0
		slack := 0.0
		for id, m := range members {
			w := float64(m.tier.Weight())
			least, most = min(least, float64(p.placed[id])/w), max(most, float64(p.placed[id])/w)
			slack = max(slack, 1/w)
		}
		require.LessOrEqual(t, most-least, 2*slack+1e-9)
	})
}
