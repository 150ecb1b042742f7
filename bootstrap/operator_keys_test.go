package bootstrap

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// operatorKey makes a key that belongs to no customer.
func (a *api) operatorKey(in map[string]any) answer {
	a.Helper()
	ans := a.call("POST", "/v1/admin/keys", a.dev.AdminKey, in)
	require.Equal(a, 201, ans.status, ans.body)
	return ans
}

func TestOperatorKeys_SeveralAdmins_EachWorkUntilRevoked(t *testing.T) {
	a := newAPI(t, 0)
	ada, bob := a.operatorKey(map[string]any{"name": "Ada", "role": "admin"}),
		a.operatorKey(map[string]any{"name": "Bob", "role": "admin"})
	key := ada.field("key").(string)
	require.True(t, strings.HasPrefix(key, "nyt_admin_"))
	for _, k := range []string{key, bob.field("key").(string), a.dev.AdminKey} {
		require.Equal(t, 200, a.call("GET", "/v1/admin/customers", k, nil).status)
	}
	list := a.call("GET", "/v1/admin/keys", key, nil)
	require.Len(t, list.field("keys"), 2)
	require.NotContains(t, list.body, key, "a list shows no secrets")
	id := ada.field("key_id").(string)
	require.Equal(t, 404, a.call("DELETE", "/v1/admin/customers/cust_dev/keys/"+id, a.dev.AdminKey, nil).status,
		"it is no customer's")
	require.Equal(t, 204, a.call("DELETE", "/v1/admin/keys/"+id, bob.field("key").(string), nil).status)
	require.Equal(t, 204, a.call("DELETE", "/v1/admin/keys/"+id, bob.field("key").(string), nil).status)
	require.Equal(t, 401, a.call("GET", "/v1/admin/customers", key, nil).status)
	require.Equal(t, 200, a.call("GET", "/v1/admin/customers", a.dev.AdminKey, nil).status)
	for _, k := range a.call("GET", "/v1/admin/customers/cust_dev/keys", a.dev.AdminKey, nil).field("keys").([]any) {
		id := k.(map[string]any)["key_id"].(string)
		require.Equal(t, 404, a.call("DELETE", "/v1/admin/keys/"+id, a.dev.AdminKey, nil).status,
			"a customer's key is no operator key")
	}
}

func TestOperatorKeys_WhenTheInputIsWrong_NameTheField(t *testing.T) {
	a := newAPI(t, 0)
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for field, in := range map[string]map[string]any{
		"name": {"role": "admin"}, "role": {"name": "n", "role": "customer"},
		"worker_ids": {"name": "n", "role": "worker"}, "expires_at": {"name": "n", "role": "admin", "expires_at": past},
	} {
		a.refused(a.call("POST", "/v1/admin/keys", a.dev.AdminKey, in), 400, "INVALID_INPUT", field)
	}
	a.refused(a.call("POST", "/v1/admin/keys", a.dev.AdminKey,
		map[string]any{"name": "n", "role": "admin", "worker_ids": "*"}), 400, "INVALID_INPUT", "worker_ids")
}

// workerCalls are calls of every route of the worker protocol as a worker.
func workerCalls(worker string) map[string]struct {
	method, path string
	body         any
} {
	type call = struct {
		method, path string
		body         any
	}
	query := "?worker_id=" + worker + "&session_id=ses_1&generation=1"
	return map[string]call{
		"register": {"POST", "/v1/worker/register", map[string]any{
			"worker_id": worker, "session_id": "ses_1", "capabilities": []string{"t"}, "slots": 1,
		}},
		"heartbeat": {"POST", "/v1/worker/heartbeat", map[string]any{
			"worker_id": worker, "session_id": "ses_1", "free_slots": 1, "inventory": []any{},
		}},
		"poll": {"POST", "/v1/worker/poll", map[string]any{"worker_id": worker, "session_id": "ses_1", "wait_ms": 0}},
		"report": {
			"POST", "/v1/worker/report", map[string]any{"worker_id": worker, "session_id": "ses_1", "reports": []any{}},
		},
		"save": {"PUT", "/v1/worker/workloads/wl_none/checkpoints/1" + query, nil},
		"load": {"GET", "/v1/worker/workloads/wl_none/checkpoints/1" + query, nil},
		"end":  {"POST", "/v1/worker/end", map[string]any{"worker_id": worker, "session_id": "ses_1"}},
	}
}

func TestWorkerKey_ForAWorkerThatItDoesNotMatch_IsForbiddenOnEveryRoute(t *testing.T) {
	a := newAPI(t, 0)
	key := a.operatorKey(map[string]any{"name": "Rack 7", "role": "worker",
		"worker_ids": "rack7-*"}).field("key").(string)
	routes := 0
	for path, item := range a.spec.Paths.Map() {
		if strings.HasPrefix(path, "/v1/worker/") {
			routes += len(item.Operations())
		}
	}
	require.Len(t, workerCalls("w"), routes, "every route of the worker protocol is tried")
	require.Equal(t, 200, a.call("POST", "/v1/worker/register", key, workerCalls("rack7-1")["register"].body).status)
	for name, c := range workerCalls("rack8-1") {
		a.refused(a.call(c.method, c.path, key, c.body), 403, "FORBIDDEN", "")
		ans := a.call(c.method, c.path, a.dev.WorkerKey, c.body)
		require.NotEqual(t, 403, ans.status, "%s with the shared key: %s", name, ans.body)
	}
	for name, c := range workerCalls("rack7-1") {
		if name != "end" {
			ans := a.call(c.method, c.path, key, c.body)
			require.NotContains(t, []int{401, 403}, ans.status, "%s: %s", name, ans.body)
		}
	}
}

func TestWorkerKey_WhenRevoked_EndsARunningSession(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 0)
	made := a.operatorKey(map[string]any{"name": "Rack 7", "role": "worker", "worker_ids": "rack7-1"})
	key, calls := made.field("key").(string), workerCalls("rack7-1")
	require.Equal(t, 200, a.call("POST", "/v1/worker/register", key, calls["register"].body).status)
	require.Equal(t, 200, a.call("POST", "/v1/worker/heartbeat", key, calls["heartbeat"].body).status)
	waiting := make(chan int, 1)
	poll := a.request("POST", "/v1/worker/poll", key, map[string]any{
		"worker_id": "rack7-1", "session_id": "ses_1", "wait_ms": 30_000,
	})
	go func() {
		resp, err := a.client.Do(poll)
		if err != nil {
			waiting <- 0
			return
		}
		_ = resp.Body.Close()
		waiting <- resp.StatusCode
	}()
	revoked := testfiles.StartStopwatch(t)
	require.Equal(t, 204, a.call("DELETE", "/v1/admin/keys/"+made.field("key_id").(string), a.dev.AdminKey, nil).status)
	for _, c := range calls {
		a.refused(a.call(c.method, c.path, key, c.body), 401, "UNAUTHORIZED", "")
	}
	require.Equal(t, 401, <-waiting)
	require.Less(t, revoked.Took(), 5*time.Second, "a poll that waits ends, too")
}
