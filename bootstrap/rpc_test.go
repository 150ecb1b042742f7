package bootstrap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/dynamicpb"

	niyantav1 "github.com/niyanta/niyanta/api/niyanta/v1"
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// bothWays is a call that is made over REST and as an RPC. %s is a workload: the same one, or if
// fresh is set, one for each way.
type bothWays struct {
	rpc     string
	key     string // empty: the customer's; "none": none
	fresh   func() string
	message string // of the RPC, in JSON
	rest    string // method and path
	body    string
	header  string // Idempotency-Key
	status  int
	code    connect.Code
	varies  bool // the answer has times and ids that differ
}

// sinceThen matches durations until now, which grow between the two calls.
var sinceThen = regexp.MustCompile(`"((?:ending_for|oldest_wait|uptime)_seconds)":[0-9.e-]+`)

// mask returns an answer without what differs from one call to the next.
func (c *bothWays) mask(v any) any {
	text, err := json.Marshal(v)
	if err != nil || !c.varies && c.fresh == nil {
		return v
	}
	text = anyTime.ReplaceAll(anyID.ReplaceAll(text, []byte("ID")), []byte("2026-01-01T00:00:00Z"))
	text = sinceThen.ReplaceAll(text, []byte(`"$1":1`))
	var out any
	_ = json.Unmarshal(text, &out)
	return out
}

// try makes the call both ways, in one protocol, and compares.
func (c *bothWays) try(a *api, client *http.Client, options []connect.ClientOption) {
	a.Helper()
	id := func() string { return "" }
	if c.fresh != nil {
		id = c.fresh
	}
	fill := func(s, id string) string { return strings.ReplaceAll(s, "%s", id) }
	key := map[string]string{"": a.dev.CustomerKey, "admin": a.dev.AdminKey, "none": ""}[c.key]
	if key == "" && c.key != "none" {
		key = c.key
	}
	one, other := id(), id()
	method, path, _ := strings.Cut(fill(c.rest, one), " ")
	var body any
	if c.body != "" {
		body = fill(c.body, one)
	}
	req := a.request(method, path, key, body)
	if c.header != "" {
		req.Header.Set("Idempotency-Key", c.header)
	}
	rest := a.do(req)
	answer, err := a.rpc(client, c.rpc, key, fill(c.message, other), options...)
	require.Equal(a, c.status, rest.status, "%s: %s", c.rest, rest.body)
	if c.status < 300 {
		found := c.compare(a, rest, answer, err)
		// What is read may have changed between the two calls, but not each time.
		for range 20 {
			if len(found) == 0 || method != http.MethodGet {
				break
			}
			rest = a.do(a.request(method, path, key, body))
			answer, err = a.rpc(client, c.rpc, key, fill(c.message, other), options...)
			found = c.compare(a, rest, answer, err)
		}
		require.Empty(a, found, c.rpc)
		return
	}
	var failed *connect.Error
	require.ErrorAs(a, err, &failed, "%s %s", c.rpc, c.message)
	require.Equal(a, c.code, failed.Code(), err)
	require.Len(a, failed.Details(), 1, err)
	detail, err := failed.Details()[0].Value()
	require.NoError(a, err)
	told := detail.(*niyantav1.Error)
	require.Equal(a, failed.Message(), told.GetMessage())
	require.NotEmpty(a, told.GetRequestId())
	told.RequestId = nil
	want := rest.field("error").(map[string]any)
	delete(want, "request_id")
	require.Empty(a, differences("", c.mask(want), c.mask(jsonOf(a, told))), c.rpc)
}

// compare returns how two answers of calls that succeeded differ.
func (c *bothWays) compare(a *api, rest answer, rpc map[string]any, err error) []string {
	a.Helper()
	require.NoError(a, err, c.rpc)
	var v any
	require.NoError(a, json.Unmarshal([]byte(rest.body), &v))
	return differences("", c.mask(v), c.mask(rpc))
}

// TestRPCs_CalledBothWays_AnswerAsREST makes each call over REST and in each protocol of RPCs, and
// compares answers, errors and statuses: on each storage, and over TLS.
func TestRPCs_CalledBothWays_AnswerAsREST(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		callBothWays(t, func(t *testing.T) *api { t.Helper(); return newAPI(t, 1) }, newRPCClient(t))
	})
	t.Run("postgres", func(t *testing.T) {
		callBothWays(t, func(t *testing.T) *api {
			t.Helper()
			a, _ := newPostgresAPI(t, 1)
			a.unlimited()
			return a
		}, newRPCClient(t))
	})
	t.Run("TLS", func(t *testing.T) {
		var secure http.Client // trusts the server that was started last, and speaks HTTP/2 with it
		callBothWays(t, func(t *testing.T) *api {
			t.Helper()
			s := securedWith(t, 1, "NIYANTA_WORKER_SLOTS=50")
			a := newAPIOf(t, s.Dev)
			a.client.Transport, secure.Transport = s.client.Transport, s.client.Transport
			a.unlimited()
			return a
		}, &secure)
	})
}

// unlimited raises the limits of the development customer beyond what a test may need.
func (a *api) unlimited() {
	a.Helper()
	limits := map[string]any{
		"rate_limit_per_sec": 100_000, "burst": 100_000, "max_queue_depth": 100_000, "max_concurrent_workloads": 100_000,
	}
	ans := a.call("PATCH", "/v1/admin/customers/"+string(DevCustomer), a.dev.AdminKey, map[string]any{"limits": limits})
	require.Equal(a, 200, ans.status, ans.body)
}

func callBothWays(t *testing.T, start func(t *testing.T) *api, client *http.Client) {
	t.Helper()
	a := start(t)
	viewer := a.key("viewer")
	later := `"run_at":"2099-01-01T00:00:00.5Z"`
	waiting := func() string {
		return a.submit(`{"workload_type":"sleep","input_params":{"duration_ms":5,"n":9007199254740993},` + later + `}`)
	}
	running := func() string {
		id := a.submit(`{"workload_type":"sleep","input_params":{"duration_ms":600000,"steps":60}}`)
		a.until("/v1/workloads/"+id, "status", "RUNNING")
		return id
	}
	cancelled := func() string {
		id := waiting()
		require.Equal(t, 200, a.call("POST", "/v1/workloads/"+id+"/cancel", a.dev.CustomerKey, nil).status)
		return id
	}
	paused := func() string {
		id := running()
		a.call("POST", "/v1/workloads/"+id+"/pause", a.dev.CustomerKey, nil)
		a.until("/v1/workloads/"+id, "status", "PAUSED")
		return id
	}
	kept := waiting()
	same := func() string { return kept }
	finished := a.submit(sleepBody(1))
	a.until("/v1/workloads/"+finished, "status", "COMPLETED")
	done := func() string { return finished }
	worker := a.call("GET", "/v1/admin/workers", a.dev.AdminKey, nil).field("workers").([]any)[0].(map[string]any)
	workerID := func() string { return worker["worker_id"].(string) }
	submission := `"workload_type":"sleep","priority":7,"labels":{"a":"b","c":"<&>"},"timeout_seconds":60,"max_retries":2,
		"resources":{"cpu_cores":0.5,"memory_mb":64,"custom":{"licence":1}},
		"affinity_rules":{"hard_affinity":{"worker_tags":{"zone":"a"}},"soft_affinity":{"worker_id":"w"}},` + later
	cases := []bothWays{
		{rpc: "WorkloadService/SubmitWorkload",
			message: `{"input_params":"{\"n\":1e0,\"x\":[1,{}]}",` + submission + `}`,
			rest:    "POST /v1/workloads", body: `{"input_params":{"n":1e0,"x":[1,{}]},` + submission + `}`,
			status: 202, varies: true},
		{rpc: "WorkloadService/SubmitWorkload",
			message: `{"workload_type":"sleep","input_params":"{}","priority":5000}`,
			rest:    "POST /v1/workloads", body: `{"workload_type":"sleep","input_params":{},"priority":5000}`,
			status: 400,
			code:   connect.CodeInvalidArgument},
		{rpc: "WorkloadService/SubmitWorkload",
			message: `{"workload_type":"sleep","input_params":"{},\"priority\":1"}`,
			rest:    "POST /v1/workloads", body: `{"workload_type":"sleep","input_params":"{},\"priority\":1"}`,
			status: 400,
			code:   connect.CodeInvalidArgument},
		{rpc: "WorkloadService/SubmitWorkload", message: `{}`, rest: "POST /v1/workloads", body: `{}`, status: 400,
			code: connect.CodeInvalidArgument},
		{rpc: "WorkloadService/SubmitWorkload",
			message: `{"input_params":"{\"a\":1,\"a\":2}","workload_type":"sleep"}`,
			rest:    "POST /v1/workloads", body: `{"input_params":{"a":1,"a":2},"workload_type":"sleep"}`, status: 400,
			code: connect.CodeInvalidArgument},
		{rpc: "WorkloadService/SubmitWorkload", key: "none", message: `{}`, rest: "POST /v1/workloads",
			body: `{}`, status: 401,
			code: connect.CodeUnauthenticated},
		{rpc: "WorkloadService/SubmitWorkload", key: viewer, message: `{}`, rest: "POST /v1/workloads",
			body: `{}`, status: 403,
			code: connect.CodePermissionDenied},
		{rpc: "WorkloadService/SubmitWorkload",
			message: `{"input_params":"{}","workload_type":"sleep","idempotency_key":"k",` + later + `}`,
			rest:    "POST /v1/workloads", body: `{"input_params":{},"workload_type":"sleep",` + later + `}`,
			header: "k", status: 202},
		{rpc: "WorkloadService/SubmitWorkload",
			message: `{"input_params":"{}","workload_type":"http","idempotency_key":"k"}`,
			rest:    "POST /v1/workloads", body: `{"input_params":{},"workload_type":"http"}`, header: "k", status: 409,
			code: connect.CodeAlreadyExists},
		{rpc: "WorkloadService/SubmitWorkloads", varies: true, status: 200, rest: "POST /v1/workloads/batch",
			message: `{"workloads":[{"workload_type":"sleep","input_params":"{}",` + later + `},{"workload_type":"sleep"}]}`,
			body:    `{"workloads":[{"workload_type":"sleep","input_params":{},` + later + `},{"workload_type":"sleep"}]}`},
		{rpc: "WorkloadService/SubmitWorkloads", message: `{}`, status: 400, code: connect.CodeInvalidArgument,
			rest: "POST /v1/workloads/batch", body: `{"workloads":[]}`},
		{rpc: "WorkloadService/GetWorkload", fresh: nil, message: `{"workload_id":"` + kept + `"}`,
			rest: "GET /v1/workloads/" + kept, status: 200},
		{rpc: "WorkloadService/GetWorkload", message: `{"workload_id":"` + finished + `","wait":"1s"}`,
			rest: "GET /v1/workloads/" + finished + "?wait=1s", status: 200},
		{rpc: "WorkloadService/GetWorkload", key: viewer, message: `{"workload_id":"` + finished + `"}`,
			rest: "GET /v1/workloads/" + finished, status: 200},
		{rpc: "WorkloadService/GetWorkload", key: "admin", message: `{"workload_id":"` + finished + `"}`,
			rest: "GET /v1/workloads/" + finished, status: 200},
		{rpc: "WorkloadService/GetWorkload", message: `{"workload_id":"wl_none"}`,
			rest: "GET /v1/workloads/wl_none", status: 404,
			code: connect.CodeNotFound},
		{rpc: "WorkloadService/GetWorkload", message: `{"workload_id":"a/b/../c"}`,
			rest:   "GET /v1/workloads/a%2Fb%2F..%2Fc",
			status: 404, code: connect.CodeNotFound},
		{rpc: "WorkloadService/GetWorkload", message: `{"workload_id":"` + kept + `","wait":"later"}`,
			rest: "GET /v1/workloads/" + kept + "?wait=later", status: 400, code: connect.CodeInvalidArgument},
		{rpc: "WorkloadService/ListWorkloads",
			message: `{"limit":2,"status":["PENDING","PAUSED"],"created_after":"2020-01-01T00:00:00Z"}`,
			rest:    "GET /v1/workloads?limit=2&status=PENDING&status=PAUSED&created_after=2020-01-01T00:00:00Z", status: 200},
		{rpc: "WorkloadService/ListWorkloads", message: `{"offset":0,"label":["a=b"],"order_by":"priority"}`,
			rest: "GET /v1/workloads?offset=0&label=a%3Db&order_by=priority", status: 200},
		{rpc: "WorkloadService/ListWorkloads", message: `{"limit":0}`, rest: "GET /v1/workloads?limit=0", status: 400,
			code: connect.CodeInvalidArgument},
		{rpc: "WorkloadService/ListWorkloads", message: `{"order_by":""}`,
			rest: "GET /v1/workloads?order_by=", status: 400,
			code: connect.CodeInvalidArgument},
		{rpc: "WorkloadService/ListWorkloads", key: "admin", message: `{}`, rest: "GET /v1/workloads", status: 403,
			code: connect.CodePermissionDenied},
		{rpc: "WorkloadService/CancelWorkload", fresh: waiting, message: `{"workload_id":"%s","reason":"enough"}`,
			rest: "POST /v1/workloads/%s/cancel", body: `{"reason":"enough"}`, status: 200},
		{rpc: "WorkloadService/CancelWorkload", fresh: cancelled, message: `{"workload_id":"%s"}`,
			rest: "POST /v1/workloads/%s/cancel", status: 400, code: connect.CodeFailedPrecondition},
		{rpc: "WorkloadService/PauseWorkload", fresh: running, message: `{"workload_id":"%s"}`,
			rest: "POST /v1/workloads/%s/pause", status: 200},
		{rpc: "WorkloadService/PauseWorkload", fresh: waiting, message: `{"workload_id":"%s"}`,
			rest: "POST /v1/workloads/%s/pause", status: 400, code: connect.CodeFailedPrecondition},
		{rpc: "WorkloadService/ResumeWorkload", fresh: paused, message: `{"workload_id":"%s"}`,
			rest: "POST /v1/workloads/%s/resume", status: 202},
		{rpc: "WorkloadService/ResumeWorkload", fresh: waiting, message: `{"workload_id":"%s"}`,
			rest: "POST /v1/workloads/%s/resume", status: 400, code: connect.CodeFailedPrecondition},
		{rpc: "WorkloadService/RetryWorkload", fresh: cancelled, message: `{"workload_id":"%s","from_scratch":true}`,
			rest: "POST /v1/workloads/%s/retry", body: `{"from_scratch":true}`, status: 202},
		{rpc: "WorkloadService/RetryWorkload", fresh: cancelled, status: 400, code: connect.CodeInvalidArgument,
			message: `{"workload_id":"%s","from_scratch":true,"from_checkpoint":1}`,
			rest:    "POST /v1/workloads/%s/retry", body: `{"from_scratch":true,"from_checkpoint":1}`},
		{rpc: "WorkloadService/CheckpointWorkload", fresh: waiting, message: `{"workload_id":"%s"}`,
			rest: "POST /v1/workloads/%s/checkpoint", status: 400, code: connect.CodeFailedPrecondition},
		{rpc: "WorkloadService/CheckpointWorkload", fresh: running, message: `{"workload_id":"%s"}`,
			rest: "POST /v1/workloads/%s/checkpoint", status: 202},
		{rpc: "WorkloadService/CancelWorkloads", fresh: waiting, message: `{"workload_ids":["%s","wl_none"]}`,
			rest: "POST /v1/workloads/batch/cancel", body: `{"workload_ids":["%s","wl_none"]}`, status: 200},
		{rpc: "WorkloadService/CancelWorkloads", message: `{}`, rest: "POST /v1/workloads/batch/cancel", body: `{}`,
			status: 400, code: connect.CodeInvalidArgument},
		{rpc: "WorkloadService/PauseWorkloads", fresh: waiting, message: `{"workload_ids":["%s"],"dry_run":true}`,
			rest: "POST /v1/workloads/batch/pause", body: `{"workload_ids":["%s"],"dry_run":true}`, status: 200},
		{rpc: "WorkloadService/ResumeWorkloads", fresh: waiting, message: `{"workload_ids":["%s"]}`,
			rest: "POST /v1/workloads/batch/resume", body: `{"workload_ids":["%s"]}`, status: 200},
		{rpc: "WorkloadService/RetryWorkloads", fresh: cancelled,
			message: `{"workload_ids":["%s"],"from_scratch":true}`,
			rest:    "POST /v1/workloads/batch/retry", body: `{"workload_ids":["%s"],"from_scratch":true}`, status: 200},
		{rpc: "WorkloadService/GetWorkloadLogs", fresh: done, message: `{"workload_id":"%s","limit":5}`,
			rest: "GET /v1/workloads/%s/logs?limit=5", status: 200},
		{rpc: "WorkloadService/GetWorkloadAudit", fresh: same, message: `{"workload_id":"%s"}`,
			rest: "GET /v1/workloads/%s/audit", status: 200},
		{rpc: "WorkloadService/GetWorkloadCheckpoints", fresh: done, message: `{"workload_id":"%s"}`,
			rest: "GET /v1/workloads/%s/checkpoints", status: 200},
		{rpc: "WorkloadService/GetWorkloadPlacement", fresh: same, message: `{"workload_id":"%s"}`,
			rest: "GET /v1/workloads/%s/placement", status: 200},
		{rpc: "CustomerService/GetCustomer", message: `{}`, rest: "GET /v1/customer", status: 200, varies: true},
		{rpc: "CustomerService/GetCustomerStats",
			message: `{"start_date":"2026-01-01","end_date":"2026-12-31","group_by":"day"}`,
			rest:    "GET /v1/customer/stats?start_date=2026-01-01&end_date=2026-12-31&group_by=day",
			status:  200, varies: true},
		{rpc: "CustomerService/GetCustomerStats", message: `{}`, rest: "GET /v1/customer/stats", status: 400,
			code: connect.CodeInvalidArgument},
		{rpc: "CustomerService/GetQueueDepth", key: "admin", message: `{}`,
			rest: "GET /v1/metrics/queue-depth", status: 200,
			varies: true},
		{rpc: "AdminService/ListWorkers", key: "admin", message: `{"status":["HEALTHY"]}`,
			rest: "GET /v1/admin/workers?status=HEALTHY", status: 200, varies: true},
		{rpc: "AdminService/ListWorkers", message: `{}`, rest: "GET /v1/admin/workers", status: 403,
			code: connect.CodePermissionDenied},
		{rpc: "AdminService/GetWorker", key: "admin", fresh: workerID, message: `{"worker_id":"%s"}`,
			rest: "GET /v1/admin/workers/%s", status: 200},
		{rpc: "AdminService/DrainWorker", key: "admin", message: `{"worker_id":"w_none"}`,
			rest: "POST /v1/admin/workers/w_none/drain", status: 404, code: connect.CodeNotFound},
		{rpc: "AdminService/ListAllWorkloads", key: "admin",
			message: `{"customer_id":"cust_dev","limit":1,"order":"asc"}`,
			rest:    "GET /v1/admin/workloads?customer_id=cust_dev&limit=1&order=asc", status: 200},
		{rpc: "AdminService/ListLanes", key: "admin", message: `{"limit":1}`,
			rest: "GET /v1/admin/lanes?limit=1", status: 200,
			varies: true},
	}
	for protocol, options := range rpcProtocols {
		t.Run(protocol, func(t *testing.T) {
			b := *a
			b.T = t
			for i := range cases {
				c := cases[i]
				if c.header != "" { // a key of its own for each protocol
					c.header += protocol
					c.message = strings.ReplaceAll(c.message, `"idempotency_key":"k"`, `"idempotency_key":"`+c.header+`"`)
				}
				c.try(&b, client, options)
			}
		})
	}
	idle := start(t) // what drains may have nothing to drain, or the second answer is another one
	listed := idle.call("GET", "/v1/admin/workers", idle.dev.AdminKey, nil).field("workers").([]any)
	id := listed[0].(map[string]any)["worker_id"]
	for _, do := range []string{"Drain", "Undrain"} {
		c := bothWays{
			rpc: "AdminService/" + do + "Worker", key: "admin", message: fmt.Sprintf(`{"worker_id":%q}`, id),
			rest: fmt.Sprintf("POST /v1/admin/workers/%s/%s", id, strings.ToLower(do)), status: 200, varies: true,
		}
		c.try(idle, client, rpcProtocols["gRPC"])
		cases = append(cases, c)
	}
	for _, m := range rpcMethods() {
		name := fmt.Sprintf("%s/%s", m.Parent().Name(), m.Name())
		answered := slices.ContainsFunc(cases, func(c bothWays) bool { return c.rpc == name && c.status < 300 })
		assert.True(t, answered || m.IsStreamingServer(), "%s is never answered, so the table proves nothing of it", name)
	}
}

// TestRPCs_WhenTheyAreNone_AreRefused sends what no client of the services sends.
func TestRPCs_WhenTheyAreNone_AreRefused(t *testing.T) {
	a := newAPI(t, 0)
	client := newRPCClient(t)
	large := `{"input_params":"{\"x\":\"` + strings.Repeat("a", 1<<20) + `\"}","workload_type":"sleep"}`
	_, err := a.rpc(client, "WorkloadService/SubmitWorkload", a.dev.CustomerKey, large, connect.WithGRPC())
	require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
	require.Contains(t, err.Error(), "the body is larger than 1048576 bytes")
	larger := strings.Replace(large, "aaaa", strings.Repeat("a", 100_000), 1)
	_, err = a.rpc(client, "WorkloadService/SubmitWorkload", a.dev.CustomerKey, larger, connect.WithGRPC())
	require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
	_, err = a.rpc(client, "WorkloadService/GetWorkload", a.dev.CustomerKey, `{}`, connect.WithGRPC())
	require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
	require.Contains(t, err.Error(), "workload_id")
	_, err = a.rpc(client, "WorkloadService/GetWorkload", a.dev.CustomerKey, `{"workload_id":"x"}`, connect.WithGRPC(),
		connect.WithSendGzip())
	require.Equal(t, connect.CodeUnimplemented, connect.CodeOf(err), "compressed requests are not accepted")

	// Without a key nothing of the message is read: the server asks for none of it.
	req := a.request("POST", "/niyanta.v1.WorkloadService/SubmitWorkload", "", bytes.NewReader(make([]byte, 8<<20)))
	req.Header.Set("Expect", "100-continue")
	asking := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer asking.CloseIdleConnections()
	resp, err := (&http.Client{Transport: asking}).Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	resp, err = a.client.Do(a.request("POST", "/niyanta.v1.WorkloadService/NoSuchMethod", a.dev.CustomerKey, `{}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	resp, err = a.client.Do(a.request("GET", "/niyanta.v1.WorkloadService/GetWorkload", a.dev.CustomerKey, nil))
	require.NoError(t, err)
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	require.Equal(t, "POST", resp.Header.Get("Allow"))
	require.NoError(t, resp.Body.Close())
}

// TestRPCs_WhenTheDeadlinePasses_SayDeadlineExceeded waits for a workload that never ends.
func TestRPCs_WhenTheDeadlinePasses_SayDeadlineExceeded(t *testing.T) {
	a := newAPI(t, 0)
	client := newRPCClient(t)
	id := a.submit(sleepBody(1))
	m := rpcMethod(t, "WorkloadService/GetWorkload")
	msg := dynamicpb.NewMessage(m.Input())
	require.NoError(t, protojson.Unmarshal([]byte(`{"workload_id":"`+id+`","wait":"60s"}`), msg))
	c := connect.NewClient[dynamicpb.Message, dynamicpb.Message](client,
		a.dev.App.URL()+"/niyanta.v1.WorkloadService/GetWorkload", connect.WithGRPC(), initialized(m))
	req := connect.NewRequest(msg)
	req.Header().Set("Authorization", "Bearer "+a.dev.CustomerKey)
	req.Header().Set("Grpc-Timeout", "200m") // the client itself would wait longer
	began := testfiles.StartStopwatch(t)
	_, err := c.CallUnary(t.Context(), req)
	require.Equal(t, connect.CodeDeadlineExceeded, connect.CodeOf(err))
	require.Less(t, began.Took(), 10*time.Second)
}

// An id that is part of another operation's path does not lead to that operation.
func TestRPCs_WhenAnIDLeadsToAnotherOperation_AnswerNotFound(t *testing.T) {
	a := newAPI(t, 0)
	client := newRPCClient(t)
	for _, method := range []string{
		"GetWorkload", "CancelWorkload", "PauseWorkload", "ResumeWorkload", "RetryWorkload", "CheckpointWorkload",
	} {
		for _, id := range []string{"batch", "..", "batch/cancel"} {
			_, err := a.rpc(client, "WorkloadService/"+method, a.dev.CustomerKey, `{"workload_id":"`+id+`"}`, connect.WithGRPC())
			require.Equal(t, connect.CodeNotFound, connect.CodeOf(err), "%s of %s: %v", method, id, err)
		}
	}
}
