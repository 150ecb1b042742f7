package bootstrap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfig_WhenCreated_IsTheDefaultOfLaterSubmissions(t *testing.T) {
	a := newAPI(t, 1)
	body := map[string]any{
		"workload_type": "exec", "max_retries": 0, "timeout_seconds": 500, "config_json": map[string]any{"a": 1},
	}
	cfg := a.call("POST", "/v1/workload-configs", a.dev.CustomerKey, body)
	require.Equal(t, 201, cfg.status, cfg.body)
	a.refused(a.call("POST", "/v1/workload-configs", a.dev.CustomerKey, body), 409, "CONFLICT", "workload_type")
	id := a.submit(map[string]any{
		"workload_type": "exec", "input_params": map[string]any{"command": []string{"sh", "-c", "echo no; exit 3"}},
	})
	w := a.call("GET", "/v1/workloads/"+id+"?wait=50s", a.dev.CustomerKey, nil)
	require.Equal(t, "FAILED", w.field("status"), w.body)
	require.Equal(t, "exit_status", w.field("error_type"))
	path := "/v1/workload-configs/" + cfg.field("config_id").(string)
	body["max_retries"] = 7
	require.InDelta(t, 7, a.call("PUT", path, a.dev.CustomerKey, body).field("max_retries"), 0)
	body["workload_type"] = "sleep"
	a.refused(a.call("PUT", path, a.dev.CustomerKey, body), 400, "INVALID_INPUT", "workload_type")
	require.Equal(t, 204, a.call("DELETE", path, a.dev.CustomerKey, nil).status)
	a.refused(a.call("GET", path, a.dev.CustomerKey, nil), 404, "NOT_FOUND", "")
}
