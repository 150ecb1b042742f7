package bootstrap

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// names are the fields, parameters and headers that may name something of a customer. Path variables
// always may.
var names = []string{
	"workload_id", "workload_ids", "config_id", "customer_id", "key_id", "target_id", "actor_id", "retry_of",
	"cursor", "after", "ticket", "last_event_id", "Last-Event-ID", "Idempotency-Key",
}

// trespass is a request of a customer, the rival, that names something of another one. It must be
// answered as one that names nothing.
type trespass struct {
	path string // %s stands for the name
	body string // likewise; empty: no body
	// header is sent with value, or with the name if that is empty.
	header, value string
	// own is the name of something of the other customer, none that of nothing.
	own, none string
	status    int
	// socket reports whether the request opens a WebSocket.
	socket bool
}

// owned is what the other customer has.
type owned struct {
	*api
	workload, config, key, keyID             string
	cursor, bulkCursor, streamID, ofWorkload string
	ticket                                   string
}

// trespasses lists requests by operation and by what names something in them, for all that is not a
// path variable, and for the path variables of what is not asked for with a plain request.
func (o *owned) trespasses() map[string][]trespass {
	const none = "wl_00000000000000000000000000"
	rows := map[string][]trespass{
		"submitWorkload Idempotency-Key": {{
			path: "/v1/workloads", body: `{"workload_type":"sleep","input_params":{},"priority":7}`, header: "Idempotency-Key",
			own: "owner's", none: "nobody's", status: 202,
		}},
		"submitWorkloads Idempotency-Key": {{
			path: "/v1/workloads/batch", body: `{"workloads":[{"workload_type":"sleep","input_params":{},"priority":7}]}`,
			header: "Idempotency-Key", own: "owner's", none: "nobody's", status: 200,
		}},
		"listWorkloads cursor":       {{path: "/v1/workloads?limit=1&cursor=%s", own: o.cursor, none: "AAAA", status: 400}},
		"listWorkloadConfigs cursor": {{path: "/v1/workload-configs?cursor=%s", own: o.cursor, none: "AAAA", status: 400}},
		"getWorkloadAudit cursor": {{
			path: "/v1/workloads/%s/audit?cursor=AAAA", own: o.workload, none: none, status: 400,
		}},
		"updateWorkloadConfig id": {{
			path: "/v1/workload-configs/%s", body: `{"description":"mine now"}`, own: o.config, none: "wlcfg_none", status: 404,
		}},
		"getWorkloadLogs after": {{path: "/v1/workloads/%s/logs?after=0", own: o.workload, none: none, status: 404}},
		"streamWorkloadEvents Last-Event-ID": {{
			path: "/v1/workloads/%s/events", header: "Last-Event-ID", value: o.ofWorkload, own: o.workload, none: none,
			status: 400,
		}},
		"streamEvents Last-Event-ID": {{
			path: "/v1/events", header: "Last-Event-ID", own: o.streamID, none: "17", status: 400,
		}},
		"followWorkload id": {
			{path: "/v1/ws/workloads/%s", own: o.workload, none: none, status: 404, socket: true},
		},
		"followWorkload ticket": {
			{path: "/v1/ws/workloads/%s?ticket={ticket}", own: o.workload, none: none, status: 404, socket: true},
		},
		"followWorkload last_event_id": {{
			path: "/v1/ws/workloads/%s?last_event_id=" + o.ofWorkload, own: o.workload, none: none, status: 400, socket: true,
		}},
	}
	for _, do := range []string{"cancel", "pause", "resume", "retry"} {
		path := "/v1/workloads/batch/" + do
		rows[do+"Workloads workload_ids"] = []trespass{
			{path: path, body: `{"workload_ids":["%s"]}`, own: o.workload, none: none, status: 200},
			{path: path, body: `{"workload_ids":["%s"],"dry_run":true}`, own: o.workload, none: none, status: 200},
		}
		rows[do+"Workloads customer_id"] = []trespass{
			{path: path, body: `{"filter":{"customer_id":"%s"}}`, own: "cust_dev", none: "cust_none", status: 400},
		}
		rows[do+"Workloads cursor"] = []trespass{{
			path: path, body: `{"filter":{},"limit":1,"cursor":"%s"}`, own: o.bulkCursor, none: "AAAA", status: 400,
		}}
		rows[do+"Workloads Idempotency-Key"] = []trespass{{
			path: path, body: `{"filter":{"label":["batch=x"]}}`, header: "Idempotency-Key", own: "owner's", none: "nobody's",
			status: 200,
		}}
	}
	for _, do := range []string{"cancel", "retry"} {
		rows[do+"Workload Idempotency-Key"] = []trespass{{
			path: "/v1/workloads/" + o.workload + "/" + do, header: "Idempotency-Key", own: "owner's", none: "nobody's",
			status: 404,
		}}
	}
	return rows
}

var (
	anyID   = regexp.MustCompile(`\b(wl|req|wlcfg|key)_[0-9a-zA-Z]+`)
	anyTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
)

// try sends the request with each name, and requires that the answers tell nothing apart.
func (o *owned) try(what, method string, x trespass, as string) {
	o.Helper()
	var seen []string
	for _, name := range []string{x.own, x.none} {
		fill := func(s string) string { return strings.ReplaceAll(s, "%s", name) }
		var ans answer
		if x.socket {
			header := http.Header{"Authorization": {"Bearer " + as}}
			path := fill(x.path)
			if strings.Contains(path, "{ticket}") {
				path, header = strings.ReplaceAll(path, "{ticket}", o.api.ticket(as)), nil
			}
			c, refused := o.dial(o.dev.App.URL(), path, header)
			require.Nil(o, c, what)
			ans = refused
		} else {
			var body any
			if x.body != "" {
				body = fill(x.body)
			}
			req := o.request(method, fill(x.path), as, body)
			if x.header != "" {
				req.Header.Set(x.header, cmp.Or(x.value, name))
			}
			ans = o.do(req)
		}
		require.Equal(o, x.status, ans.status, "%s: %s", what, ans.body)
		text := strings.ReplaceAll(ans.body, name, "")
		for _, secret := range []string{o.workload, o.config, o.key, o.keyID} {
			require.NotContains(o, text, secret, what)
		}
		if ans.status == http.StatusBadRequest { // the text may say what is wrong with the name
			text = fmt.Sprint(ans.field("error.code"), ans.field("error.details.field"))
		}
		seen = append(seen, anyTime.ReplaceAllString(anyID.ReplaceAllString(text, ""), ""))
	}
	require.Equal(o, seen[1], seen[0], "%s: what is another customer's differs from what does not exist", what)
}

// TestOperations_WithNamesOfAnotherCustomer_AnswerAsForMissingOnes goes through the operations of the
// OpenAPI file. Each path variable is tried; whatever else may name something needs requests in the
// list above.
func TestOperations_WithNamesOfAnotherCustomer_AnswerAsForMissingOnes(t *testing.T) {
	a := newAPI(t, 0)
	o, rival := newOwned(a)
	rows, used := o.trespasses(), map[string]bool{}
	for path, item := range a.spec.Paths.Map() {
		for method, op := range item.Operations() {
			open := slices.ContainsFunc(op.Extensions["x-roles"].([]any), func(r any) bool {
				return r == "customer" || r == "viewer"
			})
			for _, p := range slices.Concat(item.Parameters, op.Parameters) {
				what := op.OperationID + " " + p.Value.Name
				if p.Value.In == "path" && len(rows[what]) == 0 && !strings.HasSuffix(path, "/{file}") {
					rows[what] = []trespass{o.inPath(path, p.Value.Name, open, op)}
				}
			}
			for _, name := range namesIn(item, op) {
				what := op.OperationID + " " + name
				if !open && len(rows[what]) == 0 {
					continue // a customer's key opens it for nobody
				}
				used[what] = true
				require.NotEmpty(t, rows[what],
					"%s may name something of another customer: say in trespasses how it is tried", what)
				for _, x := range rows[what] {
					o.try(what, method, x, rival)
				}
			}
		}
	}
	for what := range rows {
		require.True(t, used[what], "%s is tried, but the OpenAPI file has no such thing", what)
	}
	require.Greater(t, len(used), 30)
	for _, keyID := range []string{o.keyID, "key_none"} { // the key of one customer under another
		a.refused(a.call("DELETE", "/v1/admin/customers/cust_rival/keys/"+keyID, a.dev.AdminKey, nil), 404, "NOT_FOUND", "")
	}
	require.Equal(t, "PENDING", a.call("GET", "/v1/workloads/"+o.workload, o.key, nil).field("status"))
	require.Equal(t, 200, a.call("GET", "/v1/workload-configs/"+o.config, o.key, nil).status)
	require.Equal(t, 200, a.call("GET", "/v1/workloads/"+strings.ToUpper(o.workload), o.key, nil).status,
		"ids are case-insensitive")
	o.socket("/v1/ws/workloads/"+o.workload+"?ticket="+o.ticket, "").read(1) // nobody has used it up
}

// inPath returns the request that names something in a variable of its path.
func (o *owned) inPath(path, name string, open bool, op *openapi3.Operation) trespass {
	own := map[string]string{"id": o.workload, "key_id": o.keyID, "sequence": "1"}[name]
	none := map[string]string{"id": "wl_00000000000000000000000000", "key_id": "key_none", "sequence": "2"}[name]
	switch {
	case name == "id" && strings.Contains(path, "/workload-configs/"):
		own, none = o.config, "wlcfg_none"
	case name == "id" && strings.Contains(path, "/admin/customers/"):
		own, none = "cust_dev", "cust_none"
	}
	require.NotEmpty(o, own, "%s has a variable %s", path, name)
	x := trespass{own: own, none: none, status: http.StatusForbidden}
	if open {
		x.status = http.StatusNotFound
	}
	if op.RequestBody != nil && op.RequestBody.Value.Required {
		x.body = `{}`
	}
	x.path = strings.ReplaceAll(path, "{"+name+"}", "%s")
	x.path = strings.NewReplacer("{id}", o.workload, "{key_id}", o.keyID, "{sequence}", "1").Replace(x.path)
	return x
}

// namesIn returns what may name something in a request of the operation.
func namesIn(item *openapi3.PathItem, op *openapi3.Operation) (found []string) {
	add := func(name string) {
		if !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	for _, p := range slices.Concat(item.Parameters, op.Parameters) {
		if p.Value.In == "path" && p.Value.Name != "file" || slices.Contains(names, p.Value.Name) {
			add(p.Value.Name)
		}
	}
	seen := map[*openapi3.Schema]bool{}
	var visit func(s *openapi3.SchemaRef)
	visit = func(s *openapi3.SchemaRef) {
		if s == nil || s.Value == nil || seen[s.Value] {
			return
		}
		seen[s.Value] = true
		for name, property := range s.Value.Properties {
			if slices.Contains(names, name) {
				add(name)
			}
			visit(property)
		}
		visit(s.Value.Items)
		for _, part := range slices.Concat(s.Value.AllOf, s.Value.OneOf, s.Value.AnyOf) {
			visit(part)
		}
	}
	if op.RequestBody != nil {
		for _, content := range op.RequestBody.Value.Content {
			visit(content.Schema)
		}
	}
	return found
}

// newOwned gives the development customer something of everything, and returns it with the key of
// the rival.
func newOwned(a *api) (o *owned, rival string) {
	a.Helper()
	o = &owned{api: a, key: a.dev.CustomerKey}
	rival = a.tenant("cust_rival", map[string]any{"burst": 10_000})
	submit := func(key string) answer {
		req := a.request("POST", "/v1/workloads", o.key,
			`{"workload_type":"sleep","input_params":{},"labels":{"batch":"x"},"run_at":"2099-01-01T00:00:00Z"}`)
		req.Header.Set("Idempotency-Key", key)
		return a.do(req)
	}
	o.workload = submit("owner's").field("workload_id").(string)
	submit("another")
	o.config = a.call("POST", "/v1/workload-configs", o.key, map[string]any{"workload_type": "sleep"}).
		field("config_id").(string)
	o.key, o.keyID = a.keyID("customer")
	o.cursor = a.call("GET", "/v1/workloads?limit=1", o.key, nil).field("pagination.next_cursor").(string)
	o.bulkCursor = a.call("POST", "/v1/workloads/batch/cancel", o.key, `{"filter":{},"limit":1,"dry_run":true}`).
		field("pagination.next_cursor").(string)
	o.ofWorkload = a.streams("/v1/workloads/"+o.workload+"/events", o.key, "").read(1)[0].EventID
	follow := a.streams("/v1/events", o.key, "")
	submit("a third")
	o.streamID = follow.read(1)[0].EventID
	o.ticket = a.ticket(o.key)
	return o, rival
}
