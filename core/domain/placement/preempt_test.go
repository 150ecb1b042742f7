package placement_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

func anyone(domain.Candidate) (placement.Asking, placement.Running) {
	return placement.MayAsk, placement.Running{}
}

// fullWorker returns a worker whose slots are all taken, one by each of the holders in their order.
func fullWorker(
	customers map[domain.CustomerID]domain.Entitlements, holders ...domain.CustomerID,
) (placement.Snapshot, []placement.Running) {
	s := placement.Snapshot{Workers: []domain.Worker{worker(1, len(holders), "t")}, Customers: customers}
	var running []placement.Running
	for i, c := range holders {
		l := lane(string(c), "t", domain.Affinity{}).Lane
		s.Occupancy = append(s.Occupancy, domain.Occupancy{SessionID: "s1", Lane: l, Count: 1})
		running = append(running, placement.Running{
			WorkloadID: domain.WorkloadID(fmt.Sprint("r", i)), CustomerID: c, SessionID: "s1", WorkerID: "w1", Generation: 1,
			Since: epoch0.Add(time.Duration(i) * time.Minute),
		})
	}
	return s, running
}

func preempt(s placement.Snapshot, running []placement.Running, lanes ...domain.LaneHeads) []placement.Preemption {
	p := placement.NewPlanner(s)
	p.Add(lanes...)
	p.Plan(1000)
	return p.Preempt(running, 10, anyone)
}

func TestPreempt_SeveralTiers_AsksTheLowestAndTheLatestFirst(t *testing.T) {
	customers := map[domain.CustomerID]domain.Entitlements{
		"vip":   {Tier: domain.TierEnterprise, MaxConcurrent: 9, Preemptible: true},
		"std":   {Tier: domain.TierStandard, MaxConcurrent: 9, Preemptible: true},
		"free":  {Tier: domain.TierFree, MaxConcurrent: 9, Preemptible: true},
		"fixed": {Tier: domain.TierFree, MaxConcurrent: 9},
	}
	s, running := fullWorker(customers, "free", "std", "free", "vip", "fixed")
	chosen := preempt(s, running, lane("vip", "t", domain.Affinity{}, 1, 2, 3, 4))
	var victims []string
	for _, p := range chosen {
		victims = append(victims, string(p.Victim.WorkloadID))
		assert.Equal(t, domain.TierEnterprise, p.Tier)
	}
	assert.Equal(t, []string{"r2", "r0", "r1"}, victims,
		"neither of its own tier nor of a customer that does not allow it")
	assert.Empty(t, preempt(s, running, lane("free", "t", domain.Affinity{}, 1)), "only a higher tier asks")

	again := lane("vip", "t", domain.Affinity{}, 1)
	again.Heads[0].Generation = 1
	assert.Empty(t, preempt(s, running, again),
		"a workload that has run before never asks, so that preemption never cascades")

	entitlements := customers["vip"]
	entitlements.MaxConcurrent = 1
	customers["vip"] = entitlements
	assert.Empty(t, preempt(s, running, lane("vip", "t", domain.Affinity{}, 1)),
		"at its own limit a customer would gain nothing")
}

func TestPreempt_WhenASlotWouldNotHelp_AsksNobody(t *testing.T) {
	customers := map[domain.CustomerID]domain.Entitlements{
		"vip":  {Tier: domain.TierEnterprise, MaxConcurrent: 9, Preemptible: true},
		"free": {Tier: domain.TierFree, MaxConcurrent: 9, Preemptible: true},
	}
	s, running := fullWorker(customers, "free")
	must := domain.Affinity{Hard: domain.AffinityTerms{WorkerTags: map[string]string{"gpu": "yes"}}}
	assert.Empty(t, preempt(s, running, lane("vip", "t", must, 1)), "the worker cannot run it anyway")
	s.Workers[0].Slots = 5
	assert.Empty(t, preempt(s, running, lane("vip", "t", domain.Affinity{}, 1)), "there is room")
}

func TestPreempt_OfWhatIsReserved_AsksWhoeverHoldsIt(t *testing.T) {
	customers := map[domain.CustomerID]domain.Entitlements{
		"vip":  {Tier: domain.TierEnterprise, MaxConcurrent: 9, Preemptible: true},
		"free": {Tier: domain.TierFree, MaxConcurrent: 9, Preemptible: true},
	}
	gpu := func(c domain.CustomerID, ages ...int) domain.LaneHeads {
		return of(gpuLane(domain.Resources{GPUs: domain.One}, ages...), c, 10)
	}
	memory := func(c domain.CustomerID, ages ...int) domain.LaneHeads {
		return of(gpuLane(domain.Resources{Amounts: domain.Amounts{MemoryMB: 600}}, ages...), c, 10)
	}
	for name, c := range map[string]struct {
		holds domain.Occupancy // beside a run of free that reserves nothing
		asks  domain.LaneHeads
		want  bool
	}{
		"the device is held by one that is not asked":   {holds(1, gpu("vip"), "gpu0"), gpu("vip", 1), false},
		"the device is held by the victim":              {holds(1, gpu("free"), "gpu0"), gpu("vip", 1), true},
		"the memory is held by one that is not asked":   {holds(1, memory("vip")), memory("vip", 1), false},
		"the memory is held by the victim":              {holds(1, memory("free")), memory("vip", 1), true},
		"the victim's memory is not what is missing":    {holds(1, memory("free")), gpu("vip", 1), true},
		"the device is held, and the victim has memory": {holds(1, gpu("vip"), "gpu0"), memory("vip", 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			s, running := fullWorker(customers, c.holds.Lane.CustomerID, "free")
			s.Now = epoch0
			s.Workers[0].Resources = domain.Offer{Amounts: domain.Amounts{MemoryMB: 1000},
				Devices: []domain.Device{{ID: "gpu0", Model: "A10"}}}
			s.Occupancy[0] = c.holds
			running[0].Lane, running[1].Lane = c.holds.Lane.ID, s.Occupancy[1].Lane.ID
			got := preempt(s, running, c.asks)
			require.Len(t, got, map[bool]int{true: 1}[c.want])
		})
	}
}

func TestPreempt_RandomWorld_KeepsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		var running []placement.Running
		for id, c := range w.Customers {
			c.Preemptible = rapid.Bool().Draw(t, "preemptible")
			w.Customers[id] = c
		}
		n := 0
		for _, wk := range w.Workers {
			for _, l := range w.lanes {
				if rapid.Bool().Draw(t, "held") {
					n++
					w.Occupancy = append(w.Occupancy, domain.Occupancy{SessionID: wk.SessionID, Lane: l.Lane, Count: 1})
					running = append(running, placement.Running{
						WorkloadID: domain.WorkloadID(fmt.Sprint("r", n)), CustomerID: l.Lane.CustomerID,
						SessionID: wk.SessionID, WorkerID: wk.ID,
					})
				}
			}
		}
		p := placement.NewPlanner(w.Snapshot)
		p.Add(w.lanes...)
		as, _ := p.Plan(1000)
		placed := map[domain.WorkloadID]bool{}
		for _, a := range as {
			placed[a.WorkloadID] = true
		}
		owner := map[domain.WorkloadID]domain.CustomerID{}
		for _, l := range w.lanes {
			for _, h := range l.Heads {
				owner[h.ID] = l.Lane.CustomerID
			}
		}
		asked, served := map[domain.WorkloadID]bool{}, map[domain.WorkloadID]bool{}
		for _, x := range p.Preempt(running, 5, anyone) {
			require.False(t, asked[x.Victim.WorkloadID] || served[x.For.ID] || placed[x.For.ID],
				"each is asked once, and none for a placed workload")
			asked[x.Victim.WorkloadID], served[x.For.ID] = true, true
			require.True(t, w.Customers[x.Victim.CustomerID].Preemptible)
			require.Less(t, w.Customers[x.Victim.CustomerID].Tier.Weight(), w.Customers[owner[x.For.ID]].Tier.Weight())
		}
		require.LessOrEqual(t, len(asked), 5)
	})
}

func TestPreempt_ForOneCustomer_AsksForNoMoreThanItMayRun(t *testing.T) {
	customers := map[domain.CustomerID]domain.Entitlements{
		"vip":  {Tier: domain.TierEnterprise, MaxConcurrent: 1, Preemptible: true},
		"free": {Tier: domain.TierFree, MaxConcurrent: 9, Preemptible: true},
	}
	s, running := fullWorker(customers, "free", "free", "free")
	lanes := []domain.LaneHeads{
		laneAt(5, "vip", "t", domain.Affinity{}, 1), laneAt(10, "vip", "t", domain.Affinity{}, 1, 2),
	}
	assert.Len(t, preempt(s, running, lanes...), 1, "in all its lanes")

	p := placement.NewPlanner(s)
	p.Add(lanes...)
	p.Plan(1000)
	first := lanes[1].Heads[0].ID
	asked := func(c domain.Candidate) (placement.Asking, placement.Running) {
		if c.ID == first {
			return placement.HasAsked, running[2]
		}
		return anyone(c)
	}
	assert.Empty(t, p.Preempt(running[:2], 10, asked), "room was asked for already")
}

func TestPreempt_ForSeveral_CountsWhatTheFirstOnesNeed(t *testing.T) {
	customers := map[domain.CustomerID]domain.Entitlements{
		"vip":  {Tier: domain.TierEnterprise, MaxConcurrent: 9, Preemptible: true},
		"free": {Tier: domain.TierFree, MaxConcurrent: 9, Preemptible: true},
	}
	s, running := fullWorker(customers, "free", "free", "free")
	s.Now = epoch0
	s.Workers[0].Resources = domain.Offer{Devices: []domain.Device{{ID: "gpu0"}}}
	asks := of(gpuLane(domain.Resources{GPUs: domain.One}, 1, 2, 3), "vip", 10)
	assert.Len(t, preempt(s, running, asks), 1, "there is one device")
	p := placement.NewPlanner(s)
	p.Add(asks)
	p.Plan(1000)
	asked := func(c domain.Candidate) (placement.Asking, placement.Running) {
		if c.ID == asks.Heads[0].ID {
			return placement.HasAsked, running[2]
		}
		return anyone(c)
	}
	assert.Empty(t, p.Preempt(running[:2], 10, asked), "it will be that of the first")

	asks = lane("vip", "t", domain.Affinity{Anti: domain.AffinityTerms{WorkloadTypes: []string{"t"}}}, 1, 2)
	s.Workers[0].Capabilities = append(s.Workers[0].Capabilities, "u")
	for i := range s.Occupancy {
		s.Occupancy[i].Lane.Type = "u"
	}
	assert.Len(t, preempt(s, running, asks), 1, "they may not run beside each other")
}

func TestPreempt_OnAWorkerWhoseDevicesAreReserved_AsksOnlyIfItMayPass(t *testing.T) {
	customers := map[domain.CustomerID]domain.Entitlements{
		"vip":  {Tier: domain.TierEnterprise, MaxConcurrent: 9, Preemptible: true},
		"big":  {Tier: domain.TierStandard, MaxConcurrent: 9},
		"free": {Tier: domain.TierFree, MaxConcurrent: 9, Preemptible: true},
	}
	s, running := fullWorker(customers, "big", "free")
	s.Now = epoch0.Add(time.Hour)
	s.Workers[0].Resources = domain.Offer{Devices: []domain.Device{{ID: "gpu0"}, {ID: "gpu1"}}}
	s.Occupancy[0] = holds(1, of(gpuLane(domain.Resources{GPUs: domain.One}), "big", 10), "gpu0")
	s.Occupancy[0].Ends = []time.Time{s.Now.Add(time.Hour)}
	running[0].Lane, running[1].Lane = s.Occupancy[0].Lane.ID, s.Occupancy[1].Lane.ID
	waits := of(gpuLane(domain.Resources{GPUs: 2 * domain.One}, 1), "big", 10)
	asks := of(gpuLane(domain.Resources{GPUs: domain.One}, 5), "vip", 10)
	assert.Len(t, preempt(s, running, asks), 1)
	assert.Empty(t, preempt(s, running, asks, waits), "both devices are reserved")
	asks.Heads[0].Timeout = 10 * time.Minute
	assert.Len(t, preempt(s, running, asks, waits), 1, "it ends before they are due")
}

// What is asked comes back to the queue, where it has waited longest. So the slot would go from one
// workload of a lower tier to another one, again and again.
func TestPreempt_WhenALowerTierWouldGetTheSlot_AsksNobody(t *testing.T) {
	customers := map[domain.CustomerID]domain.Entitlements{
		"vip":  {Tier: domain.TierEnterprise, MaxConcurrent: 9, Preemptible: true},
		"free": {Tier: domain.TierFree, MaxConcurrent: 9, Preemptible: true},
	}
	s, running := fullWorker(customers, "free")
	asks, before := lane("vip", "t", domain.Affinity{}, 5), lane("free", "t", domain.Affinity{}, 1)
	for policy, want := range map[domain.Policy]int{domain.PolicyFIFO: 0, domain.PolicyPriority: 1} {
		s.Policy = policy
		assert.Len(t, preempt(s, running, asks, before), want, policy)
	}
	s.Policy, s.Shares = domain.PolicyFair, placement.NewFairShare()
	s.Shares.Settle(epoch0, map[domain.CustomerID]int{"vip": 9}, customers)
	s.Shares.Settle(epoch0.Add(time.Hour), map[domain.CustomerID]int{"vip": 9}, customers)
	assert.Empty(t, preempt(s, running, asks, before), "vip has had its share")

	s.Policy = domain.PolicyFIFO
	s.Workers[0].Tags = map[string]string{"zone": "a"}
	elsewhere := domain.Affinity{Anti: domain.AffinityTerms{WorkerTags: map[string]string{"zone": "a"}}}
	s.Workers = append(s.Workers, worker(2, 1, "t"))
	s.Occupancy = append(s.Occupancy, domain.Occupancy{SessionID: "s2", Lane: asks.Lane, Count: 1})
	assert.Len(t, preempt(s, running, asks, lane("free", "t", elsewhere, 1)), 1, "it could not use that slot")
}
