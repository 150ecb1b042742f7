package bootstrap

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/stretchr/testify/require"
)

// The library cannot check JSON lines. The test reads them itself.
func init() {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.PlainBodyDecoder)
}

// adminEvents reads the recorded actions of administrators that the query selects.
func (a *api) adminEvents(query string) []map[string]any {
	a.Helper()
	ans := a.call("GET", "/v1/admin/audit?"+query, a.dev.AdminKey, nil)
	require.Equal(a, 200, ans.status, ans.body)
	var out []map[string]any
	for _, e := range ans.field("events").([]any) {
		out = append(out, e.(map[string]any))
	}
	return out
}

func TestAdminAudit_OfEachAdminRoute_TellsWhoFromWhereAndWhat(t *testing.T) {
	a := newAPI(t, 0)
	ada := a.operatorKey(map[string]any{"name": "Ada", "role": "admin"})
	key := ada.field("key").(string)
	registration := workerCalls("w1")["register"].body
	require.Equal(t, 200, a.call("POST", "/v1/worker/register", a.dev.WorkerKey, registration).status)
	customerKey := ""
	steps := []struct {
		method, path string
		body         any
		event        string
	}{
		{"POST /v1/admin/customers", "/v1/admin/customers",
			map[string]any{"customer_id": "cust_x", "name": "X", "tier": "free"},
			"customer.created"},
		{"PATCH /v1/admin/customers/{id}",
			"/v1/admin/customers/cust_x", map[string]any{"tier": "premium"}, "customer.updated"},
		{"POST /v1/admin/customers/{id}/suspend", "/v1/admin/customers/cust_x/suspend", nil, "customer.suspended"},
		{"POST /v1/admin/customers/{id}/reactivate", "/v1/admin/customers/cust_x/reactivate", nil, "customer.reactivated"},
		{"POST /v1/admin/customers/{id}/keys",
			"/v1/admin/customers/cust_x/keys", map[string]any{"role": "viewer"}, "key.created"},
		{"DELETE /v1/admin/customers/{id}/keys/{key_id}", "/v1/admin/customers/cust_x/keys/%s", nil, "key.revoked"},
		{"POST /v1/admin/keys", "/v1/admin/keys", map[string]any{"name": "keda", "role": "scaler"}, "key.created"},
		{"DELETE /v1/admin/keys/{key_id}", "/v1/admin/keys/%s", nil, "key.revoked"},
		{"POST /v1/admin/workers/{id}/drain", "/v1/admin/workers/w1/drain", nil, "worker.drained"},
		{"POST /v1/admin/workers/{id}/undrain", "/v1/admin/workers/w1/undrain", nil, "worker.undrained"},
		{"DELETE /v1/admin/workers/{id}", "/v1/admin/workers/w1", nil, "worker.removed"},
		{"DELETE /v1/admin/customers/{id}", "/v1/admin/customers/cust_x", nil, "customer.deleted"},
	}
	tried := map[string]bool{}
	for _, s := range steps {
		method, _, _ := strings.Cut(s.method, " ")
		tried[s.method] = true
		path := s.path
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, customerKey)
		}
		req := a.request(method, path, key, s.body)
		req.Header.Set("X-Request-ID", "req-of-"+s.event)
		req.Header.Set("X-Forwarded-For", "198.51.100.1")
		ans := a.do(req)
		require.Less(t, ans.status, 300, "%s: %s", s.method, ans.body)
		customerKey, _ = ans.field("key_id").(string)
		e := a.adminEvents("limit=1&event_type=" + s.event)[0]
		require.Equal(t, "req-of-"+s.event, e["request_id"])
		require.Equal(t, "user", e["actor_type"])
		require.Equal(t, ada.field("key_id"), e["actor_id"])
		require.Equal(t, "Ada", e["actor_name"])
		require.Contains(t, []any{"127.0.0.1", "::1"}, e["address"])
		require.Equal(t, "198.51.100.1", e["forwarded_for"])
		if secret, ok := ans.field("key").(string); ok {
			require.NotContains(t, a.call("GET", "/v1/admin/audit", key, nil).body, secret)
		}
	}
	for path, item := range a.spec.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Tags[0] == "admin" && method != "GET" {
				require.True(t, tried[method+" "+path], "%s %s is tried: each action is recorded", method, path)
			}
		}
	}
	a.key("viewer")
	last := a.adminEvents("limit=1&event_type=key.created")[0]
	require.Equal(t, "admin", last["actor_id"], "the key of the configuration has a fixed id")
	require.NotContains(t, last, "forwarded_for")
}

func TestAdminAudit_FilteredAndPaged_AsJSONAndAsLines(t *testing.T) {
	a := newAPI(t, 0)
	created := map[string]any{"customer_id": "cust_x", "name": "X", "tier": "free"}
	require.Equal(t, 201, a.call("POST", "/v1/admin/customers", a.dev.AdminKey, created).status)
	for i := range 5 {
		body := map[string]any{"name": fmt.Sprint("Name ", i)}
		require.Equal(t, 200, a.call("PATCH", "/v1/admin/customers/cust_x", a.dev.AdminKey, body).status)
	}
	updates := a.adminEvents("event_type=customer.updated&customer_id=cust_x")
	require.Len(t, updates, 5)
	newest := updates[0]
	require.Equal(t, "Name 4", newest["after"].(map[string]any)["name"])
	require.Equal(t, "Name 3", newest["before"].(map[string]any)["name"])
	for query, n := range map[string]int{
		"event_type=customer.updated&actor_id=admin&customer_id=cust_x": 5,
		"event_type=customer.updated&actor_id=key_none":                 0,
		"target_id=cust_x": 6, "customer_id=cust_x": 6, "customer_id=cust_none": 0,
		"event_type=customer.updated&since=" + newest["timestamp"].(string): -1, "until=2020-01-01T00:00:00Z": 0,
		"actor_id=system": 2,
	} {
		got := a.adminEvents(query)
		if n >= 0 {
			require.Len(t, got, n, query)
		} else {
			require.Equal(t, newest, got[0], query)
		}
	}
	for _, format := range []string{"json", "jsonl"} {
		path, cursor := "/v1/admin/audit?event_type=customer.updated&customer_id=cust_x&order=asc&limit=2&format="+format, ""
		var names []string
		for range 3 {
			ans := a.call("GET", path+cursor, a.dev.AdminKey, nil)
			require.Equal(t, 200, ans.status, ans.body)
			events, next := ans.field("events"), ans.field("pagination.next_cursor")
			if format == "jsonl" {
				require.Equal(t, "application/x-ndjson", ans.header.Get("Content-Type"))
				lines := strings.Split(strings.TrimSuffix(ans.body, "\n"), "\n")
				require.NoError(t, json.Unmarshal([]byte("["+strings.Join(lines, ",")+"]"), &events))
				next = ans.header.Get("X-Next-Cursor")
			}
			for _, e := range events.([]any) {
				names = append(names, e.(map[string]any)["after"].(map[string]any)["name"].(string))
			}
			cursor = fmt.Sprint("&cursor=", next)
		}
		require.Equal(t, []string{"Name 0", "Name 1", "Name 2", "Name 3", "Name 4"}, names)
		if format == "jsonl" {
			end := a.call("GET", path+cursor, a.dev.AdminKey, nil)
			require.Empty(t, end.body+end.header.Get("X-Next-Cursor"), "nothing has happened since")
			body := map[string]any{"name": "Name 5"}
			require.Equal(t, 200, a.call("PATCH", "/v1/admin/customers/cust_x", a.dev.AdminKey, body).status)
			end = a.call("GET", path+cursor, a.dev.AdminKey, nil)
			require.Contains(t, end.body, "Name 5")
			require.NotEmpty(t, end.header.Get("X-Next-Cursor"))
		}
	}
	first := a.call("GET", "/v1/admin/audit?limit=1", a.dev.AdminKey, nil).field("pagination.next_cursor").(string)
	for query, field := range map[string]string{
		"limit=1001": "limit", "event_type=nothing": "event_type", "order=up": "order", "format=xml": "format",
		"since=soon": "since", "cursor=" + first + "&order=asc": "cursor",
		"cursor=" + first + "&customer_id=cust_dev": "cursor",
	} {
		a.refused(a.call("GET", "/v1/admin/audit?"+query, a.dev.AdminKey, nil), 400, "INVALID_INPUT", field)
	}
}
