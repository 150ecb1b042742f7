package domain_test

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
)

func poolOf(name string, types ...string) domain.Pool {
	return domain.Pool{Name: name, Types: types, Slots: 10, MaxWorkers: 500, TargetPercent: 70}
}

func TestPool_DesiredWorkers_CountsWhatRunsAndWhatMustStart(t *testing.T) {
	whole := func(p *domain.Pool) { p.TargetPercent = 100 }
	atMost := func(n int) func(*domain.Pool) { return func(p *domain.Pool) { p.MaxWorkers = n } }
	for name, c := range map[string]struct {
		change  func(*domain.Pool)
		demands []domain.PoolDemand
		want    int
	}{
		"nothing":                           {nil, nil, 0},
		"nothing, but a least number":       {func(p *domain.Pool) { p.MinWorkers = 3 }, nil, 3},
		"one waits":                         {nil, []domain.PoolDemand{{Fit: 10, Waiting: 1}}, 1},
		"70 run":                            {nil, []domain.PoolDemand{{Fit: 10, Running: 70}}, 10},
		"71 run":                            {nil, []domain.PoolDemand{{Fit: 10, Running: 71}}, 11},
		"some run, others wait":             {nil, []domain.PoolDemand{{Fit: 10, Running: 35}, {Fit: 10, Waiting: 35}}, 10},
		"large ones, two fit into a worker": {nil, []domain.PoolDemand{{Fit: 2, Running: 7, Waiting: 7}}, 10},
		"whole workers may be used":         {whole, []domain.PoolDemand{{Fit: 10, Running: 70}}, 7},
		"more than the bound":               {atMost(20), []domain.PoolDemand{{Fit: 1, Waiting: 900}}, 20},
		"the bound is below what runs":      {atMost(2), []domain.PoolDemand{{Fit: 10, Running: 45, Waiting: 9}}, 5},
		"thirds make a whole":               {whole, slices.Repeat([]domain.PoolDemand{{Fit: 3, Running: 1}}, 3), 1},
		// 700 runs of 30 s: a slot starts the eleventh after 300 s, so 64 slots are enough.
		"short ones take turns within the objective": {nil, []domain.PoolDemand{
			{Fit: 10, Waiting: 700, Objective: 5 * time.Minute, Duration: 30 * time.Second}}, 10},
		"the objective is nearer": {nil, []domain.PoolDemand{
			{Fit: 10, Waiting: 700, Waited: 4 * time.Minute, Objective: 5 * time.Minute, Duration: 30 * time.Second}}, 34},
		"the objective is missed": {nil, []domain.PoolDemand{
			{Fit: 10, Waiting: 700, Waited: 6 * time.Minute, Objective: 5 * time.Minute, Duration: 30 * time.Second}}, 100},
		"nobody knows how long they run": {nil, []domain.PoolDemand{
			{Fit: 10, Waiting: 700, Objective: 5 * time.Minute}}, 100},
		"long ones": {nil, []domain.PoolDemand{
			{Fit: 10, Waiting: 700, Objective: 15 * time.Second, Duration: time.Minute}}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			p := poolOf("p", "t")
			if c.change != nil {
				c.change(&p)
			}
			assert.Equal(t, c.want, p.DesiredWorkers(c.demands))
		})
	}
}

func TestTier_WaitObjective_IsShorterForHigherTiers(t *testing.T) {
	want := []time.Duration{15 * time.Minute, 5 * time.Minute, time.Minute, 15 * time.Second}
	for i, tier := range domain.Tiers() {
		assert.Equal(t, want[i], tier.WaitObjective())
	}
}

func drawDemand(t *rapid.T) domain.PoolDemand {
	return domain.PoolDemand{
		Fit: rapid.IntRange(1, 20).Draw(t, "fit"), Running: rapid.IntRange(0, 500).Draw(t, "running"),
		Waiting:   rapid.IntRange(0, domain.BacklogLimit).Draw(t, "waiting"),
		Waited:    time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "waited")),
		Objective: rapid.SampledFrom(domain.Tiers()).Draw(t, "tier").WaitObjective(),
		Duration:  time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "duration")),
	}
}

func drawPool(t *rapid.T) domain.Pool {
	p := poolOf("p", "t")
	p.MaxWorkers = rapid.IntRange(1, 1000).Draw(t, "most")
	p.MinWorkers = rapid.IntRange(0, p.MaxWorkers).Draw(t, "least")
	p.TargetPercent = rapid.IntRange(1, 100).Draw(t, "target")
	return p
}

func TestPool_DesiredWorkers_NeverBelowWhatRunsNeeds_NorOutOfBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPool(t)
		demands := rapid.SliceOfN(rapid.Custom(drawDemand), 0, 6).Draw(t, "demands")
		// In hundredths of a percent of a worker, so that nothing is rounded.
		const lcm = 232792560 // of 1 to 20
		needs := 0
		for _, d := range demands {
			needs += d.Running * (lcm / d.Fit)
		}
		needs = (needs + lcm - 1) / lcm
		got := p.DesiredWorkers(demands)
		if got < needs {
			t.Fatalf("%d workers, but what runs needs %d", got, needs)
		}
		if got < p.MinWorkers || got > max(p.MaxWorkers, needs) {
			t.Fatalf("%d workers, bounds %d and %d, what runs needs %d", got, p.MinWorkers, p.MaxWorkers, needs)
		}
		if len(demands) == 0 && got != p.MinWorkers {
			t.Fatalf("%d workers for nothing", got)
		}
	})
}

func TestPool_DesiredWorkers_NeverFallsWhenThereIsMoreToDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPool(t)
		demands := rapid.SliceOfN(rapid.Custom(drawDemand), 1, 6).Draw(t, "demands")
		before := p.DesiredWorkers(demands)
		d := &demands[rapid.IntRange(0, len(demands)-1).Draw(t, "which")]
		more := rapid.IntRange(0, 1000).Draw(t, "more")
		what := rapid.SampledFrom([]string{"waiting", "running", "waited", "objective", "fit", "starts"}).Draw(t, "what")
		switch what {
		case "waiting":
			d.Waiting += more
		case "running":
			d.Running += more
		case "waited":
			d.Waited += time.Duration(more) * time.Second
		case "objective":
			d.Objective = max(0, d.Objective-time.Duration(more)*time.Second)
		case "fit":
			d.Fit = max(1, d.Fit-more)
		case "starts": // what waits and starts is not needed less
			n := min(more, d.Waiting)
			d.Waiting, d.Running = d.Waiting-n, d.Running+n
		}
		if after := p.DesiredWorkers(demands); after < before {
			t.Fatalf("more %s: %d workers instead of %d", what, after, before)
		}
	})
}

// load is a fleet of two pools with work of each kind.
func load() ([]domain.Pool, *domain.FleetLoad) {
	cpu, gpu := poolOf("cpu", "render", "exec", "exec:ffmpeg"), poolOf("gpu", "render", "train")
	gpu.Slots, gpu.Tags = 4, map[string]string{"zone": "a"}
	gpu.Resources = domain.Offer{Devices: []domain.Device{{ID: "0"}, {ID: "1"}}}
	lane := func(customer domain.CustomerID, typ string, waiting int, change func(*domain.Spec)) domain.LaneBacklog {
		s := domain.Spec{CustomerID: customer, Type: typ}
		if change != nil {
			change(&s)
		}
		l := laneBacklog(customer, typ, waiting, 0, time.Minute)
		l.Lane = domain.NewLane(&s)
		return l
	}
	f := &domain.FleetLoad{
		Now: backlogNow,
		Entitlements: map[domain.CustomerID]domain.Entitlements{
			"acme": {Tier: domain.TierStandard}, "rival": {Tier: domain.TierEnterprise},
		},
		Durations: map[string]time.Duration{"render": 30 * time.Second},
		Lanes: []domain.LaneBacklog{
			lane("acme", "render", 90, nil), lane("rival", "render", 4, nil),
			lane("acme", "train", 3, func(s *domain.Spec) { s.Run.Resources.GPUs = domain.One }),
			lane("acme", "train", 50, func(s *domain.Spec) { s.Run.Resources.GPUs = 3 * domain.One }),
			lane("acme", "invented", 1000, nil),
			lane("acme", "exec", 7, func(s *domain.Spec) { s.Input = `{"command":["ffmpeg"]}` }),
			lane("acme", "exec", 900, func(s *domain.Spec) { s.Input = `{"command":["bash"]}` }),
			lane("acme", "render", 800, func(s *domain.Spec) { s.Affinity.Hard.WorkerID = "w-7" }),
			lane("acme", "render", 2, func(s *domain.Spec) { s.Affinity.Hard.WorkerTags = map[string]string{"zone": "a"} }),
		},
	}
	return []domain.Pool{cpu, gpu}, f
}

func TestScalePools_WithoutWorkers_CountsWhatTheirWorkersCouldRun(t *testing.T) {
	pools, f := load()
	got := domain.ScalePools(pools, f)
	// cpu: 90 renders in 9 turns are 10 slots, 4 overdue ones 4, 7 programs 7: 2.1 workers at 70 %.
	// gpu: 3 trainings, of which two fit into a worker, and 2 renders of its zone, in one slot.
	assert.Equal(t, []domain.PoolScale{
		{Name: "cpu", Waiting: 101, DesiredWorkers: 3, OldestWait: time.Minute},
		{Name: "gpu", Waiting: 5, DesiredWorkers: 3, OldestWait: time.Minute},
	}, got)
}

func TestScalePools_OfWhatMayNotRunBesideItsLike_CountsAWorkerForEach(t *testing.T) {
	pools, f := load()
	s := domain.Spec{CustomerID: "acme", Type: "render"}
	s.Affinity.Anti.WorkloadTypes = []string{"render"}
	f.Lanes = f.Lanes[:1]
	f.Lanes[0].Lane, f.Lanes[0].Waiting, f.Durations = domain.NewLane(&s), 7, nil
	assert.Equal(t, 10, domain.ScalePools(pools, f)[0].DesiredWorkers, "7 at 70 %")
}

func TestScalePools_WithWorkers_CountsWhatTheyRun(t *testing.T) {
	pools, f := load()
	f.Lanes = nil
	worker := func(id string, status domain.WorkerStatus, tags map[string]string, types ...string) domain.Worker {
		return domain.Worker{
			ID: domain.WorkerID(id), SessionID: domain.SessionID(id), Status: status, Slots: 8, Tags: tags, Capabilities: types,
		}
	}
	all := []string{"render", "exec", "exec:ffmpeg", "train"}
	f.Workers = []domain.Worker{
		worker("plain", domain.WorkerHealthy, nil, all...),
		worker("zone a", domain.WorkerHealthy, map[string]string{"zone": "a"}, "train", "render"),
		worker("draining", domain.WorkerDraining, nil, all...),
		worker("dead", domain.WorkerDead, nil, all...),
		worker("other", domain.WorkerHealthy, nil, "render"),
	}
	for i, w := range f.Workers {
		s := domain.Spec{CustomerID: "acme", Type: "render"}
		f.Occupancy = append(f.Occupancy, domain.Occupancy{
			SessionID: w.SessionID, Lane: domain.NewLane(&s), Count: 3 + i, Ending: 1,
		})
	}
	// The worker that offers less than any pool, and the dead one, belong to none.
	assert.Equal(t, []domain.PoolScale{
		{Name: "cpu", Running: 4 + 6, Capacity: 8, Workers: 1, DesiredWorkers: 2},
		{Name: "gpu", Running: 5, Capacity: 8, Workers: 1, DesiredWorkers: 2},
	}, domain.ScalePools(pools, f))
}

func TestValidatePools_WhenInvalid_NamesThePool(t *testing.T) {
	require.NoError(t, domain.ValidatePools([]domain.Pool{poolOf("a", "t"), poolOf("b-2", "t", "exec:ffmpeg")}))
	for name, c := range map[string]struct {
		change func(*domain.Pool)
		says   string
	}{
		"no name":          {func(p *domain.Pool) { p.Name = "" }, "lower case"},
		"a bad name":       {func(p *domain.Pool) { p.Name = "A.b" }, `"A.b"`},
		"a long name":      {func(p *domain.Pool) { p.Name = strings.Repeat("a", 64) }, "63"},
		"no types":         {func(p *domain.Pool) { p.Types = nil }, "describes no worker"},
		"no slots":         {func(p *domain.Pool) { p.Slots = 0 }, "slots"},
		"no most":          {func(p *domain.Pool) { p.MaxWorkers = 0 }, "max_workers"},
		"bounds reversed":  {func(p *domain.Pool) { p.MinWorkers = 501 }, "min_workers"},
		"above everything": {func(p *domain.Pool) { p.TargetPercent = 101 }, "target_percent"},
		"a name twice":     {func(p *domain.Pool) { p.Name = "b" }, "once"},
	} {
		t.Run(name, func(t *testing.T) {
			a := poolOf("a", "t")
			c.change(&a)
			err := domain.ValidatePools([]domain.Pool{a, poolOf("b", "t")})
			require.Error(t, err)
			assert.Contains(t, fmt.Sprint(err), c.says)
		})
	}
	many := make([]domain.Pool, domain.PoolsLimit+1)
	for i := range many {
		many[i] = poolOf(fmt.Sprint("p", i), "t")
	}
	require.ErrorContains(t, domain.ValidatePools(many), "at most 50")
}
