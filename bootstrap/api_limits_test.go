package bootstrap

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestKey_WhenRevoked_IsRefused(t *testing.T) {
	a := newAPI(t, 0)
	key := a.key("customer")
	require.Equal(t, 200, a.call("GET", "/v1/customer", key, nil).status)
	var id string
	for _, k := range a.call("GET", "/v1/admin/customers/cust_dev/keys", a.dev.AdminKey, nil).field("keys").([]any) {
		require.NotContains(t, fmt.Sprint(k), key)
		id = k.(map[string]any)["key_id"].(string)
	}
	require.Equal(t, 204, a.call("DELETE", "/v1/admin/customers/cust_dev/keys/"+id, a.dev.AdminKey, nil).status)
	a.refused(a.call("GET", "/v1/customer", key, nil), 401, "UNAUTHORIZED", "")
	past := time.Now().Add(-time.Minute)
	a.refused(a.call("POST", "/v1/admin/customers/cust_dev/keys", a.dev.AdminKey,
		map[string]any{"role": "customer", "expires_at": past}), 400, "INVALID_INPUT", "expires_at")
}

func TestLimits_OfRateAndQueue_AreEnforced(t *testing.T) {
	a := newAPI(t, 1)
	c := a.call("POST", "/v1/admin/customers", a.dev.AdminKey, map[string]any{
		"name": "Small", "tier": "free", "limits": map[string]any{
			"max_queue_depth": 1, "burst": 4, "rate_limit_per_sec": 0.01,
		},
	})
	require.Equal(t, 201, c.status, c.body)
	id := c.field("customer_id").(string)
	key := a.call("POST", "/v1/admin/customers/"+id+"/keys", a.dev.AdminKey,
		map[string]any{"role": "customer"}).field("key").(string)
	later := map[string]any{
		"workload_type": "sleep", "input_params": map[string]any{}, "run_at": time.Now().Add(time.Hour),
	}
	first := a.call("POST", "/v1/workloads", key, later)
	require.Equal(t, 202, first.status)
	require.Equal(t, "3", first.header.Get("X-RateLimit-Remaining"))
	require.Equal(t, "0.01", first.header.Get("X-RateLimit-Limit"))
	full := a.call("POST", "/v1/workloads", key, later)
	a.refused(full, 503, "SERVICE_UNAVAILABLE", "")
	require.NotEmpty(t, full.header.Get("Retry-After"))
	a.call("GET", "/v1/customer", key, nil)
	a.call("GET", "/v1/customer", key, nil)
	over := a.call("GET", "/v1/customer", key, nil)
	a.refused(over, 429, "RATE_LIMITED", "")
	require.NotEmpty(t, over.header.Get("Retry-After"))
	require.Equal(t, over.header.Get("Retry-After"), fmt.Sprint(over.field("error.details.retry_after")))
	require.InDelta(t, 0.01, over.field("error.details.limit"), 0)
	require.InDelta(t, 1, over.field("error.details.window_seconds"), 0)
}

func TestAction_InAStateThatForbidsIt_NamesTheState(t *testing.T) {
	a := newAPI(t, 1)
	id := a.submit(sleepBody(0))
	a.call("GET", "/v1/workloads/"+id+"?wait=10s", a.dev.CustomerKey, nil)
	for _, verb := range []string{"cancel", "pause", "resume"} {
		ans := a.call("POST", "/v1/workloads/"+id+"/"+verb, a.dev.CustomerKey, nil)
		a.refused(ans, 400, "INVALID_STATE", "")
		require.Equal(t, "COMPLETED", ans.field("error.details.status"))
	}
	id = a.submit(map[string]any{
		"workload_type": "sleep", "input_params": map[string]any{}, "run_at": time.Now().Add(time.Hour),
	})
	reason := map[string]any{"reason": "changed my mind"}
	ans := a.call("POST", "/v1/workloads/"+id+"/cancel", a.dev.CustomerKey, reason)
	require.Equal(t, 200, ans.status, ans.body)
	require.Equal(t, "CANCELLED", ans.field("status"))
	ans = a.call("POST", "/v1/workloads/"+id+"/cancel", a.dev.CustomerKey, reason)
	a.refused(ans, 400, "INVALID_STATE", "")
	require.Equal(t, "CANCELLED", ans.field("error.details.status"))
	require.Equal(t, "changed my mind", a.call("GET", "/v1/workloads/"+id, a.dev.CustomerKey,
		nil).field("status_reason"))
}

func TestPublicRoutes_WithoutAKey_AreServedWithoutACDN(t *testing.T) {
	a := newAPI(t, 1)
	require.Equal(t, "healthy", a.call("GET", "/health", "", nil).field("status"))
	require.Equal(t, 200, a.call("GET", "/ready", "", nil).status)
	a.until("/ready", "is_leader", true)
	require.Contains(t, a.call("GET", "/metrics", "", nil).body, "niyanta_transitions_total")
	docs := a.call("GET", "/docs", "", nil)
	require.Equal(t, 200, docs.status)
	require.Contains(t, a.call("GET", "/", "", nil).body, "/console/console.js")
	require.Greater(t, len(a.call("GET", "/console/console.js", "", nil).body), 100_000)
	require.NotContains(t, docs.body, "http://")
	require.NotContains(t, docs.body, "https://")
	require.Greater(t, len(a.call("GET", "/docs/swagger-ui-bundle.js", "", nil).body), 1_000_000)
	require.Contains(t, a.call("GET", "/openapi.yaml", "", nil).body, "openapi: 3.1.0")
}
