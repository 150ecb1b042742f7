package bootstrap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAdmin_ActsOnAWorkloadOfAnyCustomer_AuditedAsSuch(t *testing.T) {
	a := newAPI(t, 1)
	ada := a.operatorKey(map[string]any{"name": "Ada", "role": "admin"})
	key := ada.field("key").(string)
	id := a.submit(map[string]any{"workload_type": "sleep", "input_params": map[string]any{
		"duration_ms": 60_000, "steps": 600,
	}})
	path := "/v1/workloads/" + id
	require.Eventually(t, func() bool {
		return a.call("GET", path, key, nil).field("status") == "RUNNING"
	}, 30*time.Second, 20*time.Millisecond)
	require.NotNil(t, a.call("GET", path, key, nil).field("input_params"), "payloads are not masked")
	routes := 0
	for route, item := range a.spec.Paths.Map() {
		for method, op := range item.Operations() {
			if !strings.Contains(route, "/v1/workloads/{id}") {
				continue
			}
			routes++
			require.Contains(t, op.Extensions["x-roles"], any("admin"), "%s %s", method, route)
			missing := a.call(method, strings.NewReplacer("{id}", "wl_none", "{sequence}", "1").Replace(route), key, nil)
			a.refused(missing, 404, "NOT_FOUND", "")
			if method == "GET" && !strings.HasSuffix(route, "/events") {
				ans := a.call(method, strings.NewReplacer("{id}", id, "{sequence}", "1").Replace(route), key, nil)
				require.Contains(t, []int{200, 404}, ans.status, "%s %s: %s", method, route, ans.body)
			}
		}
	}
	require.GreaterOrEqual(t, routes, 9)
	for _, step := range []string{"checkpoint", "pause", "resume", "cancel", "retry"} {
		ans := a.call("POST", path+"/"+step, key, nil)
		require.Less(t, ans.status, 300, "%s: %s", step, ans.body)
		if step == "pause" {
			require.Eventually(t, func() bool {
				return a.call("GET", path, key, nil).field("status") == "PAUSED"
			}, 30*time.Second, 20*time.Millisecond)
		}
	}
	var actions, reads []string
	for _, e := range a.adminEvents(
		"actor_id=" + ada.field("key_id").(string) + "&target_id=" + id + "&order=asc&limit=1000") {
		require.Equal(t, "workload", e["target_type"])
		require.Equal(t, "cust_dev", e["customer_id"])
		if e["event_type"] == "workload.read" {
			reads = append(reads, e["after"].(map[string]any)["operation"].(string))
			continue
		}
		actions = append(actions, e["event_type"].(string))
		if e["event_type"] == "workload.cancelled" {
			require.Equal(t, "CANCELLED", e["after"].(map[string]any)["status"])
			require.NotEqual(t, "CANCELLED", e["before"].(map[string]any)["status"])
		}
	}
	require.Equal(t, []string{"workload.checkpoint_requested", "workload.pause_requested", "workload.resumed",
		"workload.cancelled"}, actions)
	retried := a.adminEvents("event_type=workload.retried")
	require.Len(t, retried, 1)
	require.Equal(t, id, retried[0]["after"].(map[string]any)["retry_of"])
	require.Equal(t, slices.Compact(slices.Sorted(slices.Values(reads))), slices.Sorted(slices.Values(reads)),
		"the same read is recorded once in a while")
	for _, operation := range []string{"getWorkload", "getWorkloadLogs", "getWorkloadAudit", "getWorkloadCheckpoints"} {
		require.Contains(t, reads, operation)
	}
	named := map[string]any{}
	for _, e := range a.call("GET", path+"/audit", a.dev.CustomerKey, nil).field("events").([]any) {
		named[e.(map[string]any)["event_type"].(string)] = e.(map[string]any)["actor_id"]
	}
	for _, event := range []string{"workload.pause_requested", "workload.resumed", "workload.cancelled"} {
		require.Equal(t, ada.field("key_id"), named[event], "the customer sees who did it")
	}
	require.Empty(t, a.adminEvents("event_type=workload.cancelled&actor_id=admin"))
}

func TestAdmin_InBatches_ActsForTheCustomersOfTheWorkloads(t *testing.T) {
	a := newAPI(t, 0)
	body := map[string]any{"customer_id": "cust_rival", "name": "R", "tier": "enterprise"}
	require.Equal(t, 201, a.call("POST", "/v1/admin/customers", a.dev.AdminKey, body).status)
	rival := a.call("POST", "/v1/admin/customers/cust_rival/keys", a.dev.AdminKey,
		map[string]any{"role": "customer"}).field("key").(string)
	own := a.submit(sleepBody(1))
	other := a.call("POST", "/v1/workloads", rival, sleepBody(1)).field("workload_id").(string)
	const cancel = "/v1/workloads/batch/cancel"
	filter := func(f map[string]any) map[string]any { return map[string]any{"filter": f, "dry_run": true} }
	a.refused(a.call("POST", cancel, a.dev.AdminKey, filter(map[string]any{})), 400, "INVALID_INPUT", "filter.customer_id")
	a.refused(a.call("POST", cancel, rival, filter(map[string]any{"customer_id": "cust_rival"})), 400, "INVALID_INPUT",
		"filter.customer_id")
	a.refused(a.call("POST", cancel, a.dev.AdminKey, filter(map[string]any{"customer_id": "cust_none"})), 400,
		"INVALID_INPUT", "filter.customer_id")
	dry := a.call("POST", cancel, a.dev.AdminKey, filter(map[string]any{"customer_id": "cust_rival"}))
	require.Equal(t, 200, dry.status, dry.body)
	require.InDelta(t, 1, dry.field("matched"), 0)
	require.Contains(t, dry.body, other)
	require.NotContains(t, dry.body, own)

	req := a.request("POST", cancel, a.dev.AdminKey, map[string]any{"workload_ids": []string{own, "wl_none", other}})
	req.Header.Set("Idempotency-Key", "k")
	ans := a.do(req)
	require.Equal(t, 200, ans.status, ans.body)
	require.InDelta(t, 2, ans.field("applied"), 0)
	results := ans.field("results").([]any)
	require.Len(t, results, 3)
	require.Equal(t, "CANCELLED", results[0].(map[string]any)["status"])
	require.Contains(t, results[1], "error")
	require.Equal(t, "CANCELLED", results[2].(map[string]any)["status"])
	require.Len(t, a.adminEvents("event_type=workload.cancelled"), 2)
	require.Len(t, a.adminEvents("event_type=workload.cancelled&customer_id=cust_rival"), 1)
	retry := a.call("POST", "/v1/workloads/batch/retry", a.dev.AdminKey,
		map[string]any{"filter": map[string]any{"customer_id": "cust_rival"}})
	require.Equal(t, 200, retry.status, retry.body)
	require.InDelta(t, 1, retry.field("applied"), 0)
	require.Len(t, a.adminEvents("event_type=workload.retried&customer_id=cust_rival"), 1)
}

func TestAdmin_OfOneCustomerOrAll_ListsWorkloads(t *testing.T) {
	a := newAPI(t, 0)
	const customers, each = 4, 3
	want := map[string][]string{}
	for c := range customers {
		customer := fmt.Sprint("cust_", c)
		body := map[string]any{"customer_id": customer, "name": "C", "tier": "enterprise"}
		require.Equal(t, 201, a.call("POST", "/v1/admin/customers", a.dev.AdminKey, body).status)
		if c == 2 {
			continue // it has no workloads
		}
		key := a.call("POST", "/v1/admin/customers/"+customer+"/keys", a.dev.AdminKey,
			map[string]any{"role": "customer"}).field("key").(string)
		for range each {
			id := a.call("POST", "/v1/workloads", key, sleepBody(1)).field("workload_id").(string)
			want[customer] = append(want[customer], id)
		}
	}
	collect := func(query string) (ids []string) {
		cursor := ""
		for {
			ans := a.call("GET", "/v1/admin/workloads?"+query+cursor, a.dev.AdminKey, nil)
			require.Equal(t, 200, ans.status, ans.body)
			for _, w := range ans.field("workloads").([]any) {
				ids = append(ids, w.(map[string]any)["workload_id"].(string))
			}
			next, more := ans.field("pagination.next_cursor").(string)
			require.Equal(t, more, ans.field("pagination.has_more"))
			if !more {
				return ids
			}
			cursor = "&cursor=" + next
		}
	}
	all := slices.Concat(want["cust_0"], want["cust_1"], want["cust_3"])
	for limit := range 10 {
		require.Equal(t, all, collect(fmt.Sprintf("order=asc&limit=%d", limit+1)))
	}
	require.Equal(t, want["cust_1"], collect("customer_id=cust_1&order=asc&limit=2"))
	require.Empty(t, collect("customer_id=cust_2"))
	require.Empty(t, collect("status=RUNNING"))
	require.Len(t, collect("status=PENDING&workload_type=sleep"), len(all))
	require.InDelta(t, each, a.call("GET", "/v1/admin/workloads?customer_id=cust_1&offset=1", a.dev.AdminKey, nil).
		field("pagination.total"), 0)
	require.Equal(t, 404, a.call("GET", "/v1/admin/workloads?customer_id=cust_none", a.dev.AdminKey, nil).status)
	a.refused(a.call("GET", "/v1/admin/workloads?offset=1", a.dev.AdminKey, nil), 400, "INVALID_INPUT", "offset")
	cursor := a.call("GET", "/v1/admin/workloads?limit=1", a.dev.AdminKey, nil).field("pagination.next_cursor").(string)
	a.refused(a.call("GET", "/v1/admin/workloads?limit=1&status=PENDING&cursor="+cursor, a.dev.AdminKey, nil), 400,
		"INVALID_INPUT", "cursor")
	listed := a.adminEvents("event_type=workload.listed")
	require.Len(t, listed, 4, "one for all, and one for each customer that was named, found or not")
}
