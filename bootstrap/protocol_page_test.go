package bootstrap

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// TestProtocolPage_EveryExample_IsAMessageOfThisCode decodes the examples of the page strictly.
// Each example follows a comment that names its message.
func TestProtocolPage_EveryExample_IsAMessageOfThisCode(t *testing.T) {
	page, err := os.ReadFile("../docs/protocol/README.md")
	require.NoError(t, err)
	messages := map[string]func() any{
		"Registration":    func() any { return &domain.Registration{} },
		"Grant":           func() any { return &ports.Grant{} },
		"Heartbeat":       func() any { return &ports.Heartbeat{} },
		"HeartbeatAnswer": func() any { return &ports.HeartbeatAnswer{} },
		"SessionEnd":      func() any { return &domain.SessionEnd{} },
		"PollRequest": func() any {
			return &struct {
				ports.SessionRef
				WaitMS int64 `json:"wait_ms"`
			}{}
		},
		"PollAnswer": func() any {
			return &struct {
				Commands []ports.Command `json:"commands"`
			}{}
		},
		"Command": func() any { return &ports.Command{} },
		"ReportRequest": func() any {
			return &struct {
				ports.SessionRef
				Reports []strictReport `json:"reports"`
			}{}
		},
		"ReportAnswers": func() any {
			return &struct {
				Answers []ports.ReportAnswer `json:"answers"`
			}{}
		},
		"ReportAnswer": func() any { return &ports.ReportAnswer{} },
		"Error": func() any {
			return &struct {
				Error struct {
					Code      domain.Code    `json:"code"`
					Message   string         `json:"message"`
					Details   map[string]any `json:"details"`
					RequestID string         `json:"request_id"`
				} `json:"error"`
			}{}
		},
	}
	blocks := regexp.MustCompile("(?s)(<!-- (\\w+) -->\n)?```json\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	require.GreaterOrEqual(t, len(blocks), 15)
	seen := map[string]bool{}
	for _, b := range blocks {
		make, ok := messages[b[2]]
		require.True(t, ok, "no message is named before\n%s", b[3])
		seen[b[2]] = true
		d := json.NewDecoder(bytes.NewReader([]byte(b[3])))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(make()), b[3])
	}
	for name := range messages {
		assert.True(t, seen[name], "the page has no example of %s", name)
	}
	description, err := os.ReadFile("../api/openapi/niyanta-v1.yaml")
	require.NoError(t, err)
	for _, kind := range []ports.CommandKind{
		ports.CommandAssign, ports.CommandCancel, ports.CommandPause, ports.CommandCheckpoint,
		ports.CommandPreempt, ports.CommandDrop, ports.CommandDrain, ports.CommandUndrain,
	} {
		assert.Contains(t, string(page), "`"+string(kind)+"`", "the page must describe every command")
		assert.Regexp(t, `kind: .*enum: \[.*\b`+regexp.QuoteMeta(string(kind))+`[,\]]`, string(description),
			"every command is described")
	}
	for _, r := range domain.Rules() {
		if r.Source == domain.FromWorker && r.Event != domain.EventCheckpoint && r.Event != domain.EventSkipCheckpoint {
			assert.Contains(t, string(page), "| `"+string(r.Event)+"` |", "the page must describe every report")
		}
	}
}

// strictReport is a report that is decoded strictly.
type strictReport domain.Report

// TestWorkerOfTheProtocolPage_AgainstADevServer_CompletesAndLeaves runs the worker that the page
// shows.
func TestWorkerOfTheProtocolPage_AgainstADevServer_CompletesAndLeaves(t *testing.T) {
	d, c := startDev(t, 0)
	cmd := exec.CommandContext(t.Context(), "python3", "../docs/protocol/worker.py")
	cmd.Env = append(os.Environ(), "NIYANTA_COORDINATOR_URL="+d.App.URL(), "NIYANTA_WORKER_KEY="+d.WorkerKey,
		"NIYANTA_WORKER_ID=py-1")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended unless the test failed

	long, err := c.Submit(t.Context(), niyanta.Submission{WorkloadType: "count",
		InputParams: json.RawMessage(`{"to": 100000}`)}, "")
	require.NoError(t, err)
	short, err := c.Submit(t.Context(), niyanta.Submission{WorkloadType: "count",
		InputParams: json.RawMessage(`{"to": 12}`)}, "")
	require.NoError(t, err)
	awaitState(t, c, short.WorkloadID, "COMPLETED")
	awaitState(t, c, long.WorkloadID, "RUNNING")
	_, err = c.Pause(t.Context(), long.WorkloadID, "")
	require.NoError(t, err)
	paused := awaitState(t, c, long.WorkloadID, "PAUSED")
	assert.Positive(t, paused.CheckpointSequence)
	_, err = c.Resume(t.Context(), long.WorkloadID, "")
	require.NoError(t, err)
	awaitState(t, c, long.WorkloadID, "RUNNING")

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-ended:
		require.NoError(t, err, said.String())
	case <-time.After(20 * time.Second):
		require.FailNow(t, "the worker does not end", said.String())
	}
	assert.True(t, strings.HasSuffix(said.String(), "left\n"), said.String())
	released, err := c.Get(t.Context(), long.WorkloadID)
	require.NoError(t, err)
	assert.Equal(t, "REDISTRIBUTING", string(released.Status), "it was released")
	assert.Greater(t, released.CheckpointSequence, paused.CheckpointSequence, "with a checkpoint")
	requireLegal(t, c, long.WorkloadID, released.Status)
}

// awaitState returns the workload once it is in that state.
func awaitState(t *testing.T, c *niyanta.Client, id, state string) niyanta.Workload {
	t.Helper()
	var w niyanta.Workload
	require.Eventually(t, func() bool {
		var err error
		w, err = c.Get(t.Context(), id)
		return err == nil && string(w.Status) == state
	}, 30*time.Second, 20*time.Millisecond, state)
	return w
}
