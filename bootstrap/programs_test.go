package bootstrap

import (
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrograms_Output_IsInLogsAndResult(t *testing.T) {
	a := newAPI(t, 1)
	id := a.submit(map[string]any{
		"workload_type": "exec", "input_params": map[string]any{"command": []string{"sh", "-c",
			"echo out; echo err >&2"}},
	})
	w := a.call("GET", "/v1/workloads/"+id+"?wait=50", a.dev.CustomerKey, nil)
	require.Equal(t, "COMPLETED", w.field("status"), w.body)
	require.Equal(t, "out\n", w.field("result_data.stdout"))
	logs := a.call("GET", "/v1/workloads/"+id+"/logs", a.dev.CustomerKey, nil)
	require.Contains(t, logs.body, `"message":"out"`)
	require.Contains(t, logs.body, `"message":"err"`)
}

// Starting a program as another user closes this process's memory to others, as in a server. But
// this process is no server that starts only programs: its other children are not orphans of
// programs, and must not be killed.
func TestPrograms_InAProcessThatIsNoServer_KillNoOtherChildren(t *testing.T) {
	other := exec.Command("sleep", "60")
	require.NoError(t, other.Start())
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	for range 2 {
		a := newAPI(t, 1)
		id := a.submit(map[string]any{
			"workload_type": "exec", "input_params": map[string]any{"command": []string{"echo", "hello"}},
		})
		require.Equal(t, "COMPLETED", a.call("GET", "/v1/workloads/"+id+"?wait=50", a.dev.CustomerKey,
			nil).field("status"))
	}
	require.NoError(t, other.Process.Signal(syscall.Signal(0)))
	var ws syscall.WaitStatus
	pid, err := syscall.Wait4(other.Process.Pid, &ws, syscall.WNOHANG, nil)
	require.NoError(t, err)
	require.Zero(t, pid, "it still runs: %v", ws)
}
