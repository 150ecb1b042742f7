package bootstrap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/apispec"
)

// replay makes the requests of the examples in the OpenAPI file. The examples are steps of one
// sequence, so each id that the file assumes is replaced by the id that the server has made.
type replay struct {
	*api

	ids  map[string]string // ids of the file to those of the server
	done map[string]bool   // by operation
}

// operation finds an operation by its id.
func (r *replay) operation(id string) (method, path string, item *openapi3.PathItem, op *openapi3.Operation) {
	r.Helper()
	for path, item := range r.spec.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == id {
				return method, path, item, op
			}
		}
	}
	require.Fail(r, "no operation "+id)
	return "", "", nil, nil
}

// actual replaces the ids of the file.
func (r *replay) actual(text string) string {
	for from, to := range r.ids {
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

// request builds the request of an operation from its examples: those of the parameters that it
// requires, and that of its body.
func (r *replay) request(id, key string) *http.Request {
	r.Helper()
	method, path, item, op := r.operation(id)
	query := url.Values{}
	for _, p := range slices.Concat(item.Parameters, op.Parameters) {
		value := r.actual(fmt.Sprint(p.Value.Example))
		switch {
		case !p.Value.Required:
		case p.Value.In == openapi3.ParameterInPath:
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", value)
		default:
			query.Set(p.Value.Name, value)
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	if op.RequestBody == nil {
		return r.api.request(method, path, key, nil)
	}
	for mediaType, media := range op.RequestBody.Value.Content {
		text, ok := media.Example.(string)
		if !ok {
			raw, err := json.Marshal(media.Example)
			require.NoError(r, err)
			text = r.actual(string(raw))
		}
		req := r.api.request(method, path, key, text)
		req.Header.Set("Content-Type", mediaType)
		return req
	}
	require.Fail(r, "no body of "+id)
	return nil
}

// play makes the request of an operation. The answer must have the given status, and exactly the
// fields of the example for that status.
func (r *replay) play(id, key string, status int) answer {
	r.Helper()
	return r.played(id, status, r.do(r.request(id, key)))
}

// played checks the answer of an operation.
func (r *replay) played(id string, status int, ans answer) answer {
	r.Helper()
	r.done[id] = true
	require.Equal(r, status, ans.status, "%s: %s", id, ans.body)
	_, _, _, op := r.operation(id)
	media := op.Responses.Value(fmt.Sprint(status)).Value.Content["application/json"]
	if media == nil {
		return ans
	}
	var got any
	require.NoError(r, json.NewDecoder(bytes.NewReader([]byte(ans.body))).Decode(&got))
	for _, want := range (apispec.Body{Media: media}).Examples() {
		assert.Equal(r, fieldsOf(media.Schema.Value, want, got), fieldsOf(media.Schema.Value, got, want),
			"the fields of %s as in the example and as answered: %s", id, ans.body)
	}
	return ans
}

// fieldsOf returns the sorted paths of the fields of a value. It leaves out the members of maps,
// and the fields below one that is null, absent or an empty list in the other value. The items of a
// list are treated as one.
func fieldsOf(schema *openapi3.Schema, value, other any) []string {
	found := map[string]bool{}
	var visit func(at string, schema *openapi3.Schema, values, others []any)
	visit = func(at string, schema *openapi3.Schema, values, others []any) {
		if len(others) == 0 {
			return
		}
		for name, property := range schema.Properties {
			if own, there := below(values, name); there {
				found[at+"."+name] = true
				theirs, _ := below(others, name)
				visit(at+"."+name, property.Value, own, theirs)
			}
		}
		if schema.Items != nil {
			visit(at+"[]", schema.Items.Value, items(values), items(others))
		}
	}
	visit("", schema, []any{value}, []any{other})
	return slices.Sorted(maps.Keys(found))
}

// below returns the members of a name of all objects among the values, without nulls. there reports
// whether any object has the name.
func below(values []any, name string) (found []any, there bool) {
	for _, v := range values {
		object, _ := v.(map[string]any)
		value, has := object[name]
		there = there || has
		if value != nil {
			found = append(found, value)
		}
	}
	return found, there
}

// items returns the items of the lists among the values.
func items(values []any) (found []any) {
	for _, v := range values {
		if list, ok := v.([]any); ok {
			found = append(found, list...)
		}
	}
	return found
}

// TestExamples_Replayed_AreAnsweredAsTheFileSays makes each request of the OpenAPI file, in the
// order of the sequence that the examples form. Add a new operation where it fits into the
// sequence.
func TestExamples_Replayed_AreAnsweredAsTheFileSays(t *testing.T) {
	const pools = `[{"name":"cpu","types":["video-transcode"]}]`
	r := &replay{newAPI(t, 0, func(c *Config) {
		c.Pools, c.WorkerLease = pools, time.Hour // the workers of the story send no heartbeats
	}), map[string]string{}, map[string]bool{}}
	const (
		workload = "wl_06h1hucj71qf3ff5kqrmaaqo9s"
		config   = "wlcfg_06h1hucg2n7d3sv0t5qk9m4r8e"
		keyID    = "key_06h1hucd7pvef9gjsm82b7recc"
		session  = "ses_06h1hucfaj"
	)
	admin, worker := r.dev.AdminKey, r.dev.WorkerKey

	for id, status := range map[string]int{
		"root": 200, "health": 200, "ready": 200, "metrics": 200, "docs": 200, "openapi": 200,
		"docsFile": 200, "consoleFile": 200,
	} {
		r.play(id, "", status)
	}

	// An operator onboards a customer.
	r.play("createCustomer", admin, 201)
	r.play("listCustomers", admin, 200)
	r.play("getCustomerByID", admin, 200)
	made := r.play("createKey", admin, 201)
	key := made.field("key").(string)
	r.play("listKeys", admin, 200)

	// Somebody signs in with a browser, looks who it is, and signs out.
	signedIn := r.play("signIn", key, 200)
	cookie, _, _ := strings.Cut(signedIn.header.Get("Set-Cookie"), ";")
	bySession := func(id string) *http.Request {
		req := r.request(id, "")
		req.Header.Set("Cookie", cookie)
		req.Header.Set("X-CSRF-Token", signedIn.field("csrf_token").(string))
		return req
	}
	r.play("createSignInLink", key, 201)
	r.played("getSession", 200, r.do(bySession("getSession")))
	r.played("signOut", 204, r.do(bySession("signOut")))

	// The customer prepares a type and submits. The one worker there is does not offer it.
	require.Equal(t, 200, r.api.call("POST", "/v1/worker/register", worker, map[string]any{
		"worker_id": "worker-0", "session_id": "ses_0", "capabilities": []any{"sleep"}, "slots": 1,
	}).status)
	r.ids[config] = r.play("createWorkloadConfig", key, 201).field("config_id").(string)
	r.play("listWorkloadConfigs", key, 200)
	r.play("getWorkloadConfig", key, 200)
	r.play("updateWorkloadConfig", key, 200)
	r.ids[workload] = r.play("submitWorkload", key, 202).field("workload_id").(string)
	r.play("submitWorkloads", key, 200)
	r.play("getQueueDepth", admin, 200)
	r.play("getSeries", admin, 200)
	r.play("listLanes", admin, 200)
	r.play("getConfig", admin, 200)
	r.play("getScaling", admin, 200)
	r.play("getWorkloadPlacement", key, 200)

	// A worker joins and takes the workload.
	r.play("workerRegister", worker, 200)
	require.Eventually(t, func() bool { // another workload may be assigned first
		ans := r.do(r.request("workerPoll", worker))
		if !strings.Contains(ans.body, r.ids[workload]) {
			return false
		}
		r.played("workerPoll", 200, ans)
		return true
	}, 30*time.Second, time.Millisecond)
	r.play("workerReport", worker, 200)
	r.play("workerSaveCheckpoint", worker, 200)
	r.play("workerLoadCheckpoint", worker, 200)
	r.play("getWorkload", key, 200)
	r.play("listWorkloads", key, 200)
	r.play("listAllWorkloads", admin, 200)
	r.play("getWorkloadLogs", key, 200)
	r.play("getWorkloadAudit", key, 200)
	r.play("streamWorkloadEvents", key, 200)
	r.play("streamEvents", key, 200)
	r.play("createTicket", key, 201)
	upgrade := r.request("followWorkload", key)
	upgrade.Header = http.Header{
		"Authorization": {"Bearer " + key}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}
	followed, err := r.client.Do(upgrade)
	require.NoError(t, err)
	require.NoError(t, errors.Join(r.spec.Check(upgrade, followed, nil), followed.Body.Close()))
	r.played("followWorkload", 101, answer{followed.StatusCode, followed.Header, ""})
	r.play("getWorkloadCheckpoints", key, 200)
	r.play("getWorkloadCheckpoint", key, 200)
	r.play("checkpointWorkload", key, 202)
	r.play("getCustomer", key, 200)
	r.play("listWorkers", admin, 200)
	r.play("getWorker", admin, 200)

	r.play("pauseWorkloads", key, 200)

	// The worker learns of the pause with a heartbeat, and confirms it.
	type outcome struct {
		answer
		error
	}
	pausing := make(chan outcome, 1)
	pause := r.request("pauseWorkload", key)
	go func() {
		ans, err := r.read(pause)
		pausing <- outcome{ans, err}
	}()
	require.Eventually(t, func() bool {
		ans := r.do(r.request("workerHeartbeat", worker))
		if !strings.Contains(ans.body, "workload.pause") {
			return false
		}
		r.played("workerHeartbeat", 200, ans)
		return true
	}, 30*time.Second, 5*time.Millisecond)
	report := map[string]any{"report_id": "p", "workload_id": r.ids[workload], "generation": 1, "event": "paused"}
	paused := r.api.call("POST", "/v1/worker/report", worker, map[string]any{
		"worker_id": "worker-1", "session_id": session, "reports": []any{report},
	})
	require.Contains(t, paused.body, "applied")
	done := <-pausing
	require.NoError(t, done.error)
	r.played("pauseWorkload", 200, done.answer)
	r.play("drainWorker", admin, 200)
	r.play("undrainWorker", admin, 200)
	r.play("listWorkerEvents", admin, 200)
	r.play("resumeWorkloads", key, 200)
	r.play("resumeWorkload", key, 202)
	r.play("cancelWorkloads", key, 200)
	r.play("cancelWorkload", key, 200)
	r.play("retryWorkloads", key, 200)
	r.play("retryWorkload", key, 202)
	r.play("getCustomerStats", key, 200)
	r.play("getCustomerStatsByID", admin, 200)

	// The worker is removed, and leaves.
	r.play("removeWorker", admin, 204)
	r.play("workerEnd", worker, 204)

	// The operator revokes the keys.
	r.play("updateCustomer", admin, 200)
	r.play("suspendCustomer", admin, 200)
	r.play("reactivateCustomer", admin, 200)
	for _, w := range r.api.call("GET", "/v1/workloads", key, nil).field("workloads").([]any) {
		r.api.call("POST", "/v1/workloads/"+w.(map[string]any)["workload_id"].(string)+"/cancel", key, nil)
	}
	r.play("deleteWorkloadConfig", key, 204)
	operator := r.play("createOperatorKey", admin, 201)
	r.play("listOperatorKeys", admin, 200)
	r.ids[keyID] = operator.field("key_id").(string)
	r.play("revokeOperatorKey", admin, 204)
	r.ids[keyID] = made.field("key_id").(string)
	r.play("revokeKey", admin, 204)
	r.play("deleteCustomer", admin, 202)
	r.play("listAdminAudit", admin, 200)

	for path, item := range r.spec.Paths.Map() {
		for method, op := range item.Operations() {
			assert.True(t, r.done[op.OperationID], "%s %s (%s) is not part of the story", method, path, op.OperationID)
		}
	}
}
