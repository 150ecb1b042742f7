package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// accepting is a server that accepts each line of a batch, once hold lets it.
func accepting(t *testing.T, hold func()) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Workloads []json.RawMessage }
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&in))
		hold()
		results := strings.TrimSuffix(strings.Repeat(`{"workload_id":"wl","status":"PENDING"},`, len(in.Workloads)), ",")
		_, _ = io.WriteString(w, `{"results":[`+results+`]}`)
	}))
	t.Cleanup(server.Close)
	return server
}

// interruptedBatch runs a batch. It returns what ends with it, and its output.
func interruptedBatch(
	ctx context.Context, t *testing.T, url string, in io.Reader,
) (ended <-chan error, out *syncBuffer) {
	t.Helper()
	client, err := niyanta.NewClient(url, "k")
	require.NoError(t, err)
	t.Cleanup(client.Close)
	done := make(chan error, 1)
	b := &batch{client: client, out: &syncBuffer{}, retryFor: batchRetryFor, say: func(string, ...any) {}}
	go func() { done <- b.run(ctx, in) }()
	return done, b.out.(*syncBuffer)
}

const aLine = `{"workload_type":"a","input_params":{}}` + "\n"

func TestBatch_WhenInterruptedWithinItsInput_SubmitsWhatItHasReadWhole(t *testing.T) {
	server := accepting(t, func() {})
	in, write := io.Pipe() // never ends
	defer func() { _ = in.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended, out := interruptedBatch(ctx, t, server.URL, in)
	for _, part := range []string{strings.Repeat(aLine, 3), `{"workload_type":`} {
		_, err := io.WriteString(write, part) // ends when the batch, which has the parts before it, reads it
		require.NoError(t, err)
	}
	cancel()
	var err error
	select {
	case err = <-ended:
	case <-time.After(20 * time.Second):
		require.FailNow(t, "it reads on")
	}
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "after line 3")
	assert.Equal(t, 3, strings.Count(out.String(), `"workload_id":"wl"`), out.String())
	assert.NotContains(t, out.String(), "error", "the fourth line is not whole")
}

func TestBatch_WhenInterruptedWithinARequest_PrintsItsResults(t *testing.T) {
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	server := accepting(t, func() { asked <- struct{}{}; <-answer })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended, out := interruptedBatch(ctx, t, server.URL, strings.NewReader(strings.Repeat(aLine, batchItems)))
	<-asked
	cancel()
	close(answer)
	err := <-ended
	assert.Equal(t, batchItems, strings.Count(out.String(), `"workload_id":"wl"`), "%v", err)
}

func TestBatch_WhenTheInputBreaksWithinALine_DoesNotTakeItForALine(t *testing.T) {
	server := accepting(t, func() {})
	in := io.MultiReader(strings.NewReader(aLine+`{"workload_type":`), brokenReader{})
	ended, out := interruptedBatch(t.Context(), t, server.URL, in)
	require.ErrorIs(t, <-ended, syscall.EIO)
	assert.Equal(t, 1, strings.Count(out.String(), "\n"), out.String())
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, syscall.EIO }

// reading starts a command with a small pipe as its standard input, and returns when it has read from
// there.
func reading(t *testing.T, args ...string) (cmd *exec.Cmd, stderr *syncBuffer) {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	theirs, ours, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = ours.Close() })
	_, err = unix.FcntlInt(ours.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	require.NoError(t, err)
	cmd, stderr = exec.Command(path, args...), &syncBuffer{}
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir())
	cmd.Stdin, cmd.Stderr = theirs, stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	require.NoError(t, theirs.Close())
	_, err = ours.Write(bytes.Repeat([]byte(" "), 3*os.Getpagesize())) // more than the pipe takes
	require.NoError(t, err)
	return cmd, stderr
}

// waited returns how a command ended.
func waited(t *testing.T, cmd *exec.Cmd, stderr *syncBuffer) syscall.WaitStatus {
	t.Helper()
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		require.FailNow(t, "it goes on", stderr.String())
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	return status
}

func TestCommands_ThatReadStandardInput_EndWithTheFirstSignal(t *testing.T) {
	for _, args := range []string{
		"batch --api-key k", "workload submit a --input - --api-key k", "context add a --api-key -",
	} {
		for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			cmd, stderr := reading(t, strings.Fields(args)...)
			require.NoError(t, cmd.Process.Signal(s))
			status := waited(t, cmd, stderr)
			assert.Equal(t, 128+int(s), status.ExitStatus(), "%s: %s", args, stderr)
			assert.Contains(t, stderr.String(), "interrupted", args)
		}
	}
}

func TestCommands_OnTheSecondSignal_EndAtOnce(t *testing.T) {
	var asked atomic.Bool
	hold := make(chan struct{})
	defer close(hold)
	server := accepting(t, func() { asked.Store(true); <-hold })
	path, err := binary()
	require.NoError(t, err)
	cmd, stderr := exec.Command(path, "batch", "--api-key", "k", "--url", server.URL), &syncBuffer{}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	cmd.Stderr = stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	_, err = io.WriteString(in, aLine)
	require.NoError(t, err)
	require.Eventually(t, asked.Load, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return strings.Contains(stderr.String(), "interrupted") }, 20*time.Second,
		10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	status := waited(t, cmd, stderr)
	assert.True(t, status.Signaled(), "%v", status)
	assert.Equal(t, syscall.SIGTERM, status.Signal())
}

func TestContextAdd_WhenInterruptedWhileItAsksForTheKey_RestoresTheTerminal(t *testing.T) {
	ours, theirs := openTerminal(t, 80)
	defer func() { _ = ours.Close() }()
	path, err := binary()
	require.NoError(t, err)
	cmd, stderr := exec.Command(path, "context", "add", "a"), &syncBuffer{}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "NIYANTA_API_KEY") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Stdin, cmd.Stderr = theirs, stderr
	echoes := func() bool {
		state, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS)
		return assert.NoError(t, err) && state.Lflag&unix.ECHO != 0
	}
	require.True(t, echoes())
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	require.Eventually(t, func() bool { return !echoes() }, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 128+int(syscall.SIGTERM), waited(t, cmd, stderr).ExitStatus(), stderr)
	assert.True(t, echoes())
}
