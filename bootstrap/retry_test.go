package bootstrap

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRetry_OfACancelledWorkload_ContinuesFromItsCheckpoint(t *testing.T) {
	a := newAPI(t, 1)
	path := "/v1/workloads/" + a.submit(map[string]any{
		"workload_type": "sleep", "input_params": map[string]any{"duration_ms": 60_000, "steps": 6000},
		"labels": map[string]any{"team": "billing"}, "priority": 77, "max_retries": 2,
	})
	a.until(path, "status", "RUNNING")
	retry := func(body string) answer { return a.send("POST", path+"/retry", body, nil) }
	running := retry("")
	a.refused(running, 400, "INVALID_STATE", "")
	require.Equal(t, "RUNNING", running.field("error.details.status"))
	for n := range 2 {
		require.Equal(t, 202, a.send("POST", path+"/checkpoint", "", nil).status)
		a.until(path, "checkpoint_sequence", float64(n+1))
	}
	require.Equal(t, 200, a.send("POST", path+"/cancel", "", nil).status)
	original := a.send("GET", path, "", nil)
	require.Nil(t, original.field("retry_of"))

	for body, sequence := range map[string]float64{
		"": 1, `{"from_checkpoint":1,"reason":"the service is back"}`: 1, `{"from_scratch":true}`: 0,
		`{"from_scratch":false}`: 1,
	} {
		ans := retry(body)
		require.Equal(t, 202, ans.status, ans.body)
		require.Equal(t, original.field("workload_id"), ans.field("retry_of"))
		require.InDelta(t, sequence, ans.field("checkpoint_sequence"), 0, body)
		again := "/v1/workloads/" + ans.field("workload_id").(string)
		a.until(again, "status", "RUNNING")
		w := a.send("GET", again, "", nil)
		for _, same := range []string{"workload_type", "input_params", "labels", "priority", "max_retries",
			"affinity_rules"} {
			require.Equal(t, original.field(same), w.field(same), same)
		}
		require.Equal(t, original.field("workload_id"), w.field("retry_of"))
		require.InDelta(t, 1, w.field("generation"), 0)
		trail := a.send("GET", again+"/audit", "", nil).field("events").([]any)
		created := trail[0].(map[string]any)["details"].(map[string]any)
		if body == `{"from_checkpoint":1,"reason":"the service is back"}` {
			require.Equal(t, "the service is back", created["reason"])
		} else {
			require.Equal(t, "retry of "+original.field("workload_id").(string), created["reason"])
		}
		require.Equal(t, 200, a.send("POST", again+"/cancel", "", nil).status)
	}
	require.Equal(t, original.body, a.send("GET", path, "", nil).body, "the original is as it was")
	a.refused(retry(`{"from_checkpoint":9}`), 400, "INVALID_INPUT", "from_checkpoint")
	a.refused(retry(`{"from_checkpoint":0}`), 400, "INVALID_INPUT", "from_checkpoint")
	a.refused(retry(`{"from_checkpoint":1,"from_scratch":true}`), 400, "INVALID_INPUT", "from_checkpoint")
	a.refused(a.send("POST", "/v1/workloads/wl_none/retry", "", nil), 404, "NOT_FOUND", "")

	done := "/v1/workloads/" + a.submit(sleepBody(0))
	a.until(done, "status", "COMPLETED")
	completed := a.send("POST", done+"/retry", "", nil)
	a.refused(completed, 400, "INVALID_STATE", "")
	require.Equal(t, "COMPLETED", completed.field("error.details.status"))
}

func TestRetry_WhenTheConfigHasChanged_KeepsThatOfTheOriginal(t *testing.T) {
	onEachStore(t, func(a *api) {
		cfg := a.send("POST", "/v1/workload-configs", `{"workload_type":"report","max_retries":7}`, nil)
		require.Equal(a, 201, cfg.status, cfg.body)
		id := a.send("POST", "/v1/workloads", `{"workload_type":"report","input_params":{"n":1}}`,
			nil).field("workload_id").(string)
		require.Equal(a, 200, a.send("POST", "/v1/workloads/"+id+"/cancel", "", nil).status)
		config := "/v1/workload-configs/" + cfg.field("config_id").(string)
		require.Equal(a, 200, a.send("PUT", config, `{"max_retries":1}`, nil).status)
		retry := func() string {
			ans := a.send("POST", "/v1/workloads/"+id+"/retry", "", nil)
			require.Equal(a, 202, ans.status, ans.body)
			require.Contains(a, ans.field("status_reason"), "no worker offers type")
			w := a.send("GET", "/v1/workloads/"+ans.field("workload_id").(string), "", nil)
			require.InDelta(a, 7, w.field("max_retries"), 0)
			return ans.field("workload_id").(string)
		}
		again := retry()
		a.refused(a.send("DELETE", config, "", nil), 409, "CONFLICT", "")
		require.Equal(a, 200, a.send("POST", "/v1/workloads/"+again+"/cancel", "", nil).status)
		require.Equal(a, 204, a.send("DELETE", config, "", nil).status)
		retry()
	})
}

func TestRetry_WhenTheQueueIsFullOrTheCustomerSuspended_IsRefused(t *testing.T) {
	onEachStore(t, func(a *api) {
		ids := a.submitted(2, "q")
		require.Equal(a, 200, a.send("POST", "/v1/workloads/"+ids[0]+"/cancel", "", nil).status)
		admin := map[string]string{"Authorization": "Bearer " + a.dev.AdminKey}
		customer := "/v1/admin/customers/cust_dev"
		require.Equal(a, 200, a.send("PATCH", customer, `{"limits":{"max_queue_depth":1}}`, admin).status)
		full := a.send("POST", "/v1/workloads/"+ids[0]+"/retry", "", nil)
		a.refused(full, 503, "SERVICE_UNAVAILABLE", "")
		require.InDelta(a, 1, full.field("error.details.max_queue_depth"), 0)
		require.Equal(a, []string{"SERVICE_UNAVAILABLE"}, a.bulk("retry", `{"workload_ids":["`+ids[0]+`"]}`).outcomes())
		require.Equal(a, 200, a.send("PATCH", customer, `{"limits":{"max_queue_depth":100}}`, admin).status)
		require.Equal(a, 200, a.send("POST", customer+"/suspend", "", admin).status)
		a.refused(a.send("POST", "/v1/workloads/"+ids[0]+"/retry", "", nil), 403, "FORBIDDEN", "")
		require.Equal(a, 200, a.send("POST", "/v1/workloads/batch/cancel", `{"filter":{}}`, nil).status,
			"a suspended customer cancels")
		for _, op := range []string{"pause", "resume", "retry"} {
			a.refused(a.send("POST", "/v1/workloads/batch/"+op, `{"filter":{}}`, nil), 403, "FORBIDDEN", "")
		}
	})
}

func TestRetry_ByManyAtOnceWithOneKey_IsOneWorkload(t *testing.T) {
	onEachStore(t, func(a *api) {
		ids := a.submitted(2, "r")
		require.InDelta(a, 2, a.bulk("cancel", `{"filter":{}}`).field("applied"), 0)
		key := map[string]string{"Idempotency-Key": "k"}
		single, batch := make([]answer, 64), make([]answer, 64)
		var all sync.WaitGroup
		for i := range single {
			all.Go(func() {
				single[i] = a.send("POST", "/v1/workloads/"+ids[0]+"/retry", "", key)
				batch[i] = a.send("POST", "/v1/workloads/batch/retry", fmt.Sprintf(`{"workload_ids":[%q]}`, ids[1]), key)
			})
		}
		all.Wait()
		for i := range single {
			assert.Equal(a, 202, single[i].status, single[i].body)
			assert.Equal(a, single[0].field("workload_id"), single[i].field("workload_id"))
			assert.Equal(a, batch[0].body, batch[i].body)
		}
		assert.InDelta(a, 1, batch[0].field("applied"), 0, batch[0].body)
		require.InDelta(a, 4, a.send("GET", "/v1/workloads?offset=0", "", nil).field("pagination.total"), 0)
		a.refused(a.send("POST", "/v1/workloads/"+ids[0]+"/retry", `{"from_scratch":true}`, key), 409, "CONFLICT",
			"Idempotency-Key")
		a.refused(a.send("POST", "/v1/workloads/"+ids[1]+"/retry", "", key), 409, "CONFLICT", "Idempotency-Key")
	})
}
