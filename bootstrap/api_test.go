package bootstrap

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/apispec"
)

// api calls a development server with plain requests and checks every response against the OpenAPI
// file.
type api struct {
	*testing.T
	dev    *Dev
	spec   *apispec.Spec
	client *http.Client
}

func newAPI(t *testing.T, workers int, change ...func(*Config)) *api {
	t.Helper()
	d, _ := startDev(t, workers, append(change, func(c *Config) { c.ExecAllow = []string{"sh", "echo"} })...)
	return newAPIOf(t, d)
}

// loadSpecification reads the OpenAPI file once for all tests, because that takes long under the
// race detector.
var loadSpecification = sync.OnceValues(apispec.Load)

func newAPIOf(t *testing.T, d *Dev) *api {
	t.Helper()
	a := &api{T: t, dev: d, client: &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(a.client.CloseIdleConnections)
	var err error
	a.spec, err = loadSpecification()
	require.NoError(t, err)
	return a
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

// field reads a field of the body by path, such as "error.code".
func (a answer) field(path string) any {
	var v any
	if json.Unmarshal([]byte(a.body), &v) != nil {
		return nil
	}
	for _, key := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

func (a *api) call(method, path, key string, body any) answer {
	a.Helper()
	return a.do(a.request(method, path, key, body))
}

func (a *api) request(method, path, key string, body any) *http.Request {
	a.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case io.Reader:
		reader = b
	default:
		enc, err := json.Marshal(b)
		require.NoError(a, err)
		reader = bytes.NewReader(enc)
	}
	req, err := http.NewRequestWithContext(a.Context(), method, a.dev.App.URL()+path, reader)
	require.NoError(a, err)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

func (a *api) do(req *http.Request) answer {
	a.Helper()
	out, err := a.read(req)
	require.NoError(a, err)
	return out
}

// read sends a request, reads the answer, and checks it against the OpenAPI file.
func (a *api) read(req *http.Request) (answer, error) {
	resp, err := a.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	var body io.Reader = resp.Body
	if resp.Header.Get("Content-Type") == "text/event-stream" { // endless, so only its beginning is read
		body = io.LimitReader(body, 5)
	}
	b, err := io.ReadAll(body)
	if err := errors.Join(err, resp.Body.Close(), a.spec.Check(req, resp, b)); err != nil {
		return answer{}, err
	}
	return answer{resp.StatusCode, resp.Header, string(b)}, nil
}

func (a *api) refused(ans answer, status int, code, field string) {
	a.Helper()
	require.Equal(a, status, ans.status, ans.body)
	require.Equal(a, code, ans.field("error.code"), ans.body)
	require.NotEmpty(a, ans.field("error.message"))
	require.Equal(a, ans.header.Get("X-Request-Id"), ans.field("error.request_id"))
	if field != "" {
		require.Equal(a, field, ans.field("error.details.field"), ans.body)
	}
}

func TestRoutes_ForEachRole_AreOpenToTheirRolesOnly(t *testing.T) {
	a := newAPI(t, 0)
	viewer := a.key("viewer")
	keys := map[string]string{
		"customer": a.dev.CustomerKey, "viewer": viewer, "admin": a.dev.AdminKey, "worker": a.dev.WorkerKey,
		"scaler": a.operatorKey(map[string]any{"name": "keda", "role": "scaler"}).field("key").(string),
	}
	checked := 0
	for path, item := range a.spec.Paths.Map() {
		for method, op := range item.Operations() {
			roles := map[string]bool{}
			for _, r := range op.Extensions["x-roles"].([]any) {
				roles[r.(string)] = true
			}
			target := strings.NewReplacer(
				"/console/{file}", "/console/console.js",
				"{id}", "wl_none", "{key_id}", "key_none", "{sequence}", "1", "{file}", "start.js",
			).Replace(path)
			if len(roles) == 0 {
				require.Less(t, a.call(method, target, "", nil).status, 400, path)
				continue
			}
			for _, bad := range []string{
				"", "nonsense", "nyt_cust_dev_" + strings.Repeat("0", 32), a.dev.AdminKey + "x",
			} {
				ans := a.call(method, target, bad, nil)
				a.refused(ans, 401, "UNAUTHORIZED", "")
				require.Equal(t, "a valid API key is required", ans.field("error.message"), "one answer for all")
			}
			for role, key := range keys {
				ans := a.call(method, target, key, nil)
				if roles[role] {
					require.NotContains(t, []int{401, 403}, ans.status, "%s %s as %s", method, path, role)
				} else {
					a.refused(ans, 403, "FORBIDDEN", "")
				}
				checked++
			}
		}
	}
	require.Greater(t, checked, 100)
}

// key makes a key of the development customer.
func (a *api) key(role string) string {
	a.Helper()
	ans := a.call("POST", "/v1/admin/customers/cust_dev/keys", a.dev.AdminKey, map[string]any{"role": role})
	require.Equal(a, 201, ans.status, ans.body)
	return ans.field("key").(string)
}

func (a *api) submit(body any) string {
	a.Helper()
	ans := a.call("POST", "/v1/workloads", a.dev.CustomerKey, body)
	require.Equal(a, 202, ans.status, ans.body)
	return ans.field("workload_id").(string)
}

func sleepBody(ms int) map[string]any {
	return map[string]any{"workload_type": "sleep", "input_params": map[string]any{"duration_ms": ms}}
}

func TestRequests_WhenInvalid_AreRefusedWithTheField(t *testing.T) {
	a := newAPI(t, 1)
	deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	for name, c := range map[string]struct {
		body   any
		status int
		code   string
		field  string
	}{
		"not JSON":            {`{"workload_type"`, 400, "INVALID_INPUT", "body"},
		"nothing":             {``, 400, "INVALID_INPUT", "body"},
		"an array":            {`[]`, 400, "INVALID_INPUT", "body"},
		"something behind it": {`{"workload_type":"sleep","input_params":{}} x`, 400, "INVALID_INPUT", "body"},
		"a key twice": {
			`{"workload_type":"sleep","workload_type":"exec","input_params":{}}`, 400, "INVALID_INPUT", "workload_type",
		},
		"a key twice inside": {
			`{"workload_type":"sleep","input_params":{"a":{"b":1,"b":2}}}`, 400, "INVALID_INPUT", "input_params.a.b",
		},
		"NUL": {
			`{"workload_type":"sleep","input_params":{"a":"\u0000"}}`, 400, "INVALID_INPUT", "input_params.a",
		},
		"broken UTF-8": {
			"{\"workload_type\":\"\xff\",\"input_params\":{}}", 400, "INVALID_INPUT", "workload_type",
		},
		"too deep": {`{"workload_type":"sleep","input_params":` + deep + `}`, 413, "TOO_LARGE", ""},
		"too large": {
			`{"workload_type":"sleep","input_params":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`, 413, "TOO_LARGE", "",
		},
		"too large, no length": {
			io.MultiReader(strings.NewReader(`{"a":"`), strings.NewReader(strings.Repeat("x", 1<<20)+`"}`)), 413,
			"TOO_LARGE", "",
		},
		"no type":  {`{"input_params":{}}`, 400, "INVALID_INPUT", "workload_type"},
		"no input": {`{"workload_type":"sleep"}`, 400, "INVALID_INPUT", "input_params"},
		"input is not an object": {
			`{"workload_type":"sleep","input_params":[1]}`, 400, "INVALID_INPUT", "input_params",
		},
		"an unknown field": {
			`{"workload_type":"sleep","input_params":{},"colour":1}`, 400, "INVALID_INPUT", "colour",
		},
		"status assigned": {
			`{"workload_type":"sleep","input_params":{},"status":"COMPLETED"}`, 400, "INVALID_INPUT", "status",
		},
		"generation assigned": {
			`{"workload_type":"sleep","input_params":{},"generation":9}`, 400, "INVALID_INPUT", "generation",
		},
		"customer assigned": {
			`{"workload_type":"sleep","input_params":{},"customer_id":"cust_x"}`, 400, "INVALID_INPUT", "customer_id",
		},
		"a huge number": {
			`{"workload_type":"sleep","input_params":{},"priority":1e99}`, 400, "INVALID_INPUT", "priority",
		},
		"a fraction": {
			`{"workload_type":"sleep","input_params":{},"priority":1.5}`, 400, "INVALID_INPUT", "priority",
		},
		"priority out of bounds": {
			`{"workload_type":"sleep","input_params":{},"priority":1001}`, 400, "INVALID_INPUT", "priority",
		},
		"an unknown affinity": {
			`{"workload_type":"sleep","input_params":{},"affinity_rules":{"must":{}}}`, 400, "INVALID_INPUT",
			"affinity_rules.must",
		},
		"a bad worker id": {`{"workload_type":"sleep","input_params":{},` +
			`"affinity_rules":{"hard_affinity":{"worker_id":"a b"}}}`,
			400, "INVALID_INPUT", "affinity_rules.hard_affinity.worker_id"},
		"run_at is not a time": {
			`{"workload_type":"sleep","input_params":{},"run_at":"soon"}`, 400, "INVALID_INPUT", "run_at",
		},
		"a label is not a string": {
			`{"workload_type":"sleep","input_params":{},"labels":{"a":1}}`, 400, "INVALID_INPUT", "labels.a",
		},
		"timeout out of bounds": {
			`{"workload_type":"sleep","input_params":{},"timeout_seconds":-1}`, 400, "INVALID_INPUT", "timeout_seconds",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := *a
			b.T = t
			b.refused(b.call("POST", "/v1/workloads", a.dev.CustomerKey, c.body), c.status, c.code, c.field)
		})
	}
	for query, field := range map[string]string{
		"limit=1000000000": "limit", "limit=0": "limit", "limit=x": "limit", "order_by=status%3Bdrop": "order_by",
		"order_by=status;drop": "query", "order=up": "order", "status=ASLEEP": "status", "cursor=AAAA": "cursor",
		"label=x": "label", "label=a%3D1&label=a%3D2": "label", "offset=-1": "offset", "created_after=now": "created_after",
		"colour=red": "colour", "limit=1&limit=2": "limit", "order=asc&order=desc": "order",
		"status=PENDING&status=RUNNING&Limit=1": "Limit",
	} {
		a.refused(a.call("GET", "/v1/workloads?"+query, a.dev.CustomerKey, nil), 400, "INVALID_INPUT", field)
	}
	a.refused(a.call("GET", "/v1/workloads/wl_x?wait=1h", a.dev.CustomerKey, nil), 400, "INVALID_INPUT", "wait")
	a.refused(a.call("GET", "/v1/admin/workers?page=2", a.dev.AdminKey, nil), 400, "INVALID_INPUT", "page")
	a.refused(a.call("GET", "/v1/worker/workloads/wl_x/checkpoints/1?worker_id=w&session_id=s&generation=1&generation=2",
		a.dev.WorkerKey, nil), 400, "INVALID_INPUT", "generation")
	a.refused(a.call("POST", "/v1/workloads/wl_x/checkpoint", a.dev.CustomerKey, `{}`), 400, "INVALID_INPUT", "body")
	a.refused(a.call("POST", "/v1/workloads/wl_x/checkpoint", a.dev.CustomerKey,
		io.MultiReader(strings.NewReader("x"))), 400, "INVALID_INPUT", "body")
	a.refused(a.call("GET", "/v1/nothing", a.dev.CustomerKey, nil), 404, "NOT_FOUND", "")
	unsupported := a.call("DELETE", "/v1/workloads", a.dev.CustomerKey, nil)
	a.refused(unsupported, 405, "METHOD_NOT_ALLOWED", "")
	require.Equal(t, "GET, HEAD, POST", unsupported.header.Get("Allow"))
	require.Empty(t, a.call("GET", "/v1/workloads", a.dev.CustomerKey, nil).field("workloads"), "nothing came of it")
}

// TestKey_InSeveralHeaders_IsNone sends two keys: a proxy may have judged by the one and the server by
// the other.
func TestKey_InSeveralHeaders_IsNone(t *testing.T) {
	a := newAPI(t, 0)
	for _, path := range []string{"/v1/customer", "/v1/ws/workloads/wl_x"} {
		for _, other := range []string{"Bearer x", "", "Bearer " + a.dev.CustomerKey} {
			req := a.request("GET", path, a.dev.CustomerKey, nil)
			req.Header.Add("Authorization", other)
			a.refused(a.do(req), 401, "UNAUTHORIZED", "")
		}
	}
}

func TestBodies_CompressedOrNotJSON_AreRefused(t *testing.T) {
	a := newAPI(t, 0)
	for header, value := range map[string]string{"Content-Encoding": "gzip", "Content-Type": "text/plain"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", a.dev.App.URL()+"/v1/workloads",
			strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+a.dev.CustomerKey)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(header, value)
		a.refused(a.do(req), 400, "INVALID_INPUT", header)
	}
}

func TestSubmit_WithTheSameKey_ReturnsTheFirstWorkload(t *testing.T) {
	a := newAPI(t, 1)
	submit := func(key, body string) answer {
		req, err := http.NewRequestWithContext(t.Context(), "POST", a.dev.App.URL()+"/v1/workloads",
			strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+a.dev.CustomerKey)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		return a.do(req)
	}
	first := submit("k", `{"workload_type":"sleep","input_params":{"duration_ms":0,"steps":1}}`)
	require.Equal(t, 202, first.status)
	again := submit("k", `{ "input_params": {"steps":1, "duration_ms":0}, "workload_type": "sleep" }`)
	require.Equal(t, 202, again.status)
	require.Equal(t, first.field("workload_id"), again.field("workload_id"), "order and white space do not matter")
	a.refused(submit("k", `{"workload_type":"sleep","input_params":{"duration_ms":1}}`), 409,
		"CONFLICT", "Idempotency-Key")
	a.refused(submit(strings.Repeat("k", 256), `{"workload_type":"sleep","input_params":{}}`), 400,
		"INVALID_INPUT", "Idempotency-Key")
}

func TestList_Cursor_IsBoundToItsQuery(t *testing.T) {
	a := newAPI(t, 1)
	for range 5 {
		a.submit(sleepBody(0))
	}
	seen := map[string]bool{}
	path := "/v1/workloads?limit=2&workload_type=sleep"
	cursor := ""
	for range 3 {
		page := a.call("GET", path+cursor, a.dev.CustomerKey, nil)
		require.Equal(t, 200, page.status, page.body)
		for _, it := range page.field("workloads").([]any) {
			seen[it.(map[string]any)["workload_id"].(string)] = true
		}
		next, ok := page.field("pagination.next_cursor").(string)
		require.Equal(t, page.field("pagination.has_more"), ok)
		if ok {
			cursor = "&cursor=" + next
		}
	}
	require.Len(t, seen, 5)
	a.refused(a.call("GET", "/v1/workloads?limit=2"+cursor, a.dev.CustomerKey, nil), 400, "INVALID_INPUT", "cursor")
	a.refused(a.call("GET", path+cursor+"x", a.dev.CustomerKey, nil), 400, "INVALID_INPUT", "cursor")
	offset := a.call("GET", "/v1/workloads?limit=2&offset=4", a.dev.CustomerKey, nil)
	require.Len(t, offset.field("workloads"), 1)
	require.InDelta(t, 5, offset.field("pagination.total"), 0)
	require.Equal(t, false, offset.field("pagination.total_estimated"))
	a.refused(a.call("GET", path+"&offset=10001", a.dev.CustomerKey, nil), 400, "INVALID_INPUT", "offset")
}

func TestListWorkloads_WithCountSince_CountsTheNewer(t *testing.T) {
	a := newAPI(t, 0)
	for range 3 {
		a.submit(sleepBody(0))
	}
	for _, order := range []string{"&order=desc", "&order=asc"} {
		path := "/v1/workloads?limit=2&workload_type=sleep" + order
		page := a.call("GET", path, a.dev.CustomerKey, nil)
		require.Equal(t, 200, page.status, page.body)
		since := "&count_since=" + page.field("pagination.newest_cursor").(string)
		before := a.call("GET", path+since, a.dev.CustomerKey, nil)
		require.Equal(t, 200, before.status, before.body)
		a.submit(sleepBody(0))
		a.submit(sleepBody(0))
		after := a.call("GET", path+since, a.dev.CustomerKey, nil)
		require.Empty(t, after.field("workloads"))
		require.Equal(t, false, after.field("newer_estimated"))
		require.InDelta(t, before.field("newer").(float64)+2, after.field("newer"), 0)
		if order == "&order=desc" {
			require.InDelta(t, 0, before.field("newer"), 0, "nothing is newer than the first page")
		}
		for _, bad := range []string{
			since + "x", since + "&offset=1", since + "&status=FAILED", since + "&order_by=priority",
		} {
			a.refused(a.call("GET", path+bad, a.dev.CustomerKey, nil), 400, "INVALID_INPUT", "count_since")
		}
	}
}
