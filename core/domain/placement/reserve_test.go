package placement_test

import (
	"fmt"
	"math/rand/v2"
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

// holds returns what one run of the lane holds on worker n. It is expected to end at epoch0.
func holds(n int, l domain.LaneHeads, devices ...string) domain.Occupancy {
	return until(epoch0, n, l, devices...)
}

// until is holds with an end.
func until(end time.Time, n int, l domain.LaneHeads, devices ...string) domain.Occupancy {
	_, share := l.Lane.Resources.PerDevice()
	o := domain.Occupancy{SessionID: domain.SessionID(fmt.Sprint("s", n)), Lane: l.Lane, Count: 1}
	for _, d := range devices {
		o.Hold([]domain.DeviceShare{{ID: d, Share: share}}, end)
	}
	o.Expect(end)
	return o
}

func TestReserve_LongestWaitingThatDoesNotFit_KeepsItsDevices(t *testing.T) {
	share := func(ages ...int) domain.LaneHeads { return of(gpuLane(domain.Resources{GPUs: 500}, ages...), "b", 10) }
	two := func(customer domain.CustomerID, age int) domain.LaneHeads {
		return of(gpuLane(domain.Resources{GPUs: 2 * domain.One}, age), customer, 10)
	}
	s := placement.Snapshot{
		Now:       epoch0,
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
	s := placement.Snapshot{Now: epoch0}
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
		Now: epoch0, Workers: []domain.Worker{gpuWorker(1, 0, 1, "A10")},
		Occupancy: []domain.Occupancy{holds(1, share, "gpu0")},
	}
	e := placement.NewExplainer(s)
	e.Reserve([]domain.LaneHeads{whole, share})
	assert.Equal(t, []placement.Reason{{
		Code: placement.ReasonReserved, Workers: 1,
		Message: "1 worker with devices reserved for a workload that waits longer", WorkerIDs: named("w1"),
	}}, e.Explain(&share.Lane))
	s.Occupancy[0] = until(epoch0.Add(time.Hour), 1, share, "gpu0")
	later := placement.NewExplainer(s)
	later.Reserve([]domain.LaneHeads{whole, share})
	assert.Equal(t, "1 worker with devices reserved for a workload that waits longer, until about 2026-01-02T04:04:05Z",
		later.Explain(&share.Lane)[0].Message)
	for timeout, code := range map[time.Duration]placement.ReasonCode{
		0: placement.ReasonReserved, 30 * time.Minute: placement.ReasonNext, 2 * time.Hour: placement.ReasonReserved,
	} {
		reasons := later.ExplainWorkload(&share.Lane, &domain.Candidate{Timeout: timeout})
		require.Len(t, reasons, 1)
		assert.Equal(t, code, reasons[0].Code, "%s", timeout)
	}
	assert.Equal(t, placement.ReasonResources, e.Explain(&whole.Lane)[0].Code)
	assert.True(t, e.Placeable(&share.Lane))
	plain := lane("c", "t", domain.Affinity{}).Lane
	assert.Equal(t, placement.ReasonNext, e.Explain(&plain)[0].Code)
}

// sharesOf returns a lane of shares with these timeouts, in the order of their waits.
func sharesOf(timeouts ...time.Duration) domain.LaneHeads {
	l := of(gpuLane(domain.Resources{GPUs: 500}, slices.Repeat([]int{9}, len(timeouts))...), "b", 10)
	for i := range l.Heads {
		l.Heads[i].Timeout = timeouts[i]
	}
	return l
}

func TestPlan_RunThatEndsBeforeAReservationIsDue_Passes(t *testing.T) {
	const hour = time.Hour
	due := epoch0.Add(hour)
	two := of(gpuLane(domain.Resources{GPUs: 2 * domain.One}, 1), "a", 10)
	s := placement.Snapshot{
		Now: epoch0, Workers: []domain.Worker{gpuWorker(1, 0, 2, "A10")},
		Occupancy: []domain.Occupancy{until(due, 1, sharesOf(), "gpu0")},
	}
	passes := hour - domain.StartAllowance
	for name, c := range map[string]struct {
		timeouts []time.Duration
		placed   []string
	}{
		"one that ends in time":            {[]time.Duration{passes}, []string{"0"}},
		"one that ends later":              {[]time.Duration{passes + time.Second}, nil},
		"one without a timeout":            {[]time.Duration{0}, nil},
		"as many as fit":                   {[]time.Duration{1, 2, 3, 4}, []string{"0", "1", "2"}},
		"a shorter one behind a long one":  {[]time.Duration{0, hour, 2 * hour, passes, hour}, []string{"3"}},
		"only shorter ones are tried next": {[]time.Duration{hour, 2 * hour, 3 * hour}, nil},
	} {
		shares := sharesOf(c.timeouts...)
		var want []string
		for _, n := range c.placed {
			want = append(want, string(shares.Lane.ID)+"-"+n)
		}
		assert.ElementsMatch(t, want, ids(plan(s, 10, two, shares)), name)
	}
	s.Occupancy = []domain.Occupancy{until(epoch0.Add(-hour), 1, sharesOf(), "gpu0")}
	assert.Empty(t, plan(s, 10, two, sharesOf(1)), "what should have ended may end at any time")
	s.Occupancy = nil
	assert.Len(t, plan(s, 10, two, sharesOf(1)), 1, "what fits now is due now")
}

func TestReserve_DevicesThatAreDueFirst_AreReserved(t *testing.T) {
	soon, later := epoch0.Add(time.Hour), epoch0.Add(2*time.Hour)
	one := of(gpuLane(domain.Resources{GPUs: domain.One}, 1), "a", 10)
	s := placement.Snapshot{
		Now: epoch0, Workers: []domain.Worker{gpuWorker(1, 0, 1, "A10"), gpuWorker(2, 0, 1, "A10")},
		Occupancy: []domain.Occupancy{
			until(later, 1, of(gpuLane(domain.Resources{GPUs: 100}), "b", 1), "gpu0"), until(soon, 2, sharesOf(), "gpu0"),
		},
	}
	as := plan(s, 10, one, sharesOf(0, 0))
	require.Len(t, as, 1)
	assert.Equal(t, domain.WorkerID("w1"), as[0].WorkerID, "more of it is free, but it is due later")
	s.Occupancy = []domain.Occupancy{
		until(epoch0.Add(25*time.Hour), 1, sharesOf(), "gpu0"), until(epoch0.Add(26*time.Hour), 2, sharesOf(), "gpu0"),
	}
	assert.Len(t, plan(s, 10, one, sharesOf(0, 0)), 2, "what is due in more than a day is not reserved")
}

// The devices are whole, but a run without devices has the licence. Without regard to that, the
// devices would be kept until it ends.
func TestReserve_OtherResourcesTaken_AreWaitedForAsWell(t *testing.T) {
	licence := map[string]int64{"licence": 1}
	w := gpuWorker(1, 0, 8, "A10")
	w.Resources.Custom = licence
	all := of(gpuLane(domain.Resources{GPUs: 8 * domain.One, Custom: licence}, 1), "a", 10)
	holder := of(gpuLane(domain.Resources{Custom: licence}), "a", 1)
	s := placement.Snapshot{Now: epoch0, Workers: []domain.Worker{w}}
	placed := func(end, timeout time.Duration) int {
		s.Occupancy = []domain.Occupancy{until(epoch0.Add(end), 1, holder)}
		return len(plan(s, 10, all, sharesOf(timeout)))
	}
	assert.Equal(t, 1, placed(time.Hour, time.Minute), "it ends before the licence comes free")
	assert.Zero(t, placed(time.Hour, time.Hour))
	assert.Equal(t, 1, placed(25*time.Hour, 0), "who knows when")
}

func TestReserve_Tiers_TakeTurns(t *testing.T) {
	s := placement.Snapshot{Now: epoch0, Customers: map[domain.CustomerID]domain.Entitlements{
		"b": {Tier: domain.TierStandard, MaxConcurrent: 100},
	}}
	var lanes []domain.LaneHeads
	customer := func(id domain.CustomerID, tier domain.Tier, age int) {
		s.Customers[id] = domain.Entitlements{Tier: tier, MaxConcurrent: 9}
		lanes = append(lanes, of(gpuLane(domain.Resources{GPUs: domain.One}, age), id, 10))
	}
	for n := range 20 {
		s.Workers = append(s.Workers, gpuWorker(n, 0, 1, "A10"))
		customer(domain.CustomerID(fmt.Sprint("free", n)), domain.TierFree, n)
	}
	customer("enterprise", domain.TierEnterprise, 1000)
	shares := of(gpuLane(domain.Resources{GPUs: 500}, slices.Repeat([]int{9}, 40)...), "b", 1000)
	var reserved []domain.CustomerID
	for _, a := range plan(s, 50, append(lanes, shares)...) {
		if a.CustomerID != "b" {
			reserved = append(reserved, a.CustomerID)
		}
	}
	assert.ElementsMatch(t, []domain.CustomerID{"free0", "enterprise"}, reserved,
		"a tenth of 20 devices: the longest wait of all, and that of the other tier")
}

// cluster runs plans in virtual time. A tick is a minute.
type cluster struct {
	t       *rapid.T
	rng     *rand.Rand
	workers []domain.Worker
	runs    []run
	tick    int
	slow    bool // all runs last as long as they may
	passed  int  // placements while the large workload waited
}

type run struct {
	session domain.SessionID
	lane    domain.Lane
	devices []domain.DeviceShare
	since   time.Time
	endsBy  time.Time // zero: it has no timeout
	until   int
}

// longest is the longest run of a cluster, in ticks.
const longest = 6

func (c *cluster) now() time.Time { return epoch0.Add(time.Duration(c.tick) * time.Minute) }

// end returns when the run is expected to end.
func (c *cluster) end(r *run) time.Time { return domain.ExpectedEnd(r.endsBy, r.since, c.now()) }

// next ends runs, and places what waits. The same plan is made twice. It returns what is placed.
func (c *cluster) next(lanes ...domain.LaneHeads) []placement.Decision {
	c.tick++
	c.runs = slices.DeleteFunc(c.runs, func(r run) bool { return r.until <= c.tick })
	s := placement.Snapshot{
		Workers: c.workers, Seed: uint64(c.tick), Placed: c.tick, Now: c.now(), //nolint:gosec // small
	}
	for _, r := range c.runs {
		o := domain.Occupancy{SessionID: r.session, Lane: r.lane, Count: 1}
		o.Expect(c.end(&r))
		o.Hold(r.devices, c.end(&r))
		s.Occupancy = append(s.Occupancy, o)
	}
	as := plan(s, 1000, lanes...)
	require.Equal(c.t, as, plan(s, 1000, lanes...))
	heads := map[domain.WorkloadID]domain.Candidate{}
	byID := map[domain.LaneID]domain.Lane{}
	for _, l := range lanes {
		byID[l.Lane.ID] = l.Lane
		for _, h := range l.Heads {
			heads[h.ID] = h
		}
	}
	for _, a := range as {
		timeout := heads[a.WorkloadID].Timeout
		last := longest
		if timeout > 0 {
			last = int((domain.StartAllowance + timeout) / time.Minute)
		}
		lasts := last
		if !c.slow {
			lasts = 1 + c.rng.IntN(last)
		}
		c.runs = append(c.runs, run{
			a.SessionID, byID[a.Lane], a.Devices, c.now(), domain.EndsBy(c.now(), timeout), c.tick + lasts,
		})
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

// due returns when n devices of one worker are whole in a plan, by the ends of what runs.
func (c *cluster) due(n int) (due time.Time) {
	next := c.now().Add(time.Minute)
	due = next.Add(1000 * time.Hour)
	for _, w := range c.workers {
		ends := make([]time.Time, len(w.Resources.Devices))
		for _, r := range c.runs {
			for _, d := range r.devices {
				i := slices.IndexFunc(w.Resources.Devices, func(o domain.Device) bool { return o.ID == d.ID })
				if end := c.end(&r); r.session == w.SessionID && r.until > c.tick+1 && end.After(ends[i]) {
					ends[i] = end
				}
			}
		}
		slices.SortFunc(ends, time.Time.Compare)
		if ends[n-1].Before(due) {
			due = ends[n-1]
		}
	}
	if due.Before(next) {
		due = next
	}
	return due
}

// stream returns shares of high priority that never run out. Their timeouts are drawn from these, in
// ticks; 0: none.
func (c *cluster) stream(timeouts ...int) (lanes []domain.LaneHeads) {
	for _, share := range []domain.Milli{200, 500, 950} {
		l := of(gpuLane(domain.Resources{GPUs: share}, slices.Repeat([]int{100_000 + c.tick}, 60)...), "b", 1000)
		for i := range l.Heads {
			l.Heads[i].ID = domain.WorkloadID(fmt.Sprintf("%s-%d-%d", l.Lane.ID, c.tick, i))
			l.Heads[i].Timeout = time.Duration(timeouts[c.rng.IntN(len(timeouts))]) * time.Minute
		}
		lanes = append(lanes, l)
	}
	return lanes
}

// waits draws a cluster that a stream fills, and lets a large workload wait in it. It returns when its
// reservation is due at first, and after how many ticks it starts. The bound is for that.
func waits(t *rapid.T, bound int, timeouts ...int) (c *cluster, due time.Time, after int) {
	c = &cluster{t: t, slow: rapid.Bool().Draw(t, "slow"), rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
	perWorker := rapid.IntRange(1, 4).Draw(t, "devices")
	workers := rapid.IntRange(1, 4).Draw(t, "workers")
	for n := range workers {
		c.workers = append(c.workers, gpuWorker(n, 0, perWorker, "A10"))
	}
	wants := rapid.IntRange(1, perWorker).Draw(t, "wants")
	for range longest {
		c.next(c.stream(timeouts...)...)
	}
	large := of(gpuLane(domain.Resources{GPUs: domain.Milli(wants) * domain.One}, 900), "a", 0)
	large.Heads[0].QueueAt = epoch0.Add(time.Second)
	due = c.due(wants)
	for n := 1; ; n++ {
		require.LessOrEqual(t, n, bound*workers*(perWorker+1), "%d workers of %d devices", workers, perWorker)
		as := c.next(append(c.stream(timeouts...), large)...)
		for _, a := range as {
			if a.Lane == large.Lane.ID {
				return c, due, n
			}
		}
		c.passed += len(as)
	}
}

// Shares of higher priority never run out. Work that needs whole devices has them by the time at which
// its reservation is due at first: what passes it delays it by nothing, even if all runs last as long
// as they may.
func TestReserve_EndlessStreamOfShares_DelaysWholeDevicesByNothing(t *testing.T) {
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		c, due, _ := waits(t, longest, 1, 2, longest-1)
		passed += c.passed
		require.False(t, c.now().After(due), "due %s, starts %s", due, c.now())
	})
	assert.NotZero(t, passed, "short runs pass")
}

// Runs without a timeout are expected to last as long again. What passes then may delay, but not by
// much more.
func TestReserve_EndlessStreamWithoutTimeouts_DoesNotStarveWholeDevices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { waits(t, 2*longest, 0, 1, longest-1) })
}
