package bootstrap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The tests of this file hold what a client found that was written from the published specification
// alone.

func TestPath_WhenItIsOneOfItsOwn_IsNoWorkloadsID(t *testing.T) {
	a := newAPI(t, 0)
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		ans := a.call(method, "/v1/workloads/batch", a.dev.CustomerKey, nil)
		require.Equal(t, 405, ans.status, method)
		require.Equal(t, "POST", ans.header.Get("Allow"), method)
	}
	require.Equal(t, 404, a.call("GET", "/v1/workloads/batches", a.dev.CustomerKey, nil).status)
	require.Equal(t, 400, a.call("POST", "/v1/workloads/batch", a.dev.CustomerKey, "{}").status)
}

func TestStream_WhenAnAdministratorFollowsAWorkload_NamesItsCustomer(t *testing.T) {
	a := newAPI(t, 1)
	id := a.submit(`{"workload_type":"sleep","input_params":{"duration_ms":20,"steps":2}}`)
	a.until("/v1/workloads/"+id, "status", "COMPLETED")
	path := "/v1/workloads/" + id + "/events"
	own, seen := a.raw(path, a.dev.CustomerKey), a.raw(path, a.dev.AdminKey)
	require.NotEmpty(t, seen)
	require.Len(t, own, len(seen))
	for i := range seen {
		require.Equal(t, "cust_dev", seen[i].(map[string]any)["customer_id"])
		require.NotContains(t, own[i], "customer_id")
	}
}

func TestParameter_WhenItIsSpeltOtherwiseThanDescribed_IsRefusedByName(t *testing.T) {
	a := newAPI(t, 0)
	id := a.submit(`{"workload_type":"sleep","input_params":{},"run_at":"2099-01-01T00:00:00Z"}`)
	for _, force := range []string{"1", "T", "TRUE", "yes"} {
		a.refused(a.call("DELETE", "/v1/admin/customers/cust_dev?force="+force, a.dev.AdminKey, nil),
			400, "INVALID_INPUT", "force")
	}
	require.Equal(t, 200, a.call("GET", "/v1/workloads/"+id, a.dev.CustomerKey, nil).status)
	a.refused(a.call("GET", "/v1/workloads?limit=%2B5", a.dev.CustomerKey, nil), 400, "INVALID_INPUT", "limit")
	a.refused(a.call("GET", "/v1/admin/workers?status=HEALTHY&status=ASLEEP", a.dev.AdminKey, nil),
		400, "INVALID_INPUT", "status")
}

func TestReports_WithSomethingBehindThem_AreRefused(t *testing.T) {
	a := newAPI(t, 0)
	body := `{"worker_id":"w","session_id":"s","reports":[
		{"report_id":"r","workload_id":"wl_x","generation":1,"event":"start"}]}`
	for _, behind := range []string{"{}", " x", ",", "]"} {
		a.refused(a.call("POST", "/v1/worker/report", a.dev.WorkerKey, body+behind), 400, "INVALID_INPUT", "body")
	}
	require.Equal(t, 200, a.call("POST", "/v1/worker/report", a.dev.WorkerKey, body+" \n").status)
}

// TestRPC_InJSON_NamesFieldsAsREST looks at the text, not through a client that reads either name.
func TestRPC_InJSON_NamesFieldsAsREST(t *testing.T) {
	a := newAPI(t, 0)
	call := func(method, message string) string {
		return a.unknownCall("WorkloadService", method, a.dev.CustomerKey, message, false)
	}
	submitted := call("SubmitWorkload",
		`{"workload_type":"sleep","input_params":"{}","run_at":"2099-01-01T00:00:00Z"}`)
	for _, name := range []string{"workload_id", "status", "created_at", "estimated_start_time"} {
		require.Contains(t, submitted, `"`+name+`":`)
	}
	for message, want := range map[string]string{
		`{"workload_type":"sleep","input_params":{"a":1}}`:                    "input_params: must be text that holds JSON",
		`{"workloadType":5,"input_params":"{}"}`:                              "workload_type: must be text",
		`{"affinity_rules":{"hard_affinity":{"workload_types":["a",1]}}}`:     "workload_types.1: must be text",
		`{"affinity_rules":{"hard_affinity":{"worker_tags":{"zone":["a"]}}}}`: "worker_tags.zone: must be text",
		`{"priority":"high"}`: "priority: must be a number",
		`{"run_at":17}`:       "run_at: must be a time as text",
		`{"labels":[]}`:       "labels: must be an object",
		`[]`:                  "the message: must be an object",
	} {
		require.Contains(t, call("SubmitWorkload", message), want)
	}
}
