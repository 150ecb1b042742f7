package bootstrap

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// placement reads why a workload waits.
func (a *api) placement(id string) answer {
	a.Helper()
	ans := a.call("GET", "/v1/workloads/"+id+"/placement", a.dev.CustomerKey, nil)
	require.Equal(a, 200, ans.status, ans.body)
	require.Equal(a, id, ans.field("workload_id"))
	return ans
}

// reasons returns the reasons of an answer as "code workers", in order.
func (ans answer) reasons() []string {
	out := []string{}
	list, _ := ans.field("reasons").([]any)
	for _, item := range list {
		r, _ := item.(map[string]any)
		out = append(out, fmt.Sprint(r["code"], " ", r["workers"]))
	}
	return out
}

func TestPlacement_WhenWorkloadsOfItsLaneWereStarted_SaysHowLongTheyHadWaited(t *testing.T) {
	a := newAPI(t, 1, func(c *Config) { c.WorkerSlots = 1 })
	first := a.submit(sleepBody(60_000))
	runs := a.until("/v1/workloads/"+first, "status", "RUNNING")
	at := func(field string) time.Time {
		parsed, err := time.Parse(time.RFC3339Nano, runs.field(field).(string))
		require.NoError(t, err, field)
		return parsed
	}
	had := at("scheduled_at").Sub(at("created_at"))
	a.submit(sleepBody(60_000)) // waits for the first, and for longer than that had
	time.Sleep(300*time.Millisecond + 2*had)
	require.Equal(t, 200, a.call("POST", "/v1/workloads/"+first+"/cancel", a.dev.CustomerKey, nil).status)
	behind := a.submit(sleepBody(0))
	other := sleepBody(0)
	other["priority"] = 9
	beside := a.submit(other)
	var usual map[string]any
	require.Eventually(t, func() bool { // it is saved every few seconds
		usual, _ = a.placement(behind).field("usual_wait").(map[string]any)
		return usual != nil && usual["placed"] == 2.0
	}, 30*time.Second, 20*time.Millisecond, "%v", usual)
	assert.GreaterOrEqual(t, usual["p95_seconds"], 0.25)
	assert.Less(t, usual["p50_seconds"], usual["p95_seconds"])
	assert.Nil(t, a.placement(beside).field("usual_wait"), "it is in another lane")
}

func TestPlacement_OfAWaitingWorkload_NamesItsReason(t *testing.T) {
	a := newAPI(t, 2, func(c *Config) { c.WorkerSlots = 1 })
	with := func(ms int, hard map[string]any) map[string]any {
		body := sleepBody(ms)
		body["affinity_rules"] = map[string]any{"hard_affinity": hard}
		return body
	}
	for _, worker := range []string{"dev-worker-1", "dev-worker-2"} {
		id := a.submit(with(60_000, map[string]any{"worker_id": worker}))
		deadline := time.Now().Add(10 * time.Second)
		for a.placement(id).field("status") != "RUNNING" {
			require.True(t, time.Now().Before(deadline), "it runs")
			time.Sleep(5 * time.Millisecond)
		}
		p := a.placement(id)
		assert.Equal(t, false, p.field("waiting"))
		assert.Equal(t, []any{}, p.field("reasons"), "an empty list, not null")
		assert.Equal(t, worker, p.field("worker_id"))
		for _, absent := range []string{"position", "estimated_start_time", "confidence"} {
			assert.NotContains(t, p.body, `"`+absent+`"`)
		}
	}

	first, second := a.submit(sleepBody(0)), a.submit(sleepBody(0))
	for i, id := range []string{first, second} {
		p := a.placement(id)
		assert.Equal(t, true, p.field("waiting"))
		assert.InDelta(t, i+1, p.field("position"), 0)
		assert.Equal(t, false, p.field("position_estimated"))
		assert.Equal(t, true, p.field("placeable"))
		assert.Equal(t, []string{"full 2"}, p.reasons())
		assert.Nil(t, p.field("worker_id"))
	}

	p := a.placement(a.submit(with(0, map[string]any{"worker_tags": map[string]any{"gpu": "a100"}})))
	assert.Equal(t, false, p.field("placeable"))
	assert.Equal(t, []string{"missing_tag 2"}, p.reasons())
	assert.Contains(t, p.body, "2 workers without tag gpu=a100")
	assert.Nil(t, p.field("estimated_start_time"), "nobody can run it")

	body := sleepBody(0)
	body["run_at"] = time.Now().Add(time.Hour)
	p = a.placement(a.submit(body))
	assert.Equal(t, true, p.field("waiting"))
	assert.Nil(t, p.field("position"), "it may not be placed yet")
	assert.Equal(t, []string{"not_before <nil>", "full 2"}, p.reasons())

	require.Equal(t, 200, a.call("GET", "/v1/workloads/"+first+"/placement", a.key("viewer"), nil).status)
	require.Equal(t, 200, a.call("POST", "/v1/workloads/"+first+"/cancel", a.dev.CustomerKey, nil).status)
	assert.Equal(t, false, a.placement(first).field("waiting"))
	assert.InDelta(t, 1, a.placement(second).field("position"), 0)
}

func TestSubmit_WhenItMustWait_EstimatesItsStart(t *testing.T) {
	a := newAPI(t, 1)
	submit := func(change func(body map[string]any)) answer {
		body := sleepBody(0)
		change(body)
		ans := a.call("POST", "/v1/workloads", a.dev.CustomerKey, body)
		require.Equal(t, 202, ans.status, ans.body)
		return ans
	}
	now := submit(func(map[string]any) {})
	start, err := time.Parse(time.RFC3339, fmt.Sprint(now.field("estimated_start_time")))
	require.NoError(t, err, now.body)
	assert.WithinDuration(t, time.Now(), start, 10*time.Second)
	created, err := time.Parse(time.RFC3339, fmt.Sprint(now.field("created_at")))
	require.NoError(t, err)
	assert.False(t, start.Before(created), "nothing starts before it was submitted")
	assert.Equal(t, "high", now.field("estimate_confidence"), "a worker has free slots")

	runAt := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	later := submit(func(body map[string]any) { body["run_at"] = runAt })
	assert.Equal(t, runAt.Format("2006-01-02T15:04:05.000Z07:00"), later.field("estimated_start_time"))

	never := submit(func(body map[string]any) {
		body["affinity_rules"] = map[string]any{"hard_affinity": map[string]any{"worker_tags": map[string]any{"gpu": "a100"}}}
	})
	assert.Contains(t, never.body, `"estimated_start_time":null`)
	assert.NotContains(t, never.body, "estimate_confidence")
}

func TestCustomer_Preemptible_IsSetAndShown(t *testing.T) {
	a := newAPI(t, 0)
	const all = "/v1/admin/customers"
	onboard := func(id string, change func(body map[string]any)) answer {
		body := map[string]any{"customer_id": id, "name": "P", "tier": "free"}
		change(body)
		ans := a.call("POST", all, a.dev.AdminKey, body)
		require.Equal(t, 201, ans.status, ans.body)
		return ans
	}
	assert.Equal(t, true, onboard("cust_yes", func(map[string]any) {}).field("preemptible"), "unless it is set")
	assert.Equal(t, false, onboard("cust_no", func(b map[string]any) { b["preemptible"] = false }).field("preemptible"))
	for _, want := range []bool{true, false} {
		patch := func(body map[string]any) any {
			return a.call("PATCH", all+"/cust_no", a.dev.AdminKey, body).field("preemptible")
		}
		assert.Equal(t, want, patch(map[string]any{"preemptible": want}))
		assert.Equal(t, want, patch(map[string]any{"name": "Q"}), "left out it stays as it is")
		assert.Equal(t, want, a.call("GET", all+"/cust_no", a.dev.AdminKey, nil).field("preemptible"))
	}
	a.refused(a.call("PATCH", all+"/cust_no", a.dev.AdminKey, map[string]any{"preemptible": "yes"}), 400,
		"INVALID_INPUT", "preemptible")
	assert.Equal(t, true, a.call("GET", "/v1/customer", a.dev.CustomerKey, nil).field("preemptible"))
}
