package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestServers_WhenStarted_HoldNoSecretsInTheirEnvironment(t *testing.T) {
	c := newFleet(t)
	worker := c.worker("w1")
	for name, p := range map[string]*process{"coordinator": c.coordinator, "worker": worker} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.Process.Pid))
		if os.Geteuid() != 0 {
			require.ErrorIs(t, err, os.ErrPermission, name)
			continue
		}
		require.NoError(t, err)
		assert.Contains(t, string(b), "PATH=", name)
		assert.NotContains(t, string(b), c.workerKey, name)
		assert.NotContains(t, string(b), c.adminKey, name)
	}
}

func TestServes_OfACommandLine_DistinguishesServersFromClients(t *testing.T) {
	for _, line := range [][]string{{"dev"}, {"dev", "--workers", "3"}, {"server"}, {"coordinator"}, {"worker"}} {
		assert.True(t, serves(line), "%q", line)
	}
	for _, line := range [][]string{nil, {"worker", "list"}, {"workload", "list"}, {"config"}, {"migrate", "up"},
		{"nonsense"}} {
		assert.False(t, serves(line), "%q", line)
	}
}

// asNobody has processes run as a user without rights.
func asNobody(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o755)) //nolint:gosec // others execute it
	return func(cmd *exec.Cmd) {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
	}
}

// lookAround is a hostile program. It reads everything that may hold the worker's key.
const lookAround = `for p in $PPID $(ls /proc | grep -E '^[0-9]+$'); do
 cat /proc/$p/environ /proc/$p/cmdline 2>/dev/null
 for f in /proc/$p/fd/*; do [ -f "$f" ] && head -c 65536 "$f" 2>/dev/null; done
done | tr '\0' '\n' | grep -c "$NEEDLE"; echo looked; env | grep -c NIYANTA_WORKER_KEY; exit 0`

func TestWorker_WhenAProgramLooksAround_ItFindsNoSecrets(t *testing.T) {
	c := newFleet(t)
	needle := c.workerKey[:16] // a part of the key, so that the script does not find itself
	for _, trial := range []struct{ uids, namespaces, isolation, boxed string }{
		{"auto", "none", "uid", "none"}, {"none", "none", "dumpable", "none"},
		{"auto", "auto", "uid", "yes"}, {"none", "auto", "dumpable", "user"},
	} {
		if os.Geteuid() != 0 && trial.uids == "auto" {
			continue // only root may give programs users of their own
		}
		c.prepare = nil
		if os.Geteuid() == 0 && trial.uids == "none" {
			c.prepare = asNobody(t)
		}
		name := "w-" + trial.uids + "-" + trial.namespaces
		_, _ = c.start([]string{
			"NIYANTA_COORDINATOR_URL=" + c.url, "NIYANTA_WORKER_KEY=" + c.workerKey, "NIYANTA_WORKER_ID=" + name,
			"NIYANTA_EXEC_ALLOW=sh,no-such-program", "NIYANTA_EXEC_ENV=sh=NEEDLE", "NIYANTA_EXEC_UIDS=" + trial.uids,
			"NIYANTA_EXEC_NAMESPACES=" + trial.namespaces,
		}, "worker")
		var worker niyanta.WorkerInfo
		c.eventually(func() bool {
			ws, err := niyanta.Collect(c.admin.Workers(t.Context()))
			for _, w := range ws {
				if w.WorkerID == name {
					worker = w
				}
			}
			return err == nil && worker.WorkerID != ""
		}, "the worker registers")
		assert.Equal(t, trial.isolation, worker.Tags["exec.isolation"])
		assert.Contains(t, []string{"none", trial.boxed}, worker.Tags["exec.namespaces"],
			"namespaces are used where the kernel allows them")
		assert.NotEmpty(t, worker.Tags["exec.limits"])
		assert.Contains(t, worker.Capabilities, "exec:sh")
		assert.NotContains(t, worker.Capabilities, "exec:no-such-program")
		input, err := json.Marshal(map[string]any{"command": []string{"sh", "-c", lookAround},
			"env": map[string]string{"NEEDLE": "[" + needle[:1] + "]" + needle[1:]}})
		require.NoError(t, err)
		id := c.submit("exec", string(input))
		assert.Contains(t, string(c.completed(id).ResultData), `"0\nlooked\n0\n"`)
	}
}

func TestWorker_WhenNobodyOffersAProgram_TheWorkloadWaitsAndSaysSo(t *testing.T) {
	c := newFleet(t)
	c.worker("w1")
	id := c.submit("exec", `{"command":["ffmpeg"]}`)
	c.eventually(func() bool {
		w := c.get(id)
		return w.Status == "PENDING" && w.StatusReason != nil && strings.Contains(*w.StatusReason, "none offers exec:ffmpeg")
	}, "it says why it waits")
	_, err := c.client.Submit(t.Context(), niyanta.Submission{WorkloadType: "exec",
		InputParams: json.RawMessage(`{"command":["./ffmpeg"]}`)}, "")
	require.ErrorContains(t, err, "command")
	_, _ = c.start([]string{
		"NIYANTA_COORDINATOR_URL=" + c.url, "NIYANTA_WORKER_KEY=" + c.workerKey, "NIYANTA_WORKER_ID=w2",
		"NIYANTA_EXEC_ALLOW=ls",
	}, "worker")
	for range 5 {
		c.completed(c.submit("exec", `{"command":["ls"]}`)) // w1 does not fail it
	}
}
