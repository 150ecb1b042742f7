package bootstrap

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// decode reads the body into v.
func (a answer) decode(t require.TestingT, v any) {
	require.NoError(t, json.Unmarshal([]byte(a.body), v), a.body)
}

// fields checks that the object has exactly the names beside those in optional.
func (a *api) fields(object any, names string, optional ...string) {
	a.Helper()
	m, ok := object.(map[string]any)
	require.True(a, ok, "not an object: %v", object)
	for _, name := range strings.Fields(names) {
		require.Contains(a, m, name)
	}
	for name := range m {
		require.True(a, slices.Contains(strings.Fields(names), name) || slices.Contains(optional, name),
			"%s is sent and not named", name)
	}
}

// collection calls a list and returns its items.
func (a *api) collection(path, key, name string) []any {
	a.Helper()
	ans := a.call("GET", path, key, nil)
	require.Equal(a, 200, ans.status, ans.body)
	items, ok := ans.field(name).([]any)
	require.True(a, ok, "no collection %s in %s", name, ans.body)
	a.paginated(ans)
	return items
}

func (a *api) paginated(ans answer) {
	a.Helper()
	a.fields(ans.field("pagination"), "limit has_more next_cursor", "offset", "total", "total_estimated", "newest_cursor")
}

// until repeats the call until the field has the value.
func (a *api) until(path, field string, want any) answer {
	a.Helper()
	var ans answer
	require.Eventually(a, func() bool {
		ans = a.call("GET", path, a.dev.CustomerKey, nil)
		return ans.field(field) == want
	}, time.Minute, 20*time.Millisecond, "%s never became %v", field, want)
	return ans
}

const workloadNames = `workload_id customer_id workload_type status status_reason priority labels affinity_rules
	generation worker_id last_worker_id progress_percent progress_message checkpoint_sequence retry_count
	redistribution_count input_params result_data error_message error_type created_at run_at scheduled_at started_at
	completed_at updated_at estimated_completion_time`

// TestNames_OnTheWire_AreThoseOfTheSpecification plays a client that was written from the published
// specification: each point checks names, status and shape of a request or an answer.
func TestNames_OnTheWire_AreThoseOfTheSpecification(t *testing.T) {
	a := newAPI(t, 1)
	customer := func(method, path string, body any) answer {
		a.Helper()
		return a.call(method, path, a.dev.CustomerKey, body)
	}
	later := func() map[string]any {
		return map[string]any{"workload_type": "sleep", "input_params": map[string]any{}, "run_at": time.Now().Add(time.Hour)}
	}
	point := func(name string, check func(a *api)) {
		t.Run(name, func(t *testing.T) {
			outer := a.T
			a.T = t
			defer func() { a.T = outer }()
			check(a)
		})
	}

	for _, rules := range []string{"hard_affinity", "soft_affinity", "anti_affinity"} {
		point("affinity/"+rules, func(a *api) {
			body := later()
			terms := map[string]any{"worker_id": "w-1", "worker_tags": map[string]any{"zone": "a"},
				"workload_types": []any{"sleep"}}
			body["affinity_rules"] = map[string]any{rules: terms}
			ans := customer("POST", "/v1/workloads", body)
			require.Equal(a, 202, ans.status, ans.body)
			got := customer("GET", "/v1/workloads/"+ans.field("workload_id").(string), nil)
			require.Equal(a, map[string]any{rules: terms}, got.field("affinity_rules"))
		})
	}
	point("affinity/old names", func(a *api) {
		body := later()
		body["affinity_rules"] = map[string]any{"hard": map[string]any{}}
		a.refused(customer("POST", "/v1/workloads", body), 400, "INVALID_INPUT", "affinity_rules.hard")
	})

	point("submit", func(a *api) {
		body := later()
		body["priority"], body["timeout_seconds"], body["max_retries"] = 20, 60, 3
		body["labels"] = map[string]any{"team": "billing"}
		ans := customer("POST", "/v1/workloads", body)
		require.Equal(a, 202, ans.status, ans.body)
		var v map[string]any
		ans.decode(a, &v)
		a.fields(v, "workload_id status created_at estimated_start_time", "status_reason", "estimate_confidence")
	})
	point("batch", func(a *api) {
		ans := customer("POST", "/v1/workloads/batch", map[string]any{"workloads": []any{later(),
			map[string]any{"workload_type": ""}}})
		require.Equal(a, 200, ans.status, ans.body)
		results := ans.field("results").([]any)
		a.fields(results[0], "workload_id status", "status_reason")
		a.fields(results[1], "error")
	})

	// A workload that runs, with a log, an audit trail and a checkpoint.
	ran := customer("POST", "/v1/workloads", map[string]any{
		"workload_type": "exec", "input_params": map[string]any{"command": []any{"sh", "-c", "echo hello; exit 0"}},
	})
	require.Equal(t, 202, ran.status, ran.body)
	ranPath := "/v1/workloads/" + ran.field("workload_id").(string)
	done := a.until(ranPath, "status", "COMPLETED")
	point("workload", func(a *api) {
		var v map[string]any
		done.decode(a, &v)
		a.fields(v, workloadNames, "max_retries", "retry_of")
		require.Nil(a, done.field("worker_id"))
		require.Equal(a, "dev-worker-1", done.field("last_worker_id"))
	})
	point("workload/failed", func(a *api) {
		failed := customer("POST", "/v1/workloads", map[string]any{
			"workload_type": "exec", "input_params": map[string]any{"command": []any{"sh", "-c", "exit 65"}},
		})
		got := a.until("/v1/workloads/"+failed.field("workload_id").(string), "status", "FAILED")
		require.NotEmpty(a, got.field("error_type"))
		require.NotEmpty(a, got.field("error_message"))
	})
	point("workload/wait", func(a *api) {
		require.Equal(a, 200, customer("GET", ranPath+"?wait=1s", nil).status)
	})

	point("collections/workloads", func(a *api) {
		require.NotEmpty(a, a.collection("/v1/workloads", a.dev.CustomerKey, "workloads"))
		ans := customer("GET", "/v1/workloads?limit=1&offset=0", nil)
		a.fields(ans.field("pagination"), "limit has_more next_cursor newest_cursor offset total total_estimated")
	})
	point("collections/logs", func(a *api) {
		ans := customer("GET", ranPath+"/logs", nil)
		var v map[string]any
		ans.decode(a, &v)
		a.fields(v, "workload_id logs has_more")
		require.Equal(a, false, v["has_more"])
		require.NotEmpty(a, v["logs"])
	})
	point("log line", func(a *api) {
		line := customer("GET", ranPath+"/logs", nil).field("logs").([]any)[0]
		a.fields(line, "timestamp level message stream details", "seq", "generation")
		m := line.(map[string]any)
		require.Contains(a, []string{"DEBUG", "INFO", "WARN", "ERROR"}, m["level"])
		require.Equal(a, "hello", m["message"])
		require.Equal(a, "stdout", m["stream"])
		require.IsType(a, map[string]any{}, m["details"])
	})
	point("log line/details", func(a *api) {
		told := customer("POST", "/v1/workloads", map[string]any{"workload_type": "exec", "input_params": map[string]any{
			"command": []any{"sh", "-c", `echo '{"type":"log","level":"warn","message":"m","details":{"files":3}}' >&3`},
		}})
		path := "/v1/workloads/" + told.field("workload_id").(string)
		a.until(path, "status", "COMPLETED")
		line := customer("GET", path+"/logs", nil).field("logs").([]any)[0].(map[string]any)
		require.Equal(a, "WARN", line["level"])
		require.Equal(a, map[string]any{"files": 3.0}, line["details"])
		masked := a.call("GET", path+"/logs", a.key("viewer"), nil).field("logs").([]any)[0].(map[string]any)
		require.Equal(a, map[string]any{}, masked["details"], "a viewer sees no payload")
	})
	point("logs/has_more", func(a *api) {
		many := customer("POST", "/v1/workloads", map[string]any{
			"workload_type": "exec", "input_params": map[string]any{"command": []any{"sh", "-c", "echo 1; echo 2; echo 3"}},
		})
		path := "/v1/workloads/" + many.field("workload_id").(string)
		a.until(path, "status", "COMPLETED")
		ans := customer("GET", path+"/logs?limit=2&after=0", nil)
		require.Len(a, ans.field("logs"), 2)
		require.Equal(a, true, ans.field("has_more"))
		require.Equal(a, false, customer("GET", path+"/logs?limit=3&after=0", nil).field("has_more"))
	})
	point("collections/events", func(a *api) {
		require.NotEmpty(a, a.collection(ranPath+"/audit", a.dev.CustomerKey, "events"))
	})
	point("audit event", func(a *api) {
		events := customer("GET", ranPath+"/audit", nil).field("events").([]any)
		a.fields(events[0], "event_id event_type timestamp actor_type actor_id details", "workload_id")
		a.fields(events[0].(map[string]any)["details"], "to", "generation")
		scheduled := events[1].(map[string]any)
		require.Equal(a, "workload.scheduled", scheduled["event_type"])
		a.fields(scheduled["details"], "worker_id generation from to", "reason")
	})
	point("collections/checkpoints", func(a *api) {
		a.collection(ranPath+"/checkpoints", a.dev.CustomerKey, "checkpoints")
	})
	point("placement", func(a *api) { require.Equal(a, 200, customer("GET", ranPath+"/placement", nil).status) })

	point("cancel", func(a *api) {
		path := "/v1/workloads/" + customer("POST", "/v1/workloads", later()).field("workload_id").(string)
		ans := customer("POST", path+"/cancel", map[string]any{"reason": "no longer needed"})
		require.Equal(a, 200, ans.status, ans.body)
		var v map[string]any
		ans.decode(a, &v)
		a.fields(v, "workload_id status cancelled_at", "checkpoint_sequence")
		require.Equal(a, "CANCELLED", v["status"])
	})
	point("pause and resume", func(a *api) {
		path := "/v1/workloads/" + customer("POST", "/v1/workloads", map[string]any{
			"workload_type": "sleep", "input_params": map[string]any{"duration_ms": 60_000, "steps": 600},
		}).field("workload_id").(string)
		a.until(path, "status", "RUNNING")
		ans := customer("POST", path+"/pause", nil)
		require.Equal(a, 200, ans.status, ans.body)
		var v map[string]any
		ans.decode(a, &v)
		a.fields(v, "workload_id status paused_at checkpoint_sequence")
		require.Equal(a, "PAUSED", v["status"])
		ans = customer("POST", path+"/resume", nil)
		require.Equal(a, 202, ans.status, ans.body)
		require.Equal(a, "PENDING", ans.field("status"))
		require.Equal(a, 200, customer("POST", path+"/cancel", nil).status)
	})

	made := customer("POST", "/v1/workload-configs", map[string]any{"workload_type": "report", "description": "old",
		"max_retries": 7})
	require.Equal(t, 201, made.status, made.body)
	configPath := "/v1/workload-configs/" + made.field("config_id").(string)
	point("collections/configs", func(a *api) {
		require.NotEmpty(a, a.collection("/v1/workload-configs", a.dev.CustomerKey, "configs"))
	})
	point("collections/pages", func(a *api) {
		other := customer("POST", "/v1/workload-configs", map[string]any{"workload_type": "archive"})
		require.Equal(a, 201, other.status, other.body)
		first := customer("GET", "/v1/workload-configs?limit=1", nil)
		require.Equal(a, true, first.field("pagination.has_more"))
		next := "/v1/workload-configs?limit=1&cursor=" + first.field("pagination.next_cursor").(string)
		second := customer("GET", next, nil)
		require.Equal(a, false, second.field("pagination.has_more"))
		seen := append(first.field("configs").([]any), second.field("configs").([]any)...)
		require.Len(a, seen, 2)
		require.Equal(a, "archive", seen[0].(map[string]any)["workload_type"])
		require.Equal(a, "report", seen[1].(map[string]any)["workload_type"])
		trail := customer("GET", ranPath+"/audit?limit=1", nil)
		require.Len(a, trail.field("events"), 1)
		rest := customer("GET", ranPath+"/audit?cursor="+trail.field("pagination.next_cursor").(string), nil)
		require.Equal(a, "workload.scheduled", rest.field("events").([]any)[0].(map[string]any)["event_type"])
	})
	point("config/put", func(a *api) {
		ans := customer("PUT", configPath, map[string]any{"description": "new"})
		require.Equal(a, 200, ans.status, ans.body)
		require.Equal(a, "new", ans.field("description"))
		require.InDelta(a, 7, ans.field("max_retries"), 0)
		require.Equal(a, 200, customer("PUT", configPath, map[string]any{}).status)
	})
	point("config/conflict", func(a *api) {
		a.refused(customer("POST", "/v1/workload-configs", map[string]any{"workload_type": "report"}), 409, "CONFLICT", "")
	})
	point("config/delete", func(a *api) { require.Equal(a, 204, customer("DELETE", configPath, nil).status) })

	point("customer/limits", func(a *api) {
		a.fields(customer("GET", "/v1/customer", nil).field("limits"),
			"max_concurrent_workloads max_queue_depth rate_limit_per_sec burst")
	})
	point("collections/customers", func(a *api) { a.collection("/v1/admin/customers", a.dev.AdminKey, "customers") })
	point("collections/keys", func(a *api) { a.collection("/v1/admin/customers/cust_dev/keys", a.dev.AdminKey, "keys") })
	point("collections/workers", func(a *api) {
		require.Len(a, a.collection("/v1/admin/workers", a.dev.AdminKey, "workers"), 1)
	})
	point("worker", func(a *api) {
		blocked := customer("POST", "/v1/workloads", sleepBody(60_000)).field("workload_id").(string)
		a.until("/v1/workloads/"+blocked, "status", "RUNNING")
		var w any
		require.Eventually(a, func() bool { // a run that ends has its slot until its worker has told
			w = a.collection("/v1/admin/workers", a.dev.AdminKey, "workers")[0]
			return w.(map[string]any)["capacity_used"] == 1.0
		}, 30*time.Second, 20*time.Millisecond)
		a.fields(w, `worker_id status capacity_total capacity_used last_heartbeat running_workloads capabilities
			tags resources version`,
			"session_id", "registered_at", "lease_until", "ending_runs", "allocated")
		m := w.(map[string]any)
		require.Equal(a, []any{blocked}, m["running_workloads"])
		require.Equal(a, 200, customer("POST", "/v1/workloads/"+blocked+"/cancel", nil).status)
		drained := a.call("POST", "/v1/admin/workers/"+m["worker_id"].(string)+"/drain", a.dev.AdminKey, nil)
		require.Equal(a, 200, drained.status, drained.body)
		require.Equal(a, "DRAINING", drained.field("status"))
		require.Equal(a, 200, a.call("POST", "/v1/admin/workers/"+m["worker_id"].(string)+"/undrain", a.dev.AdminKey,
			nil).status)
	})

	point("health", func(a *api) {
		var v map[string]any
		a.call("GET", "/health", "", nil).decode(a, &v)
		a.fields(v, "status timestamp uptime_seconds version")
		require.Equal(a, "healthy", v["status"])
		require.Equal(a, "test", v["version"])
		require.Less(a, v["uptime_seconds"], 600.0)
		told, err := time.Parse(time.RFC3339, v["timestamp"].(string))
		require.NoError(a, err)
		require.WithinDuration(a, time.Now(), told, time.Minute)
	})
	point("ready", func(a *api) {
		ans := a.until("/ready", "is_leader", true)
		require.Equal(a, "ready", ans.field("status"))
		require.Equal(a, "connected", ans.field("dependencies.database"))
		require.Equal(a, "connected", ans.field("dependencies.broker"))
		require.Equal(a, true, ans.field("dependencies.leader_elected"))
	})

	for _, c := range []struct {
		name, method, path, key string
		body                    any
		status                  int
		code, field             string
	}{
		{"invalid input", "POST", "/v1/workloads", a.dev.CustomerKey,
			map[string]any{"input_params": map[string]any{}}, 400, "INVALID_INPUT", "workload_type"},
		{"unauthorized", "GET", "/v1/workloads", "nonsense", nil, 401, "UNAUTHORIZED", ""},
		{"forbidden", "GET", "/v1/admin/workers", a.dev.CustomerKey, nil, 403, "FORBIDDEN", ""},
		{"not found", "GET", "/v1/workloads/wl_none", a.dev.CustomerKey, nil, 404, "NOT_FOUND", ""},
		{"too large", "POST", "/v1/workloads", a.dev.CustomerKey, `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, 413,
			"TOO_LARGE", ""},
		{"method not allowed", "DELETE", "/v1/workloads", a.dev.CustomerKey, nil, 405, "METHOD_NOT_ALLOWED", ""},
	} {
		point("errors/"+c.name, func(a *api) {
			ans := a.call(c.method, c.path, c.key, c.body)
			a.refused(ans, c.status, c.code, c.field)
			a.fields(ans.field("error"), "code message details request_id")
			if c.status == 405 {
				require.NotEmpty(a, ans.header.Get("Allow"))
			}
		})
	}
	point("errors/unknown type", func(a *api) {
		strict := newAPI(a.T, 1, func(c *Config) { c.RequireKnownTypes = true })
		ans := strict.call("POST", "/v1/workloads", strict.dev.CustomerKey,
			map[string]any{"workload_type": "none", "input_params": map[string]any{}})
		strict.refused(ans, 400, "INVALID_INPUT", "workload_type")
		require.Contains(a, fmt.Sprint(ans.field("error.details.supported_types")), "sleep")
	})
}
