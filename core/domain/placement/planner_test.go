package placement_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

func TestPlan_TwoLanes_ServesThemInQueueOrder(t *testing.T) {
	s := placement.Snapshot{Workers: []domain.Worker{worker(1, 4, "t")}}
	as := plan(s, 10, lane("a", "t", domain.Affinity{}, 1, 4, 5), lane("b", "t", domain.Affinity{}, 2, 3))
	assert.Equal(t, []string{"a-t-10-000", "b-t-10-000", "b-t-10-001", "a-t-10-001"}, ids(as))
	assert.Equal(t, int64(1), as[0].Generation)
}

func TestPlan_BlockedLane_HoldsUpNoOther(t *testing.T) {
	s := placement.Snapshot{
		Workers:   []domain.Worker{worker(1, 2, "t")},
		Customers: entitlements(map[domain.CustomerID]int{"limited": 1, "free": 10}),
		Occupancy: []domain.Occupancy{
			{SessionID: "elsewhere", Lane: domain.Lane{CustomerID: "limited", Type: "t"}, Count: 1},
		},
	}
	as := plan(s, 10, lane("limited", "t", domain.Affinity{}, 1, 2, 3), lane("nobody", "gpu", domain.Affinity{}, 1, 2),
		lane("free", "t", domain.Affinity{}, 50))
	assert.Equal(t, []string{"free-t-10-000"}, ids(as))
}

func TestPlan_OneInTen_GoesToTheLongestWait(t *testing.T) {
	old := laneAt(0, "old", "t", domain.Affinity{}, 1)
	var ages []int
	for i := range 30 {
		ages = append(ages, 10+i)
	}
	s := placement.Snapshot{Workers: []domain.Worker{worker(1, 20, "t")}}
	vip := laneAt(1000, "vip", "t", domain.Affinity{}, ages...)
	as := plan(s, 20, old, vip)
	require.Len(t, as, 20)
	assert.Equal(t, "old-t-0-000", string(as[9].WorkloadID))
	s.Placed = 9
	assert.Equal(t, "old-t-0-000", ids(plan(s, 1, old, vip))[0], "counted across batches")
}

func TestPlan_PreferredWorker_IsTakenBeforeAnEmptierOne(t *testing.T) {
	near, far := worker(1, 10, "t"), worker(2, 10, "t")
	near.Tags = map[string]string{"region": "eu"}
	prefer := domain.Affinity{Soft: domain.AffinityTerms{WorkerTags: map[string]string{"region": "eu"}}}
	s := placement.Snapshot{
		Workers:   []domain.Worker{near, far},
		Occupancy: []domain.Occupancy{{SessionID: "s1", Lane: domain.Lane{CustomerID: "x", Type: "t"}, Count: 9}},
	}
	as := plan(s, 2, lane("a", "t", prefer, 1, 2))
	require.Len(t, as, 2)
	assert.Equal(t, domain.WorkerID("w1"), as[0].WorkerID)
	assert.Equal(t, 55, as[0].Score)
	assert.Equal(t, domain.WorkerID("w2"), as[1].WorkerID, "when the preferred worker is full, another one is taken")
}

func TestPlan_PreferredTypes_AreScoredByEachThatTheWorkerOffers(t *testing.T) {
	some, most, none := worker(1, 10, "t", "a"), worker(2, 10, "t", "a", "b"), worker(3, 10, "t")
	prefer := domain.Affinity{Soft: domain.AffinityTerms{WorkloadTypes: []string{"a", "b", "c"}}}
	for _, c := range []struct {
		workers []domain.Worker
		best    domain.WorkerID
		score   int
	}{
		{[]domain.Worker{none}, "w3", 50},
		{[]domain.Worker{none, some}, "w1", 55},
		{[]domain.Worker{none, some, most}, "w2", 60},
	} {
		as := plan(placement.Snapshot{Workers: c.workers}, 1, lane("x", "t", prefer, 1))
		require.Len(t, as, 1)
		assert.Equal(t, c.best, as[0].WorkerID)
		assert.Equal(t, c.score, as[0].Score)
	}
}

func TestPlan_EqualScores_TakesTheLeastUtilisedWorker(t *testing.T) {
	s := placement.Snapshot{Workers: []domain.Worker{worker(1, 2, "t"), worker(2, 8, "t")}}
	perWorker := map[domain.WorkerID]int{}
	for _, a := range plan(s, 10, lane("a", "t", domain.Affinity{}, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)) {
		perWorker[a.WorkerID]++
	}
	assert.Equal(t, map[domain.WorkerID]int{"w1": 2, "w2": 8}, perWorker)
}

func TestPlan_AntiAffinity_HoldsBothWaysAndWithinABatch(t *testing.T) {
	avoid := domain.Affinity{Anti: domain.AffinityTerms{WorkloadTypes: []string{"noisy"}}}
	both := worker(1, 10, "quiet", "noisy")
	s := placement.Snapshot{Workers: []domain.Worker{both}}
	as := plan(s, 10, lane("a", "quiet", avoid, 1), lane("a", "noisy", domain.Affinity{}, 2))
	assert.Equal(t, []string{"a-quiet-10-000"}, ids(as), "noisy is kept away from quiet")
	as = plan(s, 10, lane("a", "quiet", avoid, 2), lane("b", "noisy", domain.Affinity{}, 1))
	assert.Equal(t, []string{"b-noisy-10-000"}, ids(as), "quiet keeps away from noisy")
	quiet := domain.Lane{CustomerID: "a", Type: "quiet", Affinity: avoid}
	s.Occupancy = []domain.Occupancy{{SessionID: "s1", Lane: quiet, Count: 1}}
	assert.Empty(t, plan(s, 10, lane("a", "noisy", domain.Affinity{}, 1)),
		"a running workload keeps others of its customer away")
}

func TestPlan_AntiAffinityOfAnotherCustomer_BindsOnlyIfTheOperatorAllowsIt(t *testing.T) {
	avoid := domain.Affinity{Anti: domain.AffinityTerms{WorkloadTypes: []string{"work", "sleep"}}}
	holding := domain.Lane{CustomerID: "greedy", Type: "sleep", Affinity: avoid}
	s := placement.Snapshot{
		Workers:   []domain.Worker{worker(1, 10, "sleep", "work"), worker(2, 10, "sleep", "work")},
		Occupancy: []domain.Occupancy{{SessionID: "s1", Lane: holding, Count: 1}, {SessionID: "s2", Lane: holding, Count: 1}},
	}
	other, own := lane("other", "work", domain.Affinity{}, 1), lane("greedy", "work", domain.Affinity{}, 1)
	assert.Len(t, plan(s, 10, other), 1, "a sleep on each worker keeps no other customer away")
	assert.Empty(t, plan(s, 10, own), "within the customer the rule holds both ways")
	e := placement.NewExplainer(s)
	assert.Equal(t, placement.ReasonConflict, e.Explain(&own.Lane)[0].Code)
	assert.Equal(t, placement.ReasonNext, e.Explain(&other.Lane)[0].Code,
		"two customers' lanes of one shape are told apart")

	s.AntiAcross = []string{"sleep"}
	assert.Empty(t, plan(s, 10, other), "the operator allows it")
	e = placement.NewExplainer(s)
	assert.Equal(t, placement.ReasonConflict, e.Explain(&other.Lane)[0].Code)
	s.Occupancy = nil
	batch := []domain.LaneHeads{lane("greedy", "sleep", avoid, 1, 2), lane("other", "work", domain.Affinity{}, 3)}
	assert.Equal(t, []string{"greedy-sleep-10-000", "greedy-sleep-10-001"}, ids(plan(s, 10, batch...)),
		"workloads placed in the same batch count too")
	s.AntiAcross = []string{"work"}
	assert.Len(t, plan(s, 10, batch...), 3, "only the type that states the rule can be allowed to bind all")
}

func TestPlan_ExhaustedLane_ContinuesWithoutLossOrRepetition(t *testing.T) {
	all := lane("a", "t", domain.Affinity{}, 1, 2, 3, 4, 5, 6)
	heads := func(n int) domain.LaneHeads {
		l := all
		l.Heads, l.More = all.Heads[:n], n < len(all.Heads)
		return l
	}
	p := placement.NewPlanner(placement.Snapshot{Workers: []domain.Worker{worker(1, 10, "t")}})
	p.Add(heads(2))
	first, exhausted := p.Plan(10)
	require.Equal(t, all.Lane.ID, exhausted)
	p.Add(heads(6))
	rest, exhausted := p.Plan(10)
	require.Empty(t, exhausted)
	want := []string{"a-t-10-000", "a-t-10-001", "a-t-10-002", "a-t-10-003", "a-t-10-004", "a-t-10-005"}
	assert.Equal(t, want, append(ids(first), ids(rest)...))
}

var tiers = domain.Tiers()

// world is a random snapshot with lanes.
type world struct {
	placement.Snapshot
	lanes []domain.LaneHeads
}

func drawWorld(t *rapid.T) world {
	types := []string{"a", "b", "c"}
	tags := []map[string]string{nil, {"gpu": "yes"}, {"region": "eu"}, {"gpu": "yes", "region": "eu"}}
	terms := rapid.Custom(func(t *rapid.T) domain.AffinityTerms {
		var a domain.AffinityTerms
		a.WorkerTags = rapid.SampledFrom(tags[:3]).Draw(t, "tags")
		if rapid.Bool().Draw(t, "types?") {
			a.WorkloadTypes = []string{rapid.SampledFrom(types).Draw(t, "type")}
		}
		if rapid.IntRange(0, 5).Draw(t, "id?") == 0 {
			a.WorkerID = domain.WorkerID(fmt.Sprintf("w%d", rapid.IntRange(0, 4).Draw(t, "id")))
		}
		return a
	})
	var w world
	w.Customers = map[domain.CustomerID]domain.Entitlements{}
	w.Policy = rapid.SampledFrom([]domain.Policy{domain.PolicyFIFO, domain.PolicyPriority}).Draw(t, "policy")
	w.AntiAcross = rapid.SliceOfDistinct(rapid.SampledFrom(types), rapid.ID[string]).Draw(t, "across")
	for n := range rapid.IntRange(0, 5).Draw(t, "workers") {
		offers := rapid.SliceOfDistinct(rapid.SampledFrom(types), rapid.ID[string]).Draw(t, "offers")
		wk := worker(n, rapid.IntRange(1, 4).Draw(t, "slots"), offers...)
		wk.Tags = rapid.SampledFrom(tags).Draw(t, "worker tags")
		wk.Status = rapid.SampledFrom([]domain.WorkerStatus{"HEALTHY", "HEALTHY", "DRAINING", "DEAD"}).Draw(t, "status")
		wk.Resources.MemoryMB = rapid.SampledFrom([]int{0, 300, 1024}).Draw(t, "memory")
		for d := range rapid.IntRange(0, 3).Draw(t, "devices") {
			wk.Resources.Devices = append(wk.Resources.Devices, domain.Device{
				ID: fmt.Sprint(d), Model: rapid.SampledFrom([]string{"A", "B"}).Draw(t, "model"),
			})
		}
		w.Workers = append(w.Workers, wk)
	}
	for c := range rapid.IntRange(1, 4).Draw(t, "customers") {
		id := fmt.Sprintf("c%d", c)
		w.Customers[domain.CustomerID(id)] = domain.Entitlements{
			Tier: rapid.SampledFrom(tiers).Draw(t, "tier"), MaxConcurrent: rapid.IntRange(0, 6).Draw(t, "limit"),
		}
		for k := range rapid.IntRange(0, 3).Draw(t, "lanes") {
			a := domain.Affinity{Hard: terms.Draw(t, "hard"), Soft: terms.Draw(t, "soft"), Anti: terms.Draw(t, "anti")}
			if rapid.Bool().Draw(t, "anywhere") {
				a = domain.Affinity{}
			}
			ages := rapid.SliceOfN(rapid.IntRange(0, 50), 0, 6).Draw(t, "ages")
			l := laneAt(rapid.IntRange(0, 20).Draw(t, "priority"), id, types[k], a, ages...)
			l.Lane.Resources.MemoryMB = rapid.SampledFrom([]int{0, 400}).Draw(t, "needs")
			l.Lane.Resources.GPUs = rapid.SampledFrom([]domain.Milli{0, 0, 300, 500, 1000, 2000}).Draw(t, "gpus")
			if l.Lane.Resources.GPUs > 0 && rapid.Bool().Draw(t, "models?") {
				l.Lane.Resources.GPUModels = []string{"A"}
			}
			w.Mix = append(w.Mix, domain.MixClass{Resources: l.Lane.Resources, Weight: float64(len(ages))})
			// Lanes that need different resources have different shapes, and the id names the
			// shape.
			r := l.Lane.Resources
			shape := fmt.Sprintf("#needs%d,%d%v@", r.MemoryMB, r.GPUs, r.GPUModels)
			l.Lane.ID = domain.LaneID(strings.Replace(string(l.Lane.ID), "@", shape, 1))
			if len(l.Heads) > 0 {
				w.lanes = append(w.lanes, l)
			}
		}
	}
	return w
}

// fits states the rules of placement a second time, independently of the planner. It reports
// whether the worker, which holds these lanes' workloads, may take one more of lane l.
func fits(w domain.Worker, l domain.Lane, held []domain.Lane, across []string) bool {
	has := func(tags map[string]string) bool {
		for k, v := range tags {
			if w.Tags[k] != v {
				return false
			}
		}
		return true
	}
	offers := func(t string) bool {
		for _, c := range w.Capabilities {
			if c == t {
				return true
			}
		}
		return false
	}
	a := l.Affinity
	if w.Status != domain.WorkerHealthy || !offers(l.Type) || len(held) >= w.Slots || !has(a.Hard.WorkerTags) ||
		a.Hard.WorkerID != "" && a.Hard.WorkerID != w.ID || a.Anti.WorkerID == w.ID ||
		len(a.Anti.WorkerTags) > 0 && has(a.Anti.WorkerTags) {
		return false
	}
	for _, t := range a.Hard.WorkloadTypes {
		if !offers(t) {
			return false
		}
	}
	memory := l.Resources.MemoryMB
	for _, h := range held {
		memory += h.Resources.MemoryMB
		for _, t := range a.Anti.WorkloadTypes {
			if t == h.Type {
				return false
			}
		}
		for _, t := range h.Affinity.Anti.WorkloadTypes {
			if t == l.Type && (h.CustomerID == l.CustomerID || slices.Contains(across, h.Type)) {
				return false
			}
		}
	}
	return w.Resources.MemoryMB == 0 || l.Resources.MemoryMB == 0 || memory <= w.Resources.MemoryMB
}

// devicesFit states the rules of devices a second time. It reports whether a workload of lane l may
// have some of the worker's devices, of which these shares are held: those that are given, or any.
func devicesFit(w domain.Worker, l domain.Lane, held map[string]domain.Milli, given []domain.DeviceShare) bool {
	need := l.Resources.GPUs
	share, want := min(need, 1000), max(int(need/1000), min(int(need), 1))
	able := 0
	for _, d := range w.Resources.Devices {
		allowed := len(l.Resources.GPUModels) == 0 || slices.Contains(l.Resources.GPUModels, d.Model)
		isGiven := given == nil || slices.Contains(given, domain.DeviceShare{ID: d.ID, Share: share})
		if allowed && isGiven && held[d.ID]+share <= 1000 {
			able++
		}
	}
	return able >= want && (given == nil || len(given) == want)
}

func TestPlan_RandomWorld_KeepsEveryRuleAndLeavesNoPlaceableWorkloadWaiting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		as := plan(w.Snapshot, 1000, w.lanes...)
		require.Equal(t, as, plan(w.Snapshot, 1000, w.lanes...), "deterministic, and the snapshot is not changed")
		held := map[domain.WorkerID][]domain.Lane{}
		shares := map[domain.WorkerID]map[string]domain.Milli{}
		running := map[domain.CustomerID]int{}
		placed := map[domain.WorkloadID]bool{}
		laneOf := map[domain.LaneID]domain.Lane{}
		for _, l := range w.lanes {
			laneOf[l.Lane.ID] = l.Lane
		}
		byID := map[domain.WorkerID]domain.Worker{}
		for _, wk := range w.Workers {
			byID[wk.ID] = wk
		}
		for _, a := range as {
			l := laneOf[a.Lane]
			wk, beside := byID[a.WorkerID], held[a.WorkerID]
			require.True(t, fits(wk, l, beside, w.AntiAcross), "%+v on %+v beside %+v", l, wk, beside)
			require.True(t, devicesFit(wk, l, shares[a.WorkerID], append([]domain.DeviceShare{}, a.Devices...)),
				"%+v gets %v, held are %v", l.Resources, a.Devices, shares[a.WorkerID])
			if shares[a.WorkerID] == nil {
				shares[a.WorkerID] = map[string]domain.Milli{}
			}
			for _, d := range a.Devices {
				shares[a.WorkerID][d.ID] += d.Share
			}
			require.False(t, placed[a.WorkloadID], "placed twice")
			held[a.WorkerID] = append(held[a.WorkerID], l)
			placed[a.WorkloadID] = true
			running[l.CustomerID]++
			require.LessOrEqual(t, running[l.CustomerID], w.Customers[l.CustomerID].MaxConcurrent, "over the customer's limit")
		}
		for _, l := range w.lanes {
			for i := 1; i < len(l.Heads); i++ {
				require.False(t, placed[l.Heads[i].ID] && !placed[l.Heads[i-1].ID], "overtaken within its lane")
			}
			for _, c := range l.Heads {
				if placed[c.ID] || running[l.Lane.CustomerID] >= w.Customers[l.Lane.CustomerID].MaxConcurrent {
					continue
				}
				if l.Lane.Resources.GPUs > 0 && slices.ContainsFunc(w.lanes, func(o domain.LaneHeads) bool {
					return o.Lane.ID != l.Lane.ID && o.Lane.Resources.GPUs >= domain.One
				}) {
					continue // devices may be reserved for those
				}
				for _, wk := range w.Workers {
					room := fits(wk, l.Lane, held[wk.ID], w.AntiAcross) && devicesFit(wk, l.Lane, shares[wk.ID], nil)
					require.False(t, room, "%s waits although %s has room for it", c.ID, wk.ID)
				}
			}
		}
	})
}

// The first 10*m placements contain the m workloads that have waited longest, whatever their
// priority. With the fair policy this holds within each customer.
func TestPlan_LongestWait_IsPlacedWithinItsBound(t *testing.T) {
	policies := []domain.Policy{domain.PolicyFIFO, domain.PolicyPriority, domain.PolicyFair}
	rapid.Check(t, func(t *rapid.T) {
		var lanes []domain.LaneHeads
		s := placement.Snapshot{
			Workers: []domain.Worker{worker(1, 10_000, "t")}, Customers: map[domain.CustomerID]domain.Entitlements{},
			Policy: rapid.SampledFrom(policies).Draw(t, "policy"), Shares: placement.NewFairShare(),
		}
		var all []waiting
		for n := range rapid.IntRange(1, 4).Draw(t, "customers") {
			id := fmt.Sprint("c", n)
			tier := rapid.SampledFrom(tiers).Draw(t, "tier")
			s.Customers[domain.CustomerID(id)] = domain.Entitlements{Tier: tier, MaxConcurrent: 10_000}
			ages := rapid.SliceOfN(rapid.IntRange(0, 100_000), 1, 40).Draw(t, "ages")
			l := laneAt(rapid.IntRange(0, 1000).Draw(t, "priority"), id, "t", domain.Affinity{}, ages...)
			for _, h := range l.Heads {
				all = append(all, waiting{h.ID, h.QueueAt})
			}
			lanes = append(lanes, l)
		}
		s.Shares.Settle(epoch0, nil, s.Customers)
		placed := plan(s, len(all), lanes...)
		if s.Policy != domain.PolicyFair {
			requireLongestFirst(t, all, ids(placed))
			return
		}
		for id := range s.Customers {
			own := slices.DeleteFunc(slices.Clone(placed), func(a placement.Decision) bool { return a.CustomerID != id })
			others := func(w waiting) bool { return !strings.HasPrefix(string(w.id), string(id)+"-") }
			requireLongestFirst(t, slices.DeleteFunc(slices.Clone(all), others), ids(own))
		}
	})
}

type waiting struct {
	id domain.WorkloadID
	at time.Time
}

// requireLongestFirst requires that every tenth placement went to the longest wait.
func requireLongestFirst(t *rapid.T, all []waiting, placed []string) {
	slices.SortFunc(all, func(a, b waiting) int { return a.at.Compare(b.at) })
	for m := 1; m*placement.LongestWaitShare <= len(placed); m++ {
		for _, w := range all[:m] {
			if w.at.Before(all[m].at) { // among workloads of the same age any one will do
				require.Contains(t, placed[:m*placement.LongestWaitShare], string(w.id))
			}
		}
	}
}

func BenchmarkPlan10000On500(b *testing.B) {
	benchmarkPlan(b, domain.Offer{}, domain.Resources{})
}

func BenchmarkPlan10000On500_ResourcesStated(b *testing.B) {
	offer := domain.Offer{Amounts: domain.Amounts{CPUCores: 64_000, MemoryMB: 256 << 10, DiskMB: 1 << 20}}
	benchmarkPlan(b, offer, domain.Resources{Amounts: domain.DefaultLimits()})
}

// benchmarkPlan plans 10,000 workloads, which need this, on 500 workers, which have that.
func benchmarkPlan(b *testing.B, offer domain.Offer, need domain.Resources) {
	b.Helper()
	var s placement.Snapshot
	for n := range 500 {
		w := worker(n, 20, "a", "b")
		w.Tags = map[string]string{"zone": fmt.Sprint(n % 5)}
		w.Resources = offer
		s.Workers = append(s.Workers, w)
	}
	var lanes []domain.LaneHeads
	for c := range 100 {
		var ages []int
		for i := range 100 {
			ages = append(ages, i*100+c)
		}
		var a domain.Affinity
		switch c % 4 {
		case 1:
			a.Hard.WorkerTags = map[string]string{"zone": fmt.Sprint(c % 5)}
		case 2:
			a.Soft.WorkerTags = map[string]string{"zone": fmt.Sprint(c % 5)}
		case 3:
			a.Anti.WorkerTags = map[string]string{"zone": fmt.Sprint(c % 5)}
		}
		l := lane(fmt.Sprintf("c%d", c), "a", a, ages...)
		l.Lane.Resources = need
		lanes = append(lanes, l)
	}
	b.ReportAllocs()
	placed := 0
	for b.Loop() {
		placed = len(plan(s, 10_000, lanes...))
	}
	b.ReportMetric(float64(placed)*float64(b.N)/b.Elapsed().Seconds(), "placements/s")
}
