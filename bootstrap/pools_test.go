package bootstrap

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func TestParsePools_OfASetting_ReadsWhatWorkersState(t *testing.T) {
	pools, err := ParsePools(`[{"name":"cpu","types":["render","exec:ffmpeg"]},
		{"name":"gpu","types":["train"],"tags":{"zone":"a"},"slots":4,"cpu":7.5,"memory_mb":65536,"disk_mb":1000,
		 "devices":"A100:2","resources":"licence=3","min_workers":1,"max_workers":8,"target_percent":100}]`)
	require.NoError(t, err)
	assert.Equal(t, []domain.Pool{
		{Name: "cpu", Types: []string{"render", "exec:ffmpeg"}, Slots: 10, MaxWorkers: 500, TargetPercent: 70},
		{
			Name: "gpu", Types: []string{"train"}, Tags: map[string]string{"zone": "a"}, Slots: 4,
			Resources: domain.Offer{
				Amounts: domain.Amounts{CPUCores: 7500, MemoryMB: 65536, DiskMB: 1000},
				Devices: []domain.Device{{ID: "0", Model: "A100"}, {ID: "1", Model: "A100"}},
				Custom:  map[string]int64{"licence": 3},
			},
			MinWorkers: 1, MaxWorkers: 8, TargetPercent: 100,
		},
	}, pools)
	slots, err := strconv.Atoi(tagOf("WorkerSlots", "envDefault"))
	require.NoError(t, err)
	assert.Equal(t, defaultSlots, slots, "a pool and a worker that state no slots agree")
}

func TestPools_WhenInvalid_AreRefusedAtTheStart(t *testing.T) {
	for value, says := range map[string]string{
		`{}`:                                    "JSON list",
		`[] []`:                                 "follows the list",
		`[1]`:                                   "pool 1",
		`[{"name":"a","types":["t"],"slot":3}]`: `unknown field "slot"`,
		`[{"name":"a","types":["t"],"devices":"A100"}]`:           "devices",
		`[{"name":"a","types":["t"],"cpu":-1}]`:                   "cpu",
		`[{"name":"a","types":["t"],"memory_mb":1.5}]`:            "memory_mb",
		`[{"name":"a","types":["t"],"resources":"x"}]`:            "resources",
		`[{"name":"a","types":["t"],"target_percent":0}]`:         "target_percent",
		`[{"name":"a","types":["t"],"max_workers":0}]`:            "max_workers",
		`[{"name":"a","types":["exec:../x"]}]`:                    "describes no worker",
		`[{"name":"a","types":["t"]},{"name":"a","types":["u"]}]`: "once",
	} {
		found := problems(RoleDev, "NIYANTA_POOLS="+value)
		assert.Contains(t, found, "NIYANTA_POOLS:", value)
		assert.Contains(t, found, says, value)
	}
}

const testPools = `[{"name":"any","types":["sleep"],"min_workers":0,"max_workers":9},
	{"name":"gpu","types":["train"],"slots":2,"devices":"A100:2","target_percent":100}]`

func TestScaling_WithoutWorkers_CountsOnlyWhatAPoolCouldRunNow(t *testing.T) {
	a := newAPI(t, 0, func(c *Config) { c.Pools = testPools })
	scaler := a.operatorKey(map[string]any{"name": "keda", "role": "scaler"}).field("key").(string)
	read := func() answer {
		ans := a.call("GET", "/v1/scaling", scaler, nil)
		require.Equal(t, 200, ans.status, ans.body)
		return ans
	}
	figures := func(ans answer, pool string) [5]any {
		var out [5]any
		for i, name := range []string{"waiting", "running", "capacity", "workers", "desired_workers"} {
			out[i] = ans.field("pools." + pool + "." + name)
		}
		return out
	}
	assert.Equal(t, [5]any{0.0, 0.0, 0.0, 0.0, 0.0}, figures(read(), "any"))

	other := a.otherCustomer() // of the free tier, which runs 10 at once
	require.Equal(t, 200, a.call("PATCH", "/v1/admin/customers/cust_other", a.dev.AdminKey,
		map[string]any{"limits": map[string]any{"burst": 100}}).status)
	for range 14 {
		require.Equal(t, 202, a.call("POST", "/v1/workloads", other, sleepBody(1)).status)
	}
	a.submit(map[string]any{"workload_type": "invented", "input_params": map[string]any{}})
	later := sleepBody(1)
	later["run_at"] = "2099-01-01T00:00:00Z"
	a.submit(later)
	pinned := sleepBody(1)
	pinned["affinity_rules"] = map[string]any{"hard_affinity": map[string]any{"worker_tags": map[string]any{"zone": "a"}}}
	a.submit(pinned)
	for range 3 {
		a.submit(map[string]any{
			"workload_type": "train", "input_params": map[string]any{}, "resources": map[string]any{"gpus": 2},
		})
	}
	ans := read()
	assert.Equal(t, [5]any{10.0, 0.0, 0.0, 0.0, 2.0}, figures(ans, "any"),
		"what is over the customer's limit, delayed, invented, or wants other workers is left out")
	assert.Equal(t, [5]any{3.0, 0.0, 0.0, 0.0, 3.0}, figures(ans, "gpu"))
	assert.GreaterOrEqual(t, ans.field("pools.any.oldest_wait_seconds"), 0.0)

	require.Equal(t, 200, a.call("POST", "/v1/admin/customers/cust_other/suspend", a.dev.AdminKey, nil).status)
	require.Eventually(t, func() bool { return figures(read(), "any") == [5]any{0.0, 0.0, 0.0, 0.0, 0.0} },
		30*time.Second, 10*time.Millisecond, "a suspended customer needs no workers")
}

func TestScaling_OfAPoolWithWorkers_CountsWhatTheyRun(t *testing.T) {
	a := newAPI(t, 2, func(c *Config) { c.Pools, c.WorkerSlots = testPools, 10 })
	for range 15 {
		a.submit(sleepBody(60_000))
	}
	require.Eventually(t, func() bool {
		ans := a.call("GET", "/v1/scaling", a.dev.AdminKey, nil)
		return ans.field("pools.any.running") == 15.0 && ans.field("pools.any.waiting") == 0.0 &&
			ans.field("pools.any.capacity") == 20.0 && ans.field("pools.any.workers") == 2.0 &&
			ans.field("pools.any.desired_workers") == 3.0
	}, 30*time.Second, 10*time.Millisecond)
}

func TestScaling_WithoutPools_IsEmpty(t *testing.T) {
	a := newAPI(t, 0)
	ans := a.call("GET", "/v1/scaling", a.dev.AdminKey, nil)
	require.Equal(t, 200, ans.status)
	assert.Equal(t, map[string]any{}, ans.field("pools"))
}

func TestWorkers_ForAScaler_ShowHowMuchAndNotWhatTheyRun(t *testing.T) {
	a := newAPI(t, 1)
	scaler := a.operatorKey(map[string]any{"name": "aws", "role": "scaler"}).field("key").(string)
	id := a.submit(map[string]any{"workload_type": "sleep", "input_params": map[string]any{"duration_ms": 60_000}})
	list := func(key string) map[string]any {
		ans := a.call("GET", "/v1/admin/workers", key, nil)
		require.Equal(t, 200, ans.status, ans.body)
		return ans.field("workers").([]any)[0].(map[string]any)
	}
	require.Eventually(t, func() bool { return list(a.dev.AdminKey)["capacity_used"] == 1.0 }, 10*time.Second,
		10*time.Millisecond)
	assert.Equal(t, []any{id}, list(a.dev.AdminKey)["running_workloads"])
	seen := list(scaler)
	assert.InDelta(t, 1.0, seen["capacity_used"], 0)
	assert.Empty(t, seen["running_workloads"])
	assert.Empty(t, seen["ending_runs"])
	assert.NotContains(t, fmt.Sprint(seen), id)
	a.refused(a.call("GET", "/v1/admin/workers/"+seen["worker_id"].(string), scaler, nil), 403, "FORBIDDEN", "")
	a.refused(a.call("POST", "/v1/admin/workers/"+seen["worker_id"].(string)+"/drain", scaler, nil), 403, "FORBIDDEN", "")
}
