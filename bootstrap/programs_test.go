package bootstrap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAProgramsOutputIsInLogsAndResult(t *testing.T) {
	a := newAPI(t, 1)
	id := a.submit(map[string]any{"workload_type": "exec", "input_params": map[string]any{"command": []string{"sh", "-c", "echo out; echo err >&2"}}})
	w := a.call("GET", "/v1/workloads/"+id+"?wait=10", a.dev.CustomerKey, nil)
	require.Equal(t, "COMPLETED", w.field("status"), w.body)
	require.Equal(t, "out\n", w.field("result_data.stdout"))
	logs := a.call("GET", "/v1/workloads/"+id+"/logs", a.dev.CustomerKey, nil)
	require.Contains(t, logs.body, `"message":"out"`)
	require.Contains(t, logs.body, `"message":"err"`)
}
