package bootstrap

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unknownCall makes a call of Connect with JSON that has a member which no message has a field for,
// and returns all that is answered.
func (a *api) unknownCall(service, method, key, message string, streams bool) string {
	a.Helper()
	contentType, body := "application/json", message
	if streams {
		contentType = "application/connect+json"
		body = string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))) + message //nolint:gosec // short
	}
	req := a.request("POST", fmt.Sprintf("/niyanta.v1.%s/%s", service, method), key, strings.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	resp, err := a.client.Do(req)
	require.NoError(a, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(a, err)
	return string(text)
}

// TestRPCs_WithAnUnknownField_RefuseItByName calls each method with one.
func TestRPCs_WithAnUnknownField_RefuseItByName(t *testing.T) {
	a := newAPI(t, 0)
	id := a.submit(`{"workload_type":"sleep","input_params":{},"run_at":"2099-01-01T00:00:00Z"}`)
	for _, m := range rpcMethods() {
		service, message := string(m.Parent().Name()), `"colour":1`
		key := a.dev.CustomerKey
		if service == "AdminService" {
			key = a.dev.AdminKey
		}
		for _, name := range []string{"workload_id", "worker_id"} {
			if m.Input().Fields().ByTextName(name) != nil {
				message += fmt.Sprintf(`,%q:%q`, name, id)
			}
		}
		answer := a.unknownCall(service, string(m.Name()), key, "{"+message+"}", m.IsStreamingServer())
		require.Contains(t, answer, `"code":"invalid_argument"`, m.FullName())
		require.Regexp(t, `"message":"colour: is not a (field of this request|parameter of this endpoint)"`, answer,
			m.FullName())
	}
}

// TestRPCs_WithAnUnknownField_RefuseItAsREST compares the words.
func TestRPCs_WithAnUnknownField_RefuseItAsREST(t *testing.T) {
	a := newAPI(t, 0)
	for _, c := range []struct{ method, message, rest, path, body string }{
		{"SubmitWorkload", `{"workload_type":"sleep","input_params":"{}","colour":1}`, "POST", "/v1/workloads",
			`{"workload_type":"sleep","input_params":{},"colour":1}`},
		{"SubmitWorkload", `{"workload_type":"sleep","input_params":"{}","resources":{"gpu":1}}`, "POST", "/v1/workloads",
			`{"workload_type":"sleep","input_params":{},"resources":{"gpu":1}}`},
		{"SubmitWorkload", `{"workloadType":"sleep","input_params":"{}","affinityRules":{"hardAffinity":{"zone":"a"}}}`,
			"POST", "/v1/workloads",
			`{"workload_type":"sleep","input_params":{},"affinity_rules":{"hard_affinity":{"zone":"a"}}}`},
		{"ListWorkloads", `{"colour":"red"}`, "GET", "/v1/workloads?colour=red", ""},
	} {
		var body any
		if c.body != "" {
			body = c.body
		}
		want := a.call(c.rest, c.path, a.dev.CustomerKey, body)
		require.Equal(t, 400, want.status, want.body)
		message := want.field("error").(map[string]any)["message"].(string)
		got := a.unknownCall("WorkloadService", c.method, a.dev.CustomerKey, c.message, false)
		require.Contains(t, got, fmt.Sprintf(`"message":%q`, message), c.message)
	}
	// In a batch, the item is refused, and the others are not.
	item := `{"workload_type":"sleep","input_params":%s,"run_at":"2099-01-01T00:00:00Z"%s}`
	batch := func(input string) string {
		return `{"workloads":[` + fmt.Sprintf(item, input, "") + "," + fmt.Sprintf(item, input, `,"colour":1`) + `]}`
	}
	want := a.call("POST", "/v1/workloads/batch", a.dev.CustomerKey, batch(`{}`))
	got := a.unknownCall("WorkloadService", "SubmitWorkloads", a.dev.CustomerKey, batch(`"{}"`), false)
	for _, answer := range []string{want.body, got} {
		require.Contains(t, answer, "colour: is not a field of this request", answer)
	}
	require.Equal(t, strings.Contains(want.body, `"workload_id"`), strings.Contains(got, `"workload_id"`))
}
