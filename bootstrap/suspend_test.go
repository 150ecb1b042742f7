package bootstrap

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSuspendedCustomer_UnlessItReadsOrCancels_IsRefused(t *testing.T) {
	a := newAPI(t, 1)
	runs := a.submit(sleepBody(60_000))
	require.Eventually(t, func() bool {
		return a.call("GET", "/v1/workloads/"+runs, a.dev.CustomerKey, nil).field("status") == "RUNNING"
	}, 30*time.Second, 10*time.Millisecond)
	const suspend, reactivate = "/v1/admin/customers/cust_dev/suspend", "/v1/admin/customers/cust_dev/reactivate"
	for range 2 {
		ans := a.call("POST", suspend, a.dev.AdminKey, nil)
		require.Equal(t, 200, ans.status, ans.body)
		require.NotNil(t, ans.field("suspended_at"))
	}
	key := a.dev.CustomerKey
	a.refused(a.call("POST", "/v1/workloads", key, sleepBody(1)), 403, "FORBIDDEN", "")
	batch := a.call("POST", "/v1/workloads/batch", key, map[string]any{"workloads": []any{sleepBody(1)}})
	require.Equal(t, 200, batch.status, batch.body)
	require.Contains(t, batch.body, "FORBIDDEN")
	writes := 0
	for path, item := range a.spec.Paths.Map() {
		for method, op := range item.Operations() {
			if method == "GET" || op.Extensions["x-while-suspended"] == true ||
				!slices.Contains(op.Extensions["x-roles"].([]any), any("customer")) {
				continue
			}
			writes++
			target := strings.NewReplacer("{id}", "wl_none", "{sequence}", "1").Replace(path)
			a.refused(a.call(method, target, key, nil), 403, "FORBIDDEN", "")
		}
	}
	require.GreaterOrEqual(t, writes, 6, "pause, resume, checkpoint, and configs")
	require.Equal(t, 200, a.call("GET", "/v1/workloads/"+runs, key, nil).status)
	require.NotNil(t, a.call("GET", "/v1/customer", key, nil).field("suspended_at"))
	require.Equal(t, "RUNNING", a.call("GET", "/v1/workloads/"+runs, key, nil).field("status"), "what runs goes on")
	require.Equal(t, 200, a.call("POST", "/v1/workloads/"+runs+"/cancel", key, nil).status)

	ans := a.call("POST", reactivate, a.dev.AdminKey, nil)
	require.Equal(t, 200, ans.status, ans.body)
	require.Nil(t, ans.field("suspended_at"))
	a.submit(sleepBody(1))
	for _, path := range []string{"/v1/admin/customers/cust_none/suspend", "/v1/admin/customers/cust_none/reactivate"} {
		require.Equal(t, 404, a.call("POST", path, a.dev.AdminKey, nil).status)
	}
}

func TestSuspendedCustomer_WaitingWorkload_SaysWhy(t *testing.T) {
	a := newAPI(t, 0)
	path := "/v1/workloads/" + a.submit(sleepBody(1)) + "/placement"
	require.NotContains(t, a.call("GET", path, a.dev.CustomerKey, nil).body, "customer_suspended")
	require.Equal(t, 200, a.call("POST", "/v1/admin/customers/cust_dev/suspend", a.dev.AdminKey, nil).status)
	ans := a.call("GET", path, a.dev.CustomerKey, nil)
	require.Contains(t, ans.body, "customer_suspended")
	require.NotContains(t, ans.body, "customer_limit", "it is not at a limit")
	require.Nil(t, ans.field("estimated_start_time"))
}
