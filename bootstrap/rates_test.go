package bootstrap

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tenant makes a customer with limits of its own, and returns a key of it.
func (a *api) tenant(id string, limits map[string]any) string {
	a.Helper()
	c := a.call("POST", "/v1/admin/customers", a.dev.AdminKey, map[string]any{
		"customer_id": id, "name": id, "tier": "free", "limits": limits,
	})
	require.Equal(a, 201, c.status, c.body)
	k := a.call("POST", "/v1/admin/customers/"+id+"/keys", a.dev.AdminKey, map[string]any{"role": "customer"})
	require.Equal(a, 201, k.status, k.body)
	return k.field("key").(string)
}

// later returns n submissions that do not start within an hour.
func later(n int) []map[string]any {
	out := make([]map[string]any, n)
	for i := range out {
		out[i] = map[string]any{
			"workload_type": "sleep", "input_params": map[string]any{}, "run_at": time.Now().Add(time.Hour),
		}
	}
	return out
}

func TestRateLimit_OfABatch_CostsItsSize(t *testing.T) {
	a := newAPI(t, 0)
	key := a.tenant("cust_batches", map[string]any{"max_queue_depth": 100, "burst": 13, "rate_limit_per_sec": 0.01})
	remaining := func(ans answer) int {
		t.Helper()
		n, err := strconv.Atoi(ans.header.Get("X-RateLimit-Remaining"))
		require.NoError(t, err)
		return n
	}
	batch := func(items ...map[string]any) answer {
		t.Helper()
		return a.call("POST", "/v1/workloads/batch", key, map[string]any{"workloads": items})
	}
	began := time.Now()
	three := batch(later(3)...)
	require.Equal(t, 200, three.status, three.body)
	assert.Equal(t, 10, remaining(three))
	broken := a.call("POST", "/v1/workloads/batch", key, `{"workloads": [`)
	assert.Equal(t, 9, remaining(broken), "a body that is no batch costs one")
	queried := a.call("POST", "/v1/workloads/batch?%00=1", key, map[string]any{"workloads": later(3)})
	assert.Equal(t, 8, remaining(queried), "so does a batch with a bad query")
	assert.Equal(t, 6, remaining(batch(map[string]any{}, map[string]any{})), "refused items cost what accepted ones do")
	bulk := a.call("POST", "/v1/workloads/batch/cancel", key, map[string]any{"workload_ids": []any{"wl_none", 7}})
	require.Equal(t, 200, bulk.status, bulk.body)
	assert.Equal(t, 4, remaining(bulk), "and so do ids")
	filter := map[string]any{"filter": map[string]any{}, "dry_run": true}
	assert.Equal(t, 3, remaining(a.call("POST", "/v1/workloads/batch/cancel", key, filter)),
		"a page of a filter costs one")

	over := batch(later(4)...)
	a.refused(over, 429, "RATE_LIMITED", "")
	assert.Equal(t, 3, remaining(over), "a refused request costs nothing")
	assert.Equal(t, "0.01", over.header.Get("X-RateLimit-Limit"))
	assert.InDelta(t, 100, over.field("error.details.retry_after"), 2+time.Since(began).Seconds(), "one token is missing")
	stored := a.call("GET", "/v1/workloads?offset=0", key, nil)
	assert.InDelta(t, 3, stored.field("pagination.total"), 0, "nothing of a refused batch is stored: %s", stored.body)
}

func TestRateLimit_OfABatchAboveTheBurst_LeavesDebt(t *testing.T) {
	a := newAPI(t, 0)
	key := a.tenant("cust_debtor", map[string]any{"max_queue_depth": 100, "burst": 10, "rate_limit_per_sec": 0.01})
	first := a.call("POST", "/v1/workloads/batch", key, map[string]any{"workloads": later(30)})
	require.Equal(t, 200, first.status, "the bucket is full: %s", first.body)
	assert.Equal(t, "0", first.header.Get("X-RateLimit-Remaining"))
	reset, err := strconv.ParseInt(first.header.Get("X-RateLimit-Reset"), 10, 64)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(3000*time.Second), time.Unix(reset, 0), 10*time.Second)
	for _, ans := range []answer{
		a.call("GET", "/v1/customer", key, nil),
		a.call("POST", "/v1/workloads/batch", key, map[string]any{"workloads": later(1)}),
		a.call("POST", "/v1/workloads/batch", key, `{`),
	} {
		a.refused(ans, 429, "RATE_LIMITED", "")
		assert.InDelta(t, 2050, ans.field("error.details.retry_after"), 60, "20 tokens are owed")
		assert.InDelta(t, 0.01, ans.field("error.details.limit"), 0)
		assert.InDelta(t, 1, ans.field("error.details.window_seconds"), 0)
	}
}

func TestQueueFull_AloneAndInABatch_TellsItsDepthAndWhenToRetry(t *testing.T) {
	a := newAPI(t, 0)
	key := a.tenant("cust_full", map[string]any{"max_queue_depth": 2})
	batch := a.call("POST", "/v1/workloads/batch", key, map[string]any{"workloads": later(3)})
	require.Equal(t, 200, batch.status, batch.body)
	results := batch.field("results").([]any)
	require.Equal(t, "PENDING", results[1].(map[string]any)["status"])
	refused := results[2].(map[string]any)["error"].(map[string]any)
	require.Equal(t, "SERVICE_UNAVAILABLE", refused["code"])
	alone := a.call("POST", "/v1/workloads", key, later(1)[0])
	a.refused(alone, 503, "SERVICE_UNAVAILABLE", "")
	want := map[string]any{"queue_depth": 2.0, "max_queue_depth": 2.0, "retry_after": 5.0}
	assert.Equal(t, want, refused["details"])
	assert.Equal(t, want, alone.field("error.details"))
	assert.Equal(t, "5", alone.header.Get("Retry-After"))
	assert.NotEmpty(t, alone.header.Get("X-RateLimit-Remaining"))
}

func TestLongPolls_BeyondTheirLimit_AreRefusedAndShortRequestsServed(t *testing.T) {
	a := newAPI(t, 0, func(c *Config) {
		c.MaxRequests, c.MaxRequestsPerCustomer, c.MaxLongPolls, c.MaxLongPollsPerCustomer = 4, 2, 2, 1
	})
	id := a.submit(later(1)[0])
	first := make(chan int, 1)
	go func() {
		status := 503
		for status == 503 { // the other poll may have the only place for a moment
			resp, err := a.client.Do(a.request("GET", "/v1/workloads/"+id+"?wait=50s", a.dev.CustomerKey, nil))
			if err != nil {
				status = 0
				break
			}
			_ = resp.Body.Close()
			status = resp.StatusCode
		}
		first <- status
	}()
	var second answer
	require.Eventually(t, func() bool { // until the first poll waits, this one gets the place
		second = a.call("GET", "/v1/workloads/"+id+"?wait=20ms", a.dev.CustomerKey, nil)
		return second.status == 503
	}, 30*time.Second, 5*time.Millisecond)
	a.refused(second, 503, "SERVICE_UNAVAILABLE", "")
	assert.Equal(t, map[string]any{"limit": 1.0, "retry_after": 1.0}, second.field("error.details"))
	assert.NotEmpty(t, second.header.Get("X-RateLimit-Limit"))
	for range 3 {
		require.Equal(t, 200, a.call("GET", "/v1/workloads/"+id, a.dev.CustomerKey, nil).status)
	}
	require.Equal(t, 200, a.call("POST", "/v1/workloads/"+id+"/cancel", a.dev.CustomerKey, nil).status)
	require.Equal(t, 200, <-first)
	again := a.call("GET", "/v1/workloads/"+id+"?wait=1s", a.dev.CustomerKey, nil)
	require.Equal(t, 200, again.status, "the place is free again")
}
