package browser_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/dear"
)

// TestDemo_WithTheConsole_ShowsTheKillAndTheResumption watches `make demo UI=1` as a person would: it opens
// the link, has the workers start, and ends the demo with an interrupt.
func TestDemo_WithTheConsole_ShowsTheKillAndTheResumption(t *testing.T) {
	dear.Skip(t)
	needBrowser(t)
	bin := t.TempDir()
	for program, source := range map[string]string{
		"niyanta": "cmd/niyanta", "sourcestats-worker": "examples/sourcestats/worker", "demo": "examples/sourcestats/demo",
	} {
		build(t, filepath.Join(bin, program), "../../"+source)
	}
	demo := exec.CommandContext(t.Context(), filepath.Join(bin, "demo"), "-bin", bin, "-ui")
	demo.Stderr = os.Stderr
	enter, err := demo.StdinPipe()
	require.NoError(t, err)
	out, err := demo.StdoutPipe()
	require.NoError(t, err)
	demo.Cancel = func() error { return demo.Process.Signal(syscall.SIGTERM) }
	demo.WaitDelay = 20 * time.Second
	require.NoError(t, demo.Start())
	said := bufio.NewScanner(out)
	until := func(mark string) (line, all string) {
		for said.Scan() {
			all += said.Text() + "\n"
			if strings.Contains(said.Text(), mark) {
				return said.Text(), all
			}
		}
		require.Fail(t, "the demo ended before it said "+mark, all)
		return "", ""
	}
	first, _ := until("coordinator and console at ")
	_, url, _ := strings.Cut(first, "console at ")
	link, _ := until("#code=")
	_, _ = until("press Enter")

	folder := shotsOf(t, "demo")
	watched := filepath.Join(t.TempDir(), "watched")
	ended := make(chan error, 1)
	go func() {
		ended <- node(t, folder, map[string]any{"url": url, "link": link, "watched": watched}, "demo.mjs")
	}()
	require.Eventually(t, func() bool {
		_, err := os.Stat(watched)
		return err == nil || len(ended) > 0
	}, 2*time.Minute, 100*time.Millisecond)
	_, err = io.WriteString(enter, "\n")
	require.NoError(t, err)
	_, all := until("Everything stays up")
	assert.Contains(t, all, "SIGKILL to worker-")
	assert.Contains(t, all, "equal to the count made without Niyanta")
	assert.Contains(t, all, url+"/workloads/", "another link, as the first one has been used")
	require.NoError(t, <-ended)
	require.NoError(t, demo.Process.Signal(os.Interrupt))
	require.NoError(t, demo.Wait())
}
