package bootstrap

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
)

// onEachStore runs a test of the API on a server in memory and on one with PostgreSQL, without
// workers. One that the test plays keeps its session without heartbeats.
func onEachStore(t *testing.T, test func(a *api), env ...string) {
	t.Helper()
	env = append(env, "NIYANTA_WORKER_LEASE=1h")
	t.Run(StoreMemory, func(t *testing.T) {
		test(newAPI(t, 0, func(c *Config) {
			changed, err := Load(append([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"}, env...))
			require.NoError(t, err)
			*c = changed
		}))
	})
	t.Run(StorePostgres, func(t *testing.T) {
		c := servers.SharedPostgres(t, preparePostgres)
		cfg, err := Load(append([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_STORE=postgres"}, env...))
		require.NoError(t, err)
		db := c.Database(t)
		t.Cleanup(func() { c.Drop(t, db) })
		cfg.PostgresURL = c.SocketURL(db)
		d, err := newDevOn(context.Background(), cfg, 0, "test", silent,
			func(cfg Config, log *slog.Logger) (*App, error) {
				return NewCoordinator(context.Background(), cfg, log)
			})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, d.Close(context.Background())) })
		many := domain.To(1_000_000)
		_, err = d.App.coordinator.Tenancy.UpdateCustomer(t.Context(), DevCustomer,
			domain.CustomerPatch{Limits: domain.LimitsPatch{
				Burst: many, RatePerSec: domain.To(1e6), MaxQueueDepth: many, MaxConcurrent: many,
			}}, domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
		test(newAPIOf(t, d))
	})
}

// send calls with headers as they are given.
func (a *api) send(method, path, body string, header map[string]string) answer {
	a.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(a.Context(), method, a.dev.App.URL()+path, reader)
	require.NoError(a, err)
	req.Header.Set("Authorization", "Bearer "+a.dev.CustomerKey)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		req.Header[k] = []string{v}
	}
	return a.do(req)
}

func TestText_ThatAStoreCannotKeep_IsRefusedOnEachStore(t *testing.T) {
	onEachStore(t, func(a *api) {
		for _, bad := range []string{"%00", "%ff", "a%00b", "%ed%a0%80", "%2500", "%25ff"} {
			for _, c := range []struct{ method, path, field string }{
				{"GET", "/v1/workloads/%s", "id"}, {"POST", "/v1/workloads/%s/cancel", "id"},
				{"POST", "/v1/workloads/%s/pause", "id"}, {"POST", "/v1/workloads/%s/resume", "id"},
				{"POST", "/v1/workloads/%s/checkpoint", "id"}, {"GET", "/v1/workloads/%s/logs", "id"},
				{"GET", "/v1/workloads/%s/audit", "id"}, {"GET", "/v1/workloads/%s/placement", "id"},
				{"GET", "/v1/workloads/%s/checkpoints", "id"}, {"GET", "/v1/workload-configs/%s", "id"},
				{"GET", "/v1/workloads/%s/checkpoints/1?data=true", "id"},
				{"GET", "/v1/workloads/x/checkpoints/%s", "sequence"},
				{"DELETE", "/v1/workload-configs/%s", "id"},
			} {
				ans := a.send(c.method, fmt.Sprintf(c.path, bad), "", nil)
				if strings.HasPrefix(bad, "%25") && ans.status == 404 {
					continue // decoded once, it is valid text
				}
				a.refused(ans, 400, "INVALID_INPUT", c.field)
			}
			for _, c := range []struct{ method, path, field string }{
				{"GET", "/v1/admin/customers/%s", "id"}, {"GET", "/v1/admin/customers/%s/keys", "id"},
				{"DELETE", "/v1/admin/customers/x/keys/%s", "key_id"}, {"POST", "/v1/admin/workers/%s/drain", "id"},
				{"DELETE", "/v1/admin/workers/%s", "id"},
			} {
				ans := a.send(c.method, fmt.Sprintf(c.path, bad), "",
					map[string]string{"Authorization": "Bearer " + a.dev.AdminKey})
				if strings.HasPrefix(bad, "%25") && ans.status == 404 {
					continue
				}
				a.refused(ans, 400, "INVALID_INPUT", c.field)
			}
			if strings.HasPrefix(bad, "%25") {
				continue
			}
			for query, field := range map[string]string{
				"workload_type=": "workload_type", "label=a%%3D": "label", "label=": "label", "cursor=": "cursor",
				"wait=": "wait", "unknown=": "unknown", "": "query",
			} {
				a.refused(a.send("GET", "/v1/workloads?"+strings.ReplaceAll(query, "%%", "%")+bad, "", nil), 400,
					"INVALID_INPUT", field)
			}
		}
		for _, bad := range []string{`\u0000`, "\xff", `\ud800`, `\udfff`, `x\ud800\ud800`, "\xed\xa0\x80"} {
			for _, c := range []struct{ body, field string }{
				{`{"workload_type":"sleep","input_params":{"a":["%s"]}}`,
					"input_params.a.0"},
				{`{"workload_type":"sleep","input_params":{},"labels":{"k":"%s"}}`,
					"labels.k"},
				{`{"workload_type":"sleep","input_params":{},"labels":{"%s":"v"}}`,
					"labels"},
				{`{"workload_type":"%s","input_params":{}}`,
					"workload_type"},
				{`{"workload_type":"sleep","input_params":{},"affinity_rules":{"hard_affinity":{"worker_id":"%s"}}}`,
					"affinity_rules.hard_affinity.worker_id"},
				{`{"workload_type":"sleep","input_params":{},"affinity_rules":{"anti_affinity":{"worker_tags":{"t":"%s"}}}}`,
					"affinity_rules.anti_affinity.worker_tags.t"},
				{`{"workload_type":"sleep","input_params":{},"affinity_rules":{"soft_affinity":{"workload_types":["sleep","%s"]}}}`,
					"affinity_rules.soft_affinity.workload_types.1"},
			} {
				a.refused(a.send("POST", "/v1/workloads", fmt.Sprintf(c.body, bad), nil), 400, "INVALID_INPUT", c.field)
			}
			a.refused(a.send("POST", "/v1/workload-configs", `{"workload_type":"sleep","description":"`+bad+`"}`, nil),
				400, "INVALID_INPUT", "description")
			a.refused(a.send("POST", "/v1/workloads/wl_x/cancel", `{"reason":"`+bad+`"}`, nil), 400,
				"INVALID_INPUT", "reason")
			admin := map[string]string{"Authorization": "Bearer " + a.dev.AdminKey}
			a.refused(a.send("POST", "/v1/admin/customers", `{"tier":"free","name":"`+bad+`"}`, admin), 400,
				"INVALID_INPUT", "name")
			a.refused(a.send("PATCH", "/v1/admin/customers/cust_dev", `{"name":"`+bad+`"}`, admin), 400,
				"INVALID_INPUT", "name")
		}
		const body = `{"workload_type":"sleep","input_params":{}}`
		a.refused(a.send("POST", "/v1/workloads", body, map[string]string{"Idempotency-Key": "a\xffb"}), 400,
			"INVALID_INPUT", "Idempotency-Key")
		a.refused(a.send("POST", "/v1/workloads", body, map[string]string{"Idempotency-Key": ""}), 400,
			"INVALID_INPUT", "Idempotency-Key")
		// An invalid request id is replaced by a new one.
		for name, value := range map[string]string{
			"X-Request-Id": "a\xff", "Traceparent": "00-\xff", "Tracestate": "\xff=1", "Baggage": "a=\xff",
		} {
			ans := a.send("GET", "/v1/workloads", "", map[string]string{name: value})
			require.Equal(a, 200, ans.status, "%s: %s", name, ans.body)
			require.NotContains(a, ans.header.Get("X-Request-Id"), "\xff")
		}
		for _, bad := range []string{
			"\xff", "nyt_cust_\xff_" + strings.Repeat("0", 32), "nyt_cust_dev_" + strings.Repeat("\xff", 32),
			"nyt_cust_dev_" + strings.Repeat("\u00e9", 16),
		} {
			a.refused(a.send("GET", "/v1/workloads", "", map[string]string{"Authorization": "Bearer " + bad}),
				401, "UNAUTHORIZED", "")
		}
		require.Empty(a, a.send("GET", "/v1/workloads", "", nil).field("workloads"), "nothing came of it")
	})
}

func TestBatch_WhenOneItemIsBad_ItsNeighboursAreAccepted(t *testing.T) {
	onEachStore(t, func(a *api) {
		bad := map[int]string{
			7:  `{"workload_type":"sleep","input_params":{},"priority":2000}`,
			99: `{"workload_type":"sleep","input_params":{},"colour":1}`, 500: `{"workload_type":7,"input_params":{}}`,
			501: `{"workload_type":"sleep","input_params":{"a":"\u0000"}}`,
			700: `{"workload_type":"sleep","input_params":{},"labels":{"a=b":"c"}}`, 999: `null`,
		}
		fields := map[int]string{
			7: "priority", 99: "colour", 500: "workload_type", 501: "input_params.a", 700: "labels", 999: "body",
		}
		items := make([]string, 1000)
		for i := range items {
			if items[i] = bad[i]; items[i] == "" {
				items[i] = fmt.Sprintf(`{"workload_type":"sleep","input_params":{"n":%d}}`, i)
			}
		}
		ans := a.send("POST", "/v1/workloads/batch", `{"workloads":[`+strings.Join(items, ",")+`]}`, nil)
		require.Equal(a, 200, ans.status, ans.body)
		results := ans.field("results").([]any)
		require.Len(a, results, 1000)
		for i, r := range results {
			r := r.(map[string]any)
			if field, refused := fields[i]; refused {
				e := r["error"].(map[string]any)
				require.Equal(a, "INVALID_INPUT", e["code"], i)
				require.Equal(a, field, e["details"].(map[string]any)["field"], i)
				require.NotContains(a, r, "workload_id")
				continue
			}
			require.Equal(a, "PENDING", r["status"], i)
		}
		w := a.send("GET", "/v1/workloads/"+results[998].(map[string]any)["workload_id"].(string), "", nil)
		require.InDelta(a, 998, w.field("input_params.n"), 0, "in the order of the request")
		all := a.send("POST", "/v1/workloads/batch", `{"workloads":[`+bad[7]+`]}`, nil)
		require.Equal(a, 200, all.status, all.body)
		for _, whole := range []string{
			`{"workloads":[]}`, `{"workloads":[` + items[0] + `],"colour":1}`, `{"workloads":` + items[0] + `}`,
			`{"workloads":[` + items[0] + `}`,
		} {
			a.refused(a.send("POST", "/v1/workloads/batch", whole, nil), 400, "INVALID_INPUT", "")
		}
	})
}

func TestTimes_OutsideOfTheStorableYears_AreRefused(t *testing.T) {
	onEachStore(t, func(a *api) {
		submit := func(at string) answer {
			return a.send("POST", "/v1/workloads", `{"workload_type":"sleep","input_params":{},"run_at":"`+at+`"}`, nil)
		}
		admin := map[string]string{"Authorization": "Bearer " + a.dev.AdminKey}
		for _, bad := range []string{
			"0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "1999-12-31T23:59:59.999Z", "2000-01-01T00:00:00+00:01",
			"2200-01-01T00:00:00Z", "2199-12-31T23:59:59-00:01", "9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59Z",
			"", "soon", "2026-02-30T00:00:00Z", "2026-01-02",
		} {
			a.refused(submit(bad), 400, "INVALID_INPUT", "run_at")
			a.refused(a.send("POST", "/v1/admin/customers/cust_dev/keys", `{"role":"viewer","expires_at":"`+bad+`"}`,
				admin), 400, "INVALID_INPUT", "expires_at")
			for _, name := range []string{"created_after", "created_before"} {
				a.refused(a.send("GET", "/v1/workloads?"+name+"="+strings.ReplaceAll(bad, "+", "%2B"), "", nil), 400,
					"INVALID_INPUT", name)
			}
			for _, name := range []string{"since", "until"} {
				a.refused(a.send("GET", "/v1/workloads/wl_x/logs?"+name+"="+strings.ReplaceAll(bad, "+", "%2B"), "",
					nil), 400, "INVALID_INPUT", name)
			}
		}
		for at, shown := range map[string]string{
			"2000-01-01t00:00:00z":           "2000-01-01T00:00:00.000Z",
			"2199-12-31T23:59:59.999999999Z": "2199-12-31T23:59:59.999Z",
			"2030-01-02t03:04:05.5+02:00":    "2030-01-02T01:04:05.500Z",
			"2199-12-31T23:59:59+23:59":      "2199-12-31T00:00:59.000Z",
		} {
			ans := submit(at)
			require.Equal(a, 202, ans.status, "%s: %s", at, ans.body)
			w := a.send("GET", "/v1/workloads/"+ans.field("workload_id").(string), "", nil)
			require.Equal(a, shown, w.field("run_at"), at)
		}
		list := a.send("GET", "/v1/workloads?created_after=2026-01-01t00:00:00z", "", nil)
		require.Equal(a, 200, list.status)
		for _, w := range list.field("workloads").([]any) {
			if at, ok := w.(map[string]any)["run_at"].(string); ok {
				_, err := time.Parse(time.RFC3339, at)
				require.NoError(a, err, "no value that was accepted breaks a list")
			}
		}
	})
}

func TestList_FilteredByTime_ComparesTimesAsShown(t *testing.T) {
	onEachStore(t, func(a *api) {
		id := a.submit(sleepBody(0))
		created := a.send("GET", "/v1/workloads/"+id, "", nil).field("created_at").(string)
		require.Empty(a, a.send("GET", "/v1/workloads?created_after="+created, "", nil).field("workloads"),
			"it was not created after the time shown of it")
		require.Empty(a, a.send("GET", "/v1/workloads?created_before="+created, "", nil).field("workloads"))
		before, err := time.Parse(time.RFC3339, created)
		require.NoError(a, err)
		for _, filter := range []string{
			"created_after=" + before.Add(-time.Millisecond).Format(time.RFC3339Nano),
			"created_before=" + before.Add(time.Millisecond).Format(time.RFC3339Nano),
		} {
			require.Len(a, a.send("GET", "/v1/workloads?"+filter, "", nil).field("workloads"), 1, filter)
		}
	})
}

func TestEmptyStrings_WhereAValueIsNeeded_AreRefused(t *testing.T) {
	onEachStore(t, func(a *api) {
		admin := map[string]string{"Authorization": "Bearer " + a.dev.AdminKey}
		for _, name := range []string{"", " ", "\u00a0\u2003", "\u200b"} {
			a.refused(a.send("POST", "/v1/admin/customers", `{"tier":"free","name":"`+name+`"}`, admin), 400,
				"INVALID_INPUT", "name")
			a.refused(a.send("PATCH", "/v1/admin/customers/cust_dev", `{"name":"`+name+`"}`, admin), 400,
				"INVALID_INPUT", "name")
		}
		a.refused(a.send("POST", "/v1/admin/customers", `{"customer_id":"","tier":"free","name":"x"}`, admin), 400,
			"INVALID_INPUT", "customer_id")
		for _, c := range []struct{ body, field string }{
			{`{"workload_type":"","input_params":{}}`,
				"workload_type"},
			{`{"workload_type":"sleep","input_params":{},"affinity_rules":{"hard_affinity":{"worker_id":""}}}`,
				"affinity_rules.hard_affinity.worker_id"},
			{`{"workload_type":"sleep","input_params":{},"affinity_rules":{"hard_affinity":{"workload_types":[""]}}}`,
				"affinity_rules.hard_affinity.workload_types"},
			{`{"workload_type":"sleep","input_params":{},"affinity_rules":{"anti_affinity":{"worker_tags":{"":"x"}}}}`,
				"affinity_rules.anti_affinity.worker_tags"},
			{`{"workload_type":"sleep","input_params":{},"affinity_rules":{"soft_affinity":{"worker_tags":{"a=b":"x"}}}}`,
				"affinity_rules.soft_affinity.worker_tags"},
			{`{"workload_type":"sleep","input_params":{},"labels":{"":"x"}}`,
				"labels"},
			{`{"workload_type":"sleep","input_params":{},"labels":{" ":"x"}}`,
				"labels"},
			{`{"workload_type":"sleep","input_params":{},"labels":{"a=b":"x"}}`,
				"labels"},
		} {
			a.refused(a.send("POST", "/v1/workloads", c.body, nil), 400, "INVALID_INPUT", c.field)
		}
		for _, name := range []string{"workload_type", "cursor", "label", "limit", "offset", "order", "created_after"} {
			a.refused(a.send("GET", "/v1/workloads?"+name+"=", "", nil), 400, "INVALID_INPUT", name)
		}
		a.refused(a.send("GET", "/v1/workloads/wl_x?wait=", "", nil), 400, "INVALID_INPUT", "wait")
		// A condition that is empty by mistake must not select everything.
		for _, operation := range []string{"cancel", "pause", "resume", "retry"} {
			for _, c := range []struct{ condition, field string }{
				{`"workload_type":""`, "filter.workload_type"}, {`"status":[]`, "filter.status"},
				{`"label":[]`, "filter.label"}, {`"label":[""]`, "filter.label"}, {`"created_before":""`, "filter.created_before"},
			} {
				a.refused(a.send("POST", "/v1/workloads/batch/"+operation, `{"filter":{`+c.condition+`}}`, nil), 400,
					"INVALID_INPUT", c.field)
			}
		}
		// A value may be empty, and is found.
		require.Equal(a, 202, a.send("POST", "/v1/workloads",
			`{"workload_type":"sleep","input_params":{},"labels":{"a":""}}`, nil).status)
		require.Len(a, a.send("GET", "/v1/workloads?label=a%3D", "", nil).field("workloads"), 1)
	})
}

func TestIdempotencyKey_WhereItIsNotSupported_IsRefused(t *testing.T) {
	onEachStore(t, func(a *api) {
		for path, body := range map[string]string{
			"/v1/workload-configs": `{"workload_type":"sleep"}`, "/v1/workloads/wl_x/pause": "",
			"/v1/workloads/wl_x/resume": "",
		} {
			a.refused(a.send("POST", path, body, map[string]string{"Idempotency-Key": "k"}), 400,
				"INVALID_INPUT", "Idempotency-Key")
		}
	})
}

func TestPatchLimits_LimitsLeftOut_StayUnchanged(t *testing.T) {
	onEachStore(t, func(a *api) {
		admin := map[string]string{"Authorization": "Bearer " + a.dev.AdminKey}
		patch := func(body string) answer {
			ans := a.send("PATCH", "/v1/admin/customers/cust_x", body, admin)
			require.Equal(a, 200, ans.status, ans.body)
			return ans
		}
		made := a.send("POST", "/v1/admin/customers",
			`{"customer_id":"cust_x","name":"X","tier":"free","limits":{"burst":7,"max_queue_depth":9,`+
				`"rate_limit_per_sec":0.5}}`, admin)
		require.Equal(a, 201, made.status, made.body)
		for _, nothing := range []string{`{}`, `{"limits":{}}`, `{"name":"Y"}`, `{"limits":{"burst":7}}`} {
			ans := patch(nothing)
			require.InDelta(a, 7, ans.field("limits.burst"), 0, nothing)
			require.InDelta(a, 9, ans.field("limits.max_queue_depth"), 0, nothing)
			require.InDelta(a, 0.5, ans.field("limits.rate_limit_per_sec"), 0, nothing)
		}
		ans := patch(`{"limits":{"max_queue_depth":null,"burst":1e1}}`)
		require.InDelta(a, 10, ans.field("limits.burst"), 0)
		require.InDelta(a, 50, ans.field("limits.max_queue_depth"), 0, "the tier's")
		require.InDelta(a, 0.5, ans.field("limits.rate_limit_per_sec"), 0)
		a.refused(a.send("PATCH", "/v1/admin/customers/cust_x", `{"limits":{"burst":0}}`, admin), 400,
			"INVALID_INPUT", "limits.burst")
	})
}

func TestLogLines_WithTimesThatNoClientReads_GetTheServersTime(t *testing.T) {
	onEachStore(t, func(a *api) {
		worker := map[string]string{"Authorization": "Bearer " + a.dev.WorkerKey}
		reg := a.send("POST", "/v1/worker/register",
			`{"worker_id":"w","session_id":"s","capabilities":["sleep"],"slots":1}`, worker)
		require.Equal(a, 200, reg.status, reg.body)
		id := a.submit(sleepBody(0))
		require.Eventually(a, func() bool {
			return a.send("GET", "/v1/workloads/"+id, "", nil).field("status") == "SCHEDULED"
		}, 30*time.Second, 20*time.Millisecond)
		line := func(at string) string { return `{"at":"` + at + `","level":"info","message":"m"}` }
		report := a.send("POST", "/v1/worker/report",
			`{"worker_id":"w","session_id":"s","reports":[{"report_id":"0","workload_id":"`+id+
				`","generation":1,"event":"start"},`+
				`{"report_id":"1","workload_id":"`+id+`","generation":1,"event":"log","lines":[`+
				line("9999-12-31T23:59:59-01:00")+`,`+line("0001-01-01T00:00:00Z")+`,`+
				line("1970-01-01T00:00:00Z")+`]}]}`, worker)
		require.NotContains(a, report.body, `"illegal"`)
		lines := a.send("GET", "/v1/workloads/"+id+"/logs", "", nil).field("logs").([]any)
		require.Len(a, lines, 3)
		for _, l := range lines {
			at, err := time.Parse(time.RFC3339, l.(map[string]any)["timestamp"].(string))
			require.NoError(a, err)
			require.WithinDuration(a, time.Now(), at, time.Hour)
		}
	})
}
