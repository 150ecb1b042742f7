package placement_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// TestReserve_WorkerWithoutASlot_IsNotReserved: its device is whole, and nobody knows when a slot is.
func TestReserve_WorkerWithoutASlot_IsNotReserved(t *testing.T) {
	one := of(gpuLane(domain.Resources{GPUs: domain.One}, 1), "a", 10)
	s := placement.Snapshot{
		Now: epoch0, Workers: []domain.Worker{gpuWorker(1, 0, 1, "A10"), gpuWorker(2, 0, 1, "A10")},
		Occupancy: []domain.Occupancy{
			{SessionID: "s1", Lane: lane("c", "t", domain.Affinity{}).Lane, Count: 1},
			until(epoch0.Add(time.Minute), 2, sharesOf(), "gpu0"),
		},
	}
	s.Workers[0].Slots = 1
	assert.Empty(t, plan(s, 10, one, sharesOf(0)), "worker 2 is kept for it")
}

func TestReserve_SeveralDevices_AreDueWhenTheLastOfThemIs(t *testing.T) {
	two := of(gpuLane(domain.Resources{GPUs: 2 * domain.One}, 1), "a", 10)
	s := placement.Snapshot{
		Now: epoch0, Workers: []domain.Worker{gpuWorker(1, 0, 2, "A10")},
		Occupancy: []domain.Occupancy{
			until(epoch0.Add(time.Hour), 1, sharesOf(), "gpu0"), until(epoch0.Add(2*time.Hour), 1, sharesOf(), "gpu1"),
		},
	}
	assert.Len(t, plan(s, 10, two, sharesOf(90*time.Minute)), 1, "gpu1 is held for longer")
	assert.Empty(t, plan(s, 10, two, sharesOf(150*time.Minute)))
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

// A customer asks for what nobody has, in a thousand ways, and waits longest.
func TestPlan_RequestsThatNobodyCanServe_HoldUpNothing(t *testing.T) {
	s := placement.Snapshot{Now: epoch0}
	for n := range 4 {
		s.Workers = append(s.Workers, gpuWorker(n, 16, 2, "A10"))
	}
	var lanes []domain.LaneHeads
	for n := range 1000 {
		r := []domain.Resources{
			{GPUs: 64 * domain.One}, {GPUs: domain.One, GPUModels: []string{fmt.Sprint("H", n)}},
			{GPUs: domain.One, Custom: map[string]int64{fmt.Sprint("kind-", n): 1}},
			{GPUs: 2 * domain.One, Amounts: domain.Amounts{CPUCores: domain.Milli(17+n) * domain.One}},
			{GPUs: 2 * domain.One, Amounts: domain.Amounts{MemoryMB: 1, DiskMB: n}, Custom: map[string]int64{"none": 1 << 40}},
		}[n%5]
		lanes = append(lanes, of(gpuLane(r, 0), "hostile", n))
	}
	as := plan(s, 100, append(lanes, sharesOf(slices.Repeat([]time.Duration{0}, 20)...))...)
	require.Len(t, as, 16, "two shares on each of eight devices")
	e := placement.NewExplainer(s)
	e.Reserve(lanes)
	for i := range lanes {
		require.NotEmpty(t, e.Unplaceable(&lanes[i].Lane))
		require.Equal(t, placement.ReasonTooSmall, e.Explain(&lanes[i].Lane)[0].Code)
	}
}

func TestReserve_WhenAShorterOneOfTheLanePasses_StaysForTheFirst(t *testing.T) {
	hold := of(gpuLane(domain.Resources{GPUs: domain.One}), "c", 10)
	s := placement.Snapshot{Now: epoch0, Occupancy: []domain.Occupancy{
		until(epoch0.Add(3*time.Hour), 1, hold, "gpu1"), until(epoch0.Add(time.Hour), 1, sharesOf(), "gpu0"),
		until(epoch0.Add(2*time.Hour), 2, hold, "gpu1"),
	}}
	for n := range 15 { // a tenth of 30 devices may be reserved
		s.Workers = append(s.Workers, gpuWorker(n+1, 0, 2, "A10"))
		if n > 1 {
			s.Occupancy = append(s.Occupancy, until(epoch0.Add(20*time.Hour), n+1, hold, "gpu0", "gpu1"))
		}
	}
	two := of(gpuLane(domain.Resources{GPUs: 2 * domain.One}, 1), "d", 10) // reserves worker 2
	one := of(gpuLane(domain.Resources{GPUs: domain.One}, 2, 3), "a", 10)  // reserves worker 1
	one.Heads[1].Timeout = 10 * time.Minute
	as := plan(s, 10, two, one, sharesOf(0))
	require.Len(t, as, 1, "no share gets what is reserved for the first")
	assert.Equal(t, one.Heads[1].ID, as[0].WorkloadID)
	assert.Equal(t, domain.WorkerID("w2"), as[0].WorkerID)
}
