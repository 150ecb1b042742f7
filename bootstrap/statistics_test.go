package bootstrap

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The range goes from today to tomorrow, so that it holds if midnight passes during the test.
func statsTarget(by string) string {
	now := time.Now().UTC()
	return fmt.Sprintf("/v1/customer/stats?start_date=%s&end_date=%s&group_by=%s",
		now.AddDate(0, 0, -1).Format(time.DateOnly), now.AddDate(0, 0, 1).Format(time.DateOnly), by)
}

func TestStatistics_ForEachGrouping_CountFinishedWorkloads(t *testing.T) {
	a := newAPI(t, 1)
	done, failed := a.submit(sleepBody(1)), a.submit(map[string]any{
		"workload_type": "exec", "input_params": map[string]any{"command": []string{"sh", "-c", "exit 64"}},
	})
	cancelled := a.submit(map[string]any{"workload_type": "nobodys", "input_params": map[string]any{}})
	require.Equal(t, 200, a.call("POST", "/v1/workloads/"+cancelled+"/cancel", a.dev.CustomerKey, nil).status)
	for id, want := range map[string]string{done: "COMPLETED", failed: "FAILED"} {
		ans := a.call("GET", "/v1/workloads/"+id+"?wait=30s", a.dev.CustomerKey, nil)
		require.Equal(t, want, ans.field("status"), ans.body)
	}
	sum := func(ans answer) []any {
		s := ans.field("summary").(map[string]any)
		return []any{s["total_workloads"], s["completed_workloads"], s["failed_workloads"], s["cancelled_workloads"]}
	}
	for by, list := range map[string]string{"day": "by_day", "hour": "by_hour", "workload_type": "by_workload_type"} {
		for _, key := range []string{a.dev.CustomerKey, a.key("viewer")} {
			ans := a.call("GET", statsTarget(by), key, nil)
			require.Equal(t, 200, ans.status, ans.body)
			assert.Equal(t, []any{3.0, 1.0, 1.0, 1.0}, sum(ans), ans.body)
			assert.Positive(t, ans.field("summary.total_execution_hours"))
			assert.Positive(t, ans.field("summary.total_cpu_seconds"))
			assert.Positive(t, ans.field("summary.peak_memory_mb"))
			for _, other := range []string{"by_day", "by_hour", "by_workload_type"} {
				assert.Equal(t, other == list, ans.field(other) != nil, "%s in %s", other, ans.body)
			}
			n := 0.0
			for _, g := range ans.field(list).([]any) {
				n += g.(map[string]any)["count"].(float64)
			}
			assert.InDelta(t, 3, n, 0, ans.body)
		}
	}
	types := a.call("GET", statsTarget("workload_type"), a.dev.CustomerKey, nil).field("by_workload_type").([]any)
	rates := map[string]any{}
	for _, g := range types {
		rates[g.(map[string]any)["workload_type"].(string)] = g.(map[string]any)["failure_rate"]
	}
	assert.Equal(t, map[string]any{"sleep": 0.0, "exec": 1.0, "nobodys": 0.0}, rates)

	var used []any
	for _, e := range a.call("GET", "/v1/workloads/"+failed+"/audit", a.dev.CustomerKey, nil).field("events").([]any) {
		if cpu, ok := e.(map[string]any)["details"].(map[string]any)["cpu_seconds"]; ok {
			used = append(used, cpu)
		}
	}
	assert.Len(t, used, 1, "of the event that ended the run")

	usage := a.call("GET", "/v1/customer", a.dev.CustomerKey, nil)
	assert.Equal(t, map[string]any{"current_running_workloads": 0.0, "current_queue_depth": 0.0, "workloads_today": 3.0},
		usage.field("usage"))

	other := a.otherCustomer()
	ans := a.call("GET", statsTarget("day"), other, nil)
	assert.Equal(t, []any{0.0, 0.0, 0.0, 0.0}, sum(ans), "another customer sees nothing of it")
	assert.Empty(t, ans.field("by_day"))
}

func TestStatistics_WithAMistake_NameTheParameter(t *testing.T) {
	a := newAPI(t, 0)
	for query, field := range map[string]string{
		"": "start_date", "start_date=2026-03-01": "end_date", "start_date=x&end_date=2026-03-01": "start_date",
		"start_date=2026-03-01&end_date=2026-02-30": "end_date", "start_date=2026-03-02&end_date=2026-03-01": "end_date",
		"start_date=2026-03-01&end_date=2026-03-02&group_by=week": "group_by",
		"start_date=2026-03-01&end_date=2027-03-02":               "end_date",
		"start_date=2026-03-01&end_date=2026-04-01&group_by=hour": "end_date",
		"start_date=1026-03-01&end_date=1026-03-01":               "start_date",
	} {
		a.refused(a.call("GET", "/v1/customer/stats?"+query, a.dev.CustomerKey, nil), 400, "INVALID_INPUT", field)
	}
	for query := range map[string]bool{
		"start_date=2026-03-01&end_date=2027-03-01": true, "start_date=2026-03-01&end_date=2026-03-31&group_by=hour": true,
	} {
		assert.Equal(t, 200, a.call("GET", "/v1/customer/stats?"+query, a.dev.CustomerKey, nil).status, query)
	}
}

// TestStatistics_AsTheAdministratorSeesThem_AreTheCustomers asks for those of a customer as both.
func TestStatistics_AsTheAdministratorSeesThem_AreTheCustomers(t *testing.T) {
	a := newAPI(t, 1)
	for range 2 {
		a.until("/v1/workloads/"+a.submit(sleepBody(1)), "status", "COMPLETED")
	}
	seen := func(customer, by string) answer {
		return a.call("GET", "/v1/admin/customers/"+customer+strings.TrimPrefix(statsTarget(by), "/v1/customer"),
			a.dev.AdminKey, nil)
	}
	for _, by := range []string{"day", "hour", "workload_type"} {
		own := a.call("GET", statsTarget(by), a.dev.CustomerKey, nil)
		require.Equal(t, 200, own.status, own.body)
		require.InDelta(t, 2, own.field("summary").(map[string]any)["total_workloads"], 0)
		all := seen(string(DevCustomer), by)
		require.Equal(t, 200, all.status, all.body)
		assert.JSONEq(t, own.body, all.body)
	}
	other := a.call("POST", "/v1/admin/customers", a.dev.AdminKey, map[string]any{"name": "O", "tier": "free"}).
		field("customer_id").(string)
	assert.InDelta(t, 0, seen(other, "day").field("summary").(map[string]any)["total_workloads"], 0)
	assert.Equal(t, 404, seen("cust_nobody", "day").status)
	a.refused(seen(string(DevCustomer), "week"), 400, "INVALID_INPUT", "group_by")
	path := "/v1/admin/customers/" + string(DevCustomer) + strings.TrimPrefix(statsTarget("day"), "/v1/customer")
	assert.Equal(t, 403, a.call("GET", path, a.dev.CustomerKey, nil).status, "a customer asks at its own path")
}

// TestCustomers_Listed_SayWhatEachUses compares the list with what each customer uses.
func TestCustomers_Listed_SayWhatEachUses(t *testing.T) {
	a := newAPI(t, 0)
	other := a.otherCustomer()
	for range 2 {
		a.submit(sleepBody(1))
	}
	require.Equal(t, 202, a.call("POST", "/v1/workloads", other, sleepBody(1)).status)
	waiting := map[float64]int{}
	for _, x := range a.call("GET", "/v1/admin/customers", a.dev.AdminKey, nil).field("customers").([]any) {
		c := x.(map[string]any)
		one := a.call("GET", "/v1/admin/customers/"+c["customer_id"].(string), a.dev.AdminKey, nil)
		assert.Equal(t, one.field("usage"), c["usage"], c["customer_id"])
		waiting[c["usage"].(map[string]any)["current_queue_depth"].(float64)]++
	}
	assert.Equal(t, 1, waiting[2])
	assert.Equal(t, 1, waiting[1])
}

// TestQueueDepth_ByTier_SaysHowLongWhatIsPlacedHadWaited waits until the leader has told.
func TestQueueDepth_ByTier_SaysHowLongWhatIsPlacedHadWaited(t *testing.T) {
	a := newAPI(t, 1)
	for range 3 {
		a.until("/v1/workloads/"+a.submit(sleepBody(1)), "status", "COMPLETED")
	}
	waited := func() map[string]any {
		q := a.call("GET", "/v1/metrics/queue-depth", a.dev.AdminKey, nil)
		require.Equal(t, 200, q.status, q.body)
		for _, x := range q.field("by_tier").([]any) {
			if w, ok := x.(map[string]any)["waited"].(map[string]any); ok {
				return w
			}
		}
		return nil
	}
	require.Eventually(t, func() bool {
		w := waited()
		return w != nil && w["placed"].(float64) == 3
	}, 60*time.Second, 50*time.Millisecond, "though nothing of the tier is unfinished")
	w := waited()
	assert.LessOrEqual(t, w["p50_seconds"], w["p95_seconds"])
	assert.LessOrEqual(t, w["p95_seconds"], w["p99_seconds"])
	assert.Less(t, w["p99_seconds"].(float64), 60.0)
	assert.Positive(t, w["window_seconds"])
	assert.NotContains(t, a.call("GET", "/v1/metrics/queue-depth", a.dev.CustomerKey, nil).body, "waited",
		"a customer sees nothing of the others")
}

// TestQueueDepth_OfWhatNoWorkerCouldRun_SaysItToItsCustomerOnly: a forecast is some seconds old.
func TestQueueDepth_OfWhatNoWorkerCouldRun_SaysItToItsCustomerOnly(t *testing.T) {
	a := newAPI(t, 1)
	other := a.otherCustomer()
	a.submit(`{"workload_type":"sleep","input_params":{"duration_ms":600000}}`)
	first := a.submit(`{"workload_type":"nobodys","input_params":{}}`)
	a.submit(`{"workload_type":"nobodys","input_params":{}}`)
	stuck := func(key string) map[string]any {
		q := a.call("GET", "/v1/metrics/queue-depth", key, nil)
		require.Equal(t, 200, q.status, q.body)
		out := map[string]any{}
		for _, x := range q.field("by_workload_type").([]any) {
			if m := x.(map[string]any); m["unplaceable"] != nil {
				out[m["workload_type"].(string)] = m["unplaceable"]
			}
		}
		return out
	}
	want := map[string]any{"nobodys": map[string]any{
		"queue_depth": 2.0, "queue_depth_estimated": false, "first_workload_id": first,
	}}
	for _, key := range []string{a.dev.CustomerKey, a.key("viewer")} {
		require.Eventually(t, func() bool { return reflect.DeepEqual(want, stuck(key)) }, 30*time.Second,
			50*time.Millisecond)
	}
	assert.Empty(t, stuck(a.dev.AdminKey), "an admin has the lanes")
	assert.Empty(t, stuck(other), "of another customer")
	why := a.call("GET", "/v1/workloads/"+first+"/placement", a.dev.CustomerKey, nil)
	assert.Equal(t, false, why.field("placeable"))
	require.Equal(t, 200, a.call("POST", "/v1/workloads/"+first+"/cancel", a.dev.CustomerKey, nil).status)
	require.Eventually(t, func() bool {
		u, _ := stuck(a.dev.CustomerKey)["nobodys"].(map[string]any)
		return u["queue_depth"] == 1.0 && u["first_workload_id"] != first
	}, 30*time.Second, 50*time.Millisecond)
}

func TestQueueDepth_OwnForACustomer_AllForAnAdmin(t *testing.T) {
	a := newAPI(t, 0)
	other := a.otherCustomer()
	for range 2 {
		a.submit(sleepBody(1))
	}
	a.submit(map[string]any{"workload_type": "nobodys", "input_params": map[string]any{}})
	require.Equal(t, 202, a.call("POST", "/v1/workloads", other, sleepBody(1)).status)

	own := a.call("GET", "/v1/metrics/queue-depth", a.dev.CustomerKey, nil)
	require.Equal(t, 200, own.status, own.body)
	assert.InDelta(t, 3, own.field("queue_depth"), 0)
	assert.NotNil(t, own.field("oldest_queued_at"))
	assert.NotNil(t, own.field("oldest_wait_seconds"))
	assert.Nil(t, own.field("by_tier"))
	byType := func(ans answer) map[any]any {
		out := map[any]any{}
		for _, d := range ans.field("by_workload_type").([]any) {
			out[d.(map[string]any)["workload_type"]] = d.(map[string]any)["queue_depth"]
		}
		return out
	}
	assert.Equal(t, map[any]any{"sleep": 2.0, "nobodys": 1.0}, byType(own))
	assert.Equal(t, map[any]any{"sleep": 1.0}, byType(a.call("GET", "/v1/metrics/queue-depth", other, nil)))

	all := a.call("GET", "/v1/metrics/queue-depth", a.dev.AdminKey, nil)
	scaler := a.operatorKey(map[string]any{"name": "keda", "role": "scaler"}).field("key").(string)
	seen := a.call("GET", "/v1/metrics/queue-depth", scaler, nil)
	assert.Equal(t, byType(all), byType(seen), "an autoscaler sees what an admin sees")
	assert.Len(t, seen.field("by_tier"), 2)
	require.Equal(t, 200, all.status, all.body)
	assert.InDelta(t, 4, all.field("queue_depth"), 0)
	assert.Equal(t, map[any]any{"sleep": 3.0, "nobodys": 1.0}, byType(all))
	tiers := all.field("by_tier").([]any)
	require.Len(t, tiers, 2, all.body)
	for i, want := range []struct {
		tier  string
		depth float64
	}{{"free", 1}, {"premium", 3}} {
		assert.Equal(t, want.tier, tiers[i].(map[string]any)["tier"])
		assert.InDelta(t, want.depth, tiers[i].(map[string]any)["queue_depth"], 0)
	}
}

// otherCustomer onboards a customer of the free tier, and returns its key.
func (a *api) otherCustomer() string {
	a.Helper()
	made := a.call("POST", "/v1/admin/customers", a.dev.AdminKey,
		map[string]any{"customer_id": "cust_other", "name": "O", "tier": "free"})
	require.Equal(a, 201, made.status, made.body)
	ans := a.call("POST", "/v1/admin/customers/cust_other/keys", a.dev.AdminKey, map[string]any{"role": "customer"})
	require.Equal(a, 201, ans.status, ans.body)
	return ans.field("key").(string)
}

func TestSeries_OwnForACustomer_AllForAnAdmin(t *testing.T) {
	a := newAPI(t, 0)
	other := a.otherCustomer()
	for range 2 {
		a.submit(sleepBody(1))
	}
	require.Equal(t, 202, a.call("POST", "/v1/workloads", other, sleepBody(1)).status)
	series := func(query, key string) (step float64, points []any) {
		ans := a.call("GET", "/v1/metrics/series"+query, key, nil)
		require.Equal(t, 200, ans.status, ans.body)
		return ans.field("step_minutes").(float64), ans.field("points").([]any)
	}
	// The submissions may be of two minutes.
	submitted := func(points []any) (n float64) {
		for _, p := range points {
			n += p.(map[string]any)["submitted"].(float64)
		}
		return n
	}
	step, own := series("", a.dev.CustomerKey)
	assert.InDelta(t, 1, step, 0)
	require.Len(t, own, 60)
	assert.InDelta(t, 2, submitted(own), 0)
	last := own[59].(map[string]any)
	assert.InDelta(t, 2, last["waiting"], 0)
	assert.NotContains(t, last, "by_tier")
	_, others := series("", other)
	assert.InDelta(t, 1, submitted(others), 0)

	step, all := series("?minutes=1440&step_minutes=15", a.dev.AdminKey)
	assert.InDelta(t, 15, step, 0)
	require.Len(t, all, 96)
	assert.InDelta(t, 3, submitted(all), 0)
	assert.Equal(t, []any{
		map[string]any{"tier": "free", "waiting": 1.0, "running": 0.0},
		map[string]any{"tier": "premium", "waiting": 2.0, "running": 0.0},
	}, all[95].(map[string]any)["by_tier"])
	viewer := a.call("POST", "/v1/admin/customers/cust_other/keys", a.dev.AdminKey, map[string]any{"role": "viewer"})
	_, seen := series("", viewer.field("key").(string))
	assert.InDelta(t, 1, submitted(seen), 0)
	for query, field := range map[string]string{
		"minutes=0": "minutes", "minutes=1441": "minutes", "minutes=14&step_minutes=15": "minutes",
		"step_minutes=7": "step_minutes", "minutes=x": "minutes",
	} {
		a.refused(a.call("GET", "/v1/metrics/series?"+query, a.dev.CustomerKey, nil), 400, "INVALID_INPUT", field)
	}
}
