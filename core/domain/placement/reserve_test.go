package placement_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// of changes the customer and the priority of a lane.
func of(l domain.LaneHeads, customer domain.CustomerID, priority int) domain.LaneHeads {
	run := domain.DefaultRunConfig()
	run.Resources = l.Lane.Resources
	l.Lane = domain.NewLane(&domain.Spec{CustomerID: customer, Type: "t", Run: run, Priority: priority})
	for i := range l.Heads {
		l.Heads[i].ID = domain.WorkloadID(fmt.Sprintf("%s-%d", l.Lane.ID, i))
	}
	return l
}

// holds returns what one run of the lane holds on worker n.
func holds(n int, l domain.LaneHeads, devices ...string) domain.Occupancy {
	_, share := l.Lane.Resources.PerDevice()
	o := domain.Occupancy{SessionID: domain.SessionID(fmt.Sprint("s", n)), Lane: l.Lane, Count: 1}
	for _, d := range devices {
		o.Devices = append(o.Devices, domain.DeviceShare{ID: d, Share: share})
	}
	return o
}

func TestReserve_LongestWaitingThatDoesNotFit_KeepsItsDevices(t *testing.T) {
	share := func(ages ...int) domain.LaneHeads { return of(gpuLane(domain.Resources{GPUs: 500}, ages...), "b", 10) }
	two := func(customer domain.CustomerID, age int) domain.LaneHeads {
		return of(gpuLane(domain.Resources{GPUs: 2 * domain.One}, age), customer, 10)
	}
	s := placement.Snapshot{
		Workers:   []domain.Worker{gpuWorker(1, 0, 2, "A10"), gpuWorker(2, 0, 2, "A10")},
		Occupancy: []domain.Occupancy{holds(1, share(), "gpu0"), holds(2, share(), "gpu0"), holds(2, share(), "gpu1")},
	}
	as := plan(s, 10, two("a", 1), share(2, 3, 4, 5, 6, 7))
	require.Len(t, as, 2, "worker 1 comes nearest; there nothing is given")
	assert.Equal(t, domain.WorkerID("w2"), as[0].WorkerID)
	assert.Equal(t, domain.WorkerID("w2"), as[1].WorkerID)

	plain := lane("c", "t", domain.Affinity{}, 8, 9)
	assert.Len(t, plan(s, 10, two("a", 1), plain), 2, "work without devices is not affected")
	assert.Len(t, plan(s, 10, two("a", 1), two("a", 2), two("c", 3), share(4, 5, 6, 7)), 2,
		"one reservation is a tenth of the devices already")

	s.Customers = entitlements(map[domain.CustomerID]int{"a": 0, "b": 100})
	assert.Len(t, plan(s, 10, two("a", 1), share(2, 3, 4, 5, 6, 7)), 5, "a customer at its limit reserves nothing")
	s.Customers = nil
	assert.Len(t, plan(s, 10, of(gpuLane(domain.Resources{GPUs: 3 * domain.One}, 1), "a", 10), share(2, 3, 4, 5, 6, 7)), 5,
		"what fits no worker reserves nothing")
}

func TestReserve_OneCustomer_HasOneReservation(t *testing.T) {
	var s placement.Snapshot
	share := of(gpuLane(domain.Resources{GPUs: 500}), "b", 10)
	for n := range 30 {
		s.Workers = append(s.Workers, gpuWorker(n, 0, 1, "A10"))
		s.Occupancy = append(s.Occupancy, holds(n, share, "gpu0"))
	}
	whole := func(customer domain.CustomerID, priority, age int) domain.LaneHeads {
		return of(gpuLane(domain.Resources{GPUs: domain.One}, age), customer, priority)
	}
	shares := of(gpuLane(domain.Resources{GPUs: 500}, slices.Repeat([]int{9}, 40)...), "b", 1000)
	assert.Len(t, plan(s, 50, whole("a", 1, 1), whole("a", 2, 2), shares), 29)
	assert.Len(t, plan(s, 50, whole("a", 1, 1), whole("c", 1, 2), whole("d", 1, 3), whole("e", 1, 4), shares), 27,
		"a tenth of 30 devices")
}

func TestExplain_ReservedDevices_AreSaidToBeReserved(t *testing.T) {
	share := of(gpuLane(domain.Resources{GPUs: 500}, 2), "b", 10)
	whole := of(gpuLane(domain.Resources{GPUs: domain.One}, 1), "a", 10)
	s := placement.Snapshot{
		Workers: []domain.Worker{gpuWorker(1, 0, 1, "A10")}, Occupancy: []domain.Occupancy{holds(1, share, "gpu0")},
	}
	e := placement.NewExplainer(s)
	e.Reserve([]domain.LaneHeads{whole, share})
	assert.Equal(t, []placement.Reason{{
		Code: placement.ReasonReserved, Workers: 1,
		Message: "1 worker with devices reserved for a workload that waits longer", WorkerIDs: named("w1"),
	}}, e.Explain(&share.Lane))
	assert.Equal(t, placement.ReasonResources, e.Explain(&whole.Lane)[0].Code)
	assert.True(t, e.Placeable(&share.Lane))
	plain := lane("c", "t", domain.Affinity{}).Lane
	assert.Equal(t, placement.ReasonNext, e.Explain(&plain)[0].Code)
}

// cluster runs plans in virtual time. A run lasts for some ticks.
type cluster struct {
	t       *rapid.T
	workers []domain.Worker
	runs    []run
	tick    int
}

type run struct {
	session domain.SessionID
	lane    domain.Lane
	devices []domain.DeviceShare
	until   int
}

// next ends runs, and places what waits. The same plan is made twice. It returns what is placed.
func (c *cluster) next(limit int, lanes ...domain.LaneHeads) []placement.Decision {
	c.tick++
	c.runs = slices.DeleteFunc(c.runs, func(r run) bool { return r.until <= c.tick })
	s := placement.Snapshot{Workers: c.workers, Seed: uint64(c.tick), Placed: c.tick} //nolint:gosec // small
	for _, r := range c.runs {
		s.Occupancy = append(s.Occupancy, domain.Occupancy{
			SessionID: r.session, Lane: r.lane, Count: 1, Devices: slices.Clone(r.devices),
		})
	}
	as := plan(s, 1000, lanes...)
	require.Equal(c.t, as, plan(s, 1000, lanes...))
	byID := map[domain.LaneID]domain.Lane{}
	for _, l := range lanes {
		byID[l.Lane.ID] = l.Lane
	}
	for _, a := range as {
		until := c.tick + rapid.IntRange(1, limit).Draw(c.t, "ticks")
		c.runs = append(c.runs, run{a.SessionID, byID[a.Lane], a.Devices, until})
	}
	held := map[string]domain.Milli{}
	for _, r := range c.runs {
		for _, d := range r.devices {
			held[string(r.session)+d.ID] += d.Share
			require.LessOrEqual(c.t, held[string(r.session)+d.ID], domain.One)
		}
	}
	return as
}

// Shares of higher priority never run out. Work that needs whole devices starts all the same, within
// a number of the longest runs that depends on the fleet only.
func TestReserve_EndlessStreamOfShares_DoesNotStarveWholeDevices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const longest = 6
		c := &cluster{t: t}
		perWorker := rapid.IntRange(1, 4).Draw(t, "devices")
		workers := rapid.IntRange(1, 5).Draw(t, "workers")
		for n := range workers {
			c.workers = append(c.workers, gpuWorker(n, 0, perWorker, "A10"))
		}
		wants := domain.Milli(rapid.IntRange(1, perWorker).Draw(t, "wants")) * domain.One
		stream := func() (lanes []domain.LaneHeads) {
			for _, share := range []domain.Milli{200, 500, 950} {
				ages := slices.Repeat([]int{1000 + c.tick}, 60)
				l := of(gpuLane(domain.Resources{GPUs: share}, ages...), "b", 1000)
				for i := range l.Heads {
					l.Heads[i].ID = domain.WorkloadID(fmt.Sprintf("%s-%d-%d", l.Lane.ID, c.tick, i))
				}
				lanes = append(lanes, l)
			}
			return lanes
		}
		for range longest {
			c.next(longest, stream()...)
		}
		large := of(gpuLane(domain.Resources{GPUs: wants}, 900), "a", 0)
		large.Heads[0].QueueAt = epoch0.Add(time.Second)
		// Each time that another worker comes nearer, the wait begins anew at most.
		limit := longest * (perWorker + 1) * workers
		for n := 0; ; n++ {
			require.Less(t, n, limit, "%d workers of %d devices", workers, perWorker)
			if slices.ContainsFunc(c.next(longest, append(stream(), large)...), func(a placement.Decision) bool {
				return a.Lane == large.Lane.ID
			}) {
				return
			}
		}
	})
}
