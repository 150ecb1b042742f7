package bootstrap

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLanes_WhateverWaits_AreListedWithWhatBlocksThem submits to several lanes of two customers.
func TestLanes_WhateverWaits_AreListedWithWhatBlocksThem(t *testing.T) {
	a := newAPI(t, 1)
	other := a.otherCustomer()
	first := map[string]bool{}
	submit := func(key, workloadType string, priority int) {
		ans := a.call("POST", "/v1/workloads", key, map[string]any{
			"workload_type": workloadType, "input_params": map[string]any{}, "priority": priority,
		})
		require.Equal(t, 202, ans.status, ans.body)
		first[ans.field("workload_id").(string)] = true
	}
	submit(a.dev.CustomerKey, "train", 10)
	submit(a.dev.CustomerKey, "train", 10)
	submit(a.dev.CustomerKey, "train", 50)
	submit(other, "train", 10)
	submit(other, "report", 10)
	type lane struct {
		customer, workloadType string
		priority, depth        float64
	}
	list := func(query url.Values) (lanes []lane, next string) {
		ans := a.call("GET", "/v1/admin/lanes?"+query.Encode(), a.dev.AdminKey, nil)
		require.Equal(t, 200, ans.status, ans.body)
		require.Equal(t, false, ans.field("incomplete"))
		for _, x := range ans.field("lanes").([]any) {
			l := x.(map[string]any)
			assert.Equal(t, true, l["blocked"], l)
			assert.Equal(t, false, l["queue_depth_estimated"], l)
			assert.Equal(t, "type_not_offered", l["reasons"].([]any)[0].(map[string]any)["code"])
			assert.GreaterOrEqual(t, l["oldest_wait_seconds"], 0.0)
			assert.Contains(t, first, l["first_workload_id"])
			assert.NotContains(t, l, "placed_per_minute", "nothing was placed")
			lanes = append(lanes, lane{
				l["customer_id"].(string), l["workload_type"].(string), l["priority"].(float64), l["queue_depth"].(float64),
			})
		}
		if ans.field("pagination.has_more") == true {
			next = ans.field("pagination.next_cursor").(string)
		}
		return lanes, next
	}
	all, _ := list(nil)
	require.Len(t, all, 4)
	rival := all[2].customer
	want := []lane{
		{string(DevCustomer), "train", 10, 2}, {string(DevCustomer), "train", 50, 1}, {rival, "train", 10, 1},
		{rival, "report", 10, 1},
	}
	require.Equal(t, want, all, "what has waited longest comes first")
	require.NotEqual(t, string(DevCustomer), rival)
	own, _ := list(url.Values{"customer_id": {rival}})
	require.Equal(t, want[2:], own)
	for blocked, n := range map[string]int{"true": 4, "false": 0} {
		found, _ := list(url.Values{"blocked": {blocked}})
		require.Len(t, found, n, blocked)
	}
	ofType, _ := list(url.Values{"workload_type": {"report"}})
	require.Equal(t, want[3:], ofType)

	var paged []lane
	query := url.Values{"limit": {"3"}}
	for {
		found, next := list(query)
		paged = append(paged, found...)
		if next == "" {
			break
		}
		query.Set("cursor", next)
	}
	require.Equal(t, want, paged)
	query.Set("customer_id", rival)
	require.Equal(t, 400, a.call("GET", "/v1/admin/lanes?"+query.Encode(), a.dev.AdminKey, nil).status,
		"the cursor of another list")
	require.Equal(t, 403, a.call("GET", "/v1/admin/lanes", other, nil).status)

	made := a.call("POST", "/v1/admin/customers", a.dev.AdminKey, map[string]any{"name": "Made", "tier": "free"})
	require.Equal(t, 201, made.status, made.body)
	id := made.field("customer_id").(string)
	submit(a.call("POST", "/v1/admin/customers/"+id+"/keys", a.dev.AdminKey,
		map[string]any{"role": "customer"}).field("key").(string), "train", 10)
	folded, _ := list(url.Values{"customer_id": {strings.ToUpper(id)}})
	require.Equal(t, []lane{{id, "train", 10, 1}}, folded, "an id means the same in any case")
}

// TestConfig_OverTheAPI_IsThatOfTheCommand compares both, and looks for secrets.
func TestConfig_OverTheAPI_IsThatOfTheCommand(t *testing.T) {
	a := newAPI(t, 0)
	ans := a.call("GET", "/v1/admin/config", a.dev.AdminKey, nil)
	require.Equal(t, 200, ans.status, ans.body)
	shown := map[string]string{}
	for _, x := range ans.field("settings").([]any) {
		s := x.(map[string]any)
		shown[s["name"].(string)] = s["value"].(string)
	}
	for _, s := range a.dev.App.cfg.Settings() {
		require.Equal(t, s.Value, shown[s.Variable], s.Variable)
	}
	require.Equal(t, masked, shown["NIYANTA_ADMIN_KEY"])
	require.NotEmpty(t, ans.field("name"))
	require.Eventually(t, func() bool {
		return a.call("GET", "/v1/admin/config", a.dev.AdminKey, nil).field("leader") == ans.field("name")
	}, 30*time.Second, 10*time.Millisecond, "the only coordinator leads")
	ready := a.call("GET", "/ready", "", nil)
	require.NotContains(t, ready.body, ans.field("name"), "without a key nobody learns it")
	for _, secret := range []string{a.dev.AdminKey, a.dev.WorkerKey, a.dev.CustomerKey} {
		require.NotContains(t, ans.body, secret)
	}
	require.Equal(t, 403, a.call("GET", "/v1/admin/config", a.dev.CustomerKey, nil).status)
}

// TestPlacement_ReasonsAboutWorkers_NameThemForAdministrators asks as each role.
func TestPlacement_ReasonsAboutWorkers_NameThemForAdministrators(t *testing.T) {
	a := newAPI(t, 1)
	ans := a.call("POST", "/v1/workloads", a.dev.CustomerKey, map[string]any{
		"workload_type": "sleep", "input_params": map[string]any{"duration_ms": 1},
		"affinity_rules": map[string]any{"hard_affinity": map[string]any{"worker_tags": map[string]any{"gpu": "b200"}}},
	})
	require.Equal(t, 202, ans.status, ans.body)
	path := "/v1/workloads/" + ans.field("workload_id").(string) + "/placement"
	reason := func(key string) map[string]any {
		ans := a.call("GET", path, key, nil)
		require.Equal(t, 200, ans.status, ans.body)
		return ans.field("reasons").([]any)[0].(map[string]any)
	}
	require.Equal(t, "1 worker without tag gpu=b200", reason(a.dev.AdminKey)["message"])
	workers := a.call("GET", "/v1/admin/workers", a.dev.AdminKey, nil).field("workers").([]any)
	require.Len(t, workers, 1)
	require.Equal(t, []any{workers[0].(map[string]any)["worker_id"]}, reason(a.dev.AdminKey)["worker_ids"])
	require.NotContains(t, reason(a.dev.CustomerKey), "worker_ids", "whose workers there are is not a customer's business")
}
