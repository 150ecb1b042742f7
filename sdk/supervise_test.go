package niyanta_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// supervisedArgument has the test's own binary be a supervised program.
const supervisedArgument = "supervised-at="

func TestMain(m *testing.M) {
	if url, ok := strings.CutPrefix(os.Args[len(os.Args)-1], supervisedArgument); ok {
		if err := niyanta.Supervise(niyanta.WorkerOptions{URL: url, Key: "key"}); err != nil {
			panic(err)
		}
		if err := os.WriteFile(os.Args[len(os.Args)-2], []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			panic(err)
		}
		time.Sleep(time.Minute)
		return
	}
	if err := os.Setenv("NIYANTA_WORKER_HTTP_ADDR", "127.0.0.1:0"); err != nil {
		panic(err)
	}
	code := m.Run()
	if serverDir != "" {
		_ = os.RemoveAll(serverDir)
	}
	os.Exit(code)
}

func TestSupervise_WhenTheProgramIsKilled_CertifiesItsDeath(t *testing.T) {
	ends := make(chan domain.SessionEnd, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var e domain.SessionEnd
		if r.URL.Path == "/v1/worker/end" && json.Unmarshal(b, &e) == nil {
			ends <- e
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(s.Close)
	self, err := os.Executable()
	require.NoError(t, err)
	path := t.TempDir() + "/pid"
	cmd := exec.Command(self, path, supervisedArgument+s.URL)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var pid int
	require.Eventually(t, func() bool {
		b, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(b))
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
	require.NotEqual(t, cmd.Process.Pid, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	e := <-ends
	require.NoError(t, e.Validate())
	assert.True(t, e.Certificate())
	_ = cmd.Wait()
	assert.Equal(t, 128+int(syscall.SIGKILL), cmd.ProcessState.ExitCode())
}
