package bootstrap

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSubmit_BeforeAnyWorkerOffersTheType_IsAcceptedAndWaits(t *testing.T) {
	onEachStore(t, func(a *api) {
		ans := a.send("POST", "/v1/workloads", `{"workload_type":"unheard","input_params":{}}`, nil)
		require.Equal(a, 202, ans.status, ans.body)
		require.Equal(a, `no worker offers type "unheard" yet`, ans.field("status_reason"))
		placement := a.send("GET", "/v1/workloads/"+ans.field("workload_id").(string)+"/placement", "", nil)
		require.Contains(a, placement.body,
			`"code":"type_not_offered","message":"no worker offers type \"unheard\" yet"`)
		batch := a.send("POST", "/v1/workloads/batch", `{"workloads":[{"workload_type":"unheard","input_params":{}}]}`,
			nil)
		require.Contains(a, batch.body, `"status_reason":"no worker offers type \"unheard\" yet"`)

		worker := map[string]string{"Authorization": "Bearer " + a.dev.WorkerKey}
		reg := a.send("POST", "/v1/worker/register",
			`{"worker_id":"w","session_id":"s","capabilities":["unheard"],"slots":1}`, worker)
		require.Equal(a, 200, reg.status, reg.body)
		ans = a.send("POST", "/v1/workloads", `{"workload_type":"unheard","input_params":{}}`, nil)
		require.Equal(a, 202, ans.status)
		require.Nil(a, ans.field("status_reason"), "a worker that has just registered is known at once")
	})
}

func TestSubmit_WhereKnownTypesAreRequired_ListsThoseSupported(t *testing.T) {
	onEachStore(t, func(a *api) {
		admin := map[string]string{"Authorization": "Bearer " + a.dev.AdminKey}
		require.Equal(a, 201, a.send("POST", "/v1/admin/customers",
			`{"customer_id":"cust_rival","name":"R","tier":"free"}`, admin).status)
		rival := map[string]string{
			"Authorization": "Bearer " + a.send("POST", "/v1/admin/customers/cust_rival/keys", `{"role":"customer"}`,
				admin).field("key").(string),
		}
		require.Equal(a, 201, a.send("POST", "/v1/workload-configs", `{"workload_type":"secret-of-rival"}`,
			rival).status)
		require.Equal(a, 201, a.send("POST", "/v1/workload-configs", `{"workload_type":"mine"}`, nil).status)
		const body = `{"workload_type":"unheard","input_params":{}}`
		refused := a.send("POST", "/v1/workloads", body, nil)
		a.refused(refused, 400, "INVALID_INPUT", "workload_type")
		require.Equal(a, []any{"mine"}, refused.field("error.details.supported_types"))
		require.NotContains(a, refused.body, "rival")
		require.Equal(a, 202, a.send("POST", "/v1/workloads", `{"workload_type":"mine","input_params":{}}`, nil).status)
		worker := map[string]string{"Authorization": "Bearer " + a.dev.WorkerKey}
		require.Equal(a, 200, a.send("POST", "/v1/worker/register",
			`{"worker_id":"w","session_id":"s","capabilities":["unheard"],"slots":1}`, worker).status)
		require.Equal(a, 202, a.send("POST", "/v1/workloads", body, nil).status)
		other := a.send("POST", "/v1/workloads", `{"workload_type":"x","input_params":{}}`, nil)
		require.Equal(a, []any{"mine", "unheard"}, other.field("error.details.supported_types"))
		require.Equal(a, 204, a.send("DELETE", "/v1/admin/workers/w", "", admin).status)
	}, "NIYANTA_REQUIRE_KNOWN_TYPES=true")
}

// TestSubmit_WhenItsTypeIsNoLongerKnown_MayStillBeRepeated: the first answer may not have arrived, and
// the last worker of the type may have gone since.
func TestSubmit_WhenItsTypeIsNoLongerKnown_MayStillBeRepeated(t *testing.T) {
	onEachStore(t, func(a *api) {
		admin := map[string]string{"Authorization": "Bearer " + a.dev.AdminKey}
		worker := map[string]string{"Authorization": "Bearer " + a.dev.WorkerKey}
		require.Equal(a, 200, a.send("POST", "/v1/worker/register",
			`{"worker_id":"w","session_id":"s","capabilities":["rare"],"slots":1}`, worker).status)
		const item = `{"workload_type":"rare","input_params":{},"run_at":"2100-01-01T00:00:00Z"`
		post := func(path, key, body string) answer {
			return a.send("POST", "/v1/workloads"+path, body, map[string]string{"Idempotency-Key": key})
		}
		// The batch's own answer is not kept under another key: its item has one of its own.
		batch := func(key string) answer {
			return post("/batch", key, `{"workloads":[`+item+`,"idempotency_key":"item"}]}`)
		}
		first, inBatch := post("", "k", item+`}`), batch("b1")
		require.Equal(a, 202, first.status, first.body)
		require.Contains(a, inBatch.body, `"workload_id"`)
		path := "/" + first.field("workload_id").(string)
		require.Equal(a, 200, post(path+"/cancel", "c", "").status)
		retried, again := post(path+"/retry", "r", "{}"), post("/batch/retry", "bulk", `{"workload_ids":["`+path[1:]+`"]}`)
		require.Equal(a, 202, retried.status, retried.body)
		require.InDelta(a, 1, again.field("applied"), 0, again.body)

		require.Equal(a, 204, a.send("DELETE", "/v1/admin/workers/w", "", admin).status)
		require.Eventually(a, func() bool { // it counts as offered for a moment
			return a.send("POST", "/v1/workloads", item+`}`, nil).status == 400
		}, 30*time.Second, 50*time.Millisecond)
		same := post("", "k", item+`}`)
		require.Equal(a, 202, same.status, same.body)
		require.Equal(a, first.field("workload_id"), same.field("workload_id"))
		meant := post("", "k", item+`,"priority":10}`)
		require.Equal(a, first.field("workload_id"), meant.field("workload_id"), "it means the same: %s", meant.body)
		a.refused(post("", "k", item+`,"priority":11}`), 409, "CONFLICT", "Idempotency-Key")
		refused := post("", "new", item+`}`)
		a.refused(refused, 400, "INVALID_INPUT", "workload_type")
		require.Equal(a, []any{}, refused.field("error.details.supported_types"))
		made := inBatch.field("results").([]any)[0].(map[string]any)["workload_id"]
		require.Equal(a, made, batch("b2").field("results").([]any)[0].(map[string]any)["workload_id"])
		sameRetry := post(path+"/retry", "r", "{}")
		require.Equal(a, 202, sameRetry.status, sameRetry.body)
		require.Equal(a, retried.field("workload_id"), sameRetry.field("workload_id"))
		a.refused(post(path+"/retry", "new", "{}"), 400, "INVALID_INPUT", "workload_type")
		require.Equal(a, again.body, post("/batch/retry", "bulk", `{"workload_ids":["`+path[1:]+`"]}`).body)
	}, "NIYANTA_REQUIRE_KNOWN_TYPES=true")
}

func TestIdempotencyKey_WhenTheBodyMeansTheSame_ReturnsTheFirstWorkload(t *testing.T) {
	onEachStore(t, func(a *api) {
		submit := func(key, rest string) answer {
			return a.send("POST", "/v1/workloads", `{"workload_type":"sleep","input_params":{"a":1,"b":[1.0]}`+rest+`}`,
				map[string]string{"Idempotency-Key": key})
		}
		first := submit("defaults", "")
		require.Equal(a, 202, first.status, first.body)
		for _, same := range []string{
			"", `,"priority":10`, `,"priority":1e1`, `,"labels":{}`, `,"affinity_rules":{}`,
			`,"affinity_rules":{"hard_affinity":{},"anti_affinity":{"worker_tags":{}}}`, `,"timeout_seconds":3600`,
			`,"timeout_seconds":3600.0,"max_retries":5,"priority":10,"labels":{}`,
		} {
			again := submit("defaults", same)
			require.Equal(a, 202, again.status, "%s: %s", same, again.body)
			require.Equal(a, first.field("workload_id"), again.field("workload_id"), same)
		}
		for _, other := range []string{
			`,"priority":11`, `,"labels":{"a":"b"}`, `,"timeout_seconds":0`, `,"max_retries":4`,
			`,"run_at":"2030-01-01T00:00:00Z"`,
		} {
			a.refused(submit("defaults", other), 409, "CONFLICT", "Idempotency-Key")
		}
		zoned := submit("zones", `,"run_at":"2030-01-01T00:00:00Z"`)
		for _, at := range []string{
			"2030-01-01t00:00:00z", "2030-01-01T01:00:00+01:00", "2029-12-31T23:30:00.000-00:30",
		} {
			require.Equal(a, zoned.field("workload_id"), submit("zones", `,"run_at":"`+at+`"`).field("workload_id"), at)
		}
		a.refused(submit("zones", `,"run_at":"2030-01-01T00:00:01Z"`), 409, "CONFLICT", "Idempotency-Key")

		// The same bytes are the same submission, although the defaults have changed since.
		require.Equal(a, 201, a.send("POST", "/v1/workload-configs",
			`{"workload_type":"sleep","timeout_seconds":60,"max_retries":1}`, nil).status)
		require.Equal(a, first.field("workload_id"), submit("defaults", "").field("workload_id"))
		require.Equal(a, first.field("workload_id"), submit("defaults",
			`,"timeout_seconds":3600,"max_retries":5`).field("workload_id"))
	})
}

func TestRetries_SetBySubmissionOrConfig_AreUsed(t *testing.T) {
	onEachStore(t, func(a *api) {
		cfg := a.send("POST", "/v1/workload-configs",
			`{"workload_type":"sleep","retry_backoff":{"initial_seconds":900,"factor":1.5}}`, nil)
		require.Equal(a, 201, cfg.status, cfg.body)
		require.Equal(a, map[string]any{"initial_seconds": 900.0, "factor": 1.5, "max_seconds": 900.0},
			cfg.field("retry_backoff"))
		require.InDelta(a, 5, cfg.field("max_retries"), 0)
		plain := a.send("POST", "/v1/workload-configs", `{"workload_type":"http"}`, nil)
		require.Equal(a, map[string]any{"initial_seconds": 5.0, "factor": 3.0, "max_seconds": 600.0},
			plain.field("retry_backoff"))
		for body, field := range map[string]string{
			`{"initial_seconds":0}`: "retry_backoff.initial_seconds", `{"factor":0.5}`: "retry_backoff.factor",
			`{"max_seconds":1}`: "retry_backoff.max_seconds", `{"max_seconds":1e6}`: "retry_backoff.max_seconds",
			`{"cap":1}`: "retry_backoff.cap",
		} {
			a.refused(a.send("POST", "/v1/workload-configs", `{"workload_type":"x","retry_backoff":`+body+`}`, nil),
				400, "INVALID_INPUT", field)
		}
		id := a.send("POST", "/v1/workloads", `{"workload_type":"sleep","input_params":{},"max_retries":2}`,
			nil).field("workload_id").(string)
		require.InDelta(a, 2, a.send("GET", "/v1/workloads/"+id, "", nil).field("max_retries"), 0)
		a.refused(a.send("POST", "/v1/workloads", `{"workload_type":"sleep","input_params":{},"max_retries":-1}`, nil),
			400, "INVALID_INPUT", "max_retries")

		// The workload fails, and says which retry it waits for and until when.
		worker := map[string]string{"Authorization": "Bearer " + a.dev.WorkerKey}
		require.Equal(a, 200, a.send("POST", "/v1/worker/register",
			`{"worker_id":"w","session_id":"s","capabilities":["sleep"],"slots":1}`, worker).status)
		require.Eventually(a, func() bool {
			return a.send("GET", "/v1/workloads/"+id, "", nil).field("status") == "SCHEDULED"
		}, 30*time.Second, 20*time.Millisecond)
		report := a.send("POST", "/v1/worker/report",
			`{"worker_id":"w","session_id":"s","reports":[{"report_id":"1","workload_id":"`+id+`","generation":1,`+
				`"event":"fail","failure":{"type":"downstream","message":"503"}}]}`, worker)
		require.Contains(a, report.body, `"applied"`)
		placement := a.send("GET", "/v1/workloads/"+id+"/placement", "", nil)
		require.Contains(a, placement.body,
			`"code":"retry_backoff","message":"retry 1 of 2 after failure \"downstream\", not before 20`)
	})
}

func TestSubmit_OfAProgramThatNoWorkerMayStart_SaysSo(t *testing.T) {
	onEachStore(t, func(a *api) {
		worker := map[string]string{"Authorization": "Bearer " + a.dev.WorkerKey}
		reg := a.send("POST", "/v1/worker/register",
			`{"worker_id":"w","session_id":"s","capabilities":["exec","exec:sh"],"slots":1}`, worker)
		require.Equal(a, 200, reg.status, reg.body)
		for program, reason := range map[string]any{"sh": nil, "ffmpeg": `no worker may start program "ffmpeg" yet`} {
			ans := a.send("POST", "/v1/workloads",
				`{"workload_type":"exec","input_params":{"command":["`+program+`"]}}`, nil)
			require.Equal(a, 202, ans.status, ans.body)
			require.Equal(a, reason, ans.field("status_reason"), program)
		}
	})
}
