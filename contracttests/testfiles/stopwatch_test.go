package testfiles_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// child set in the environment makes this test the process that is stopped.
const child = "NIYANTA_TEST_STOPWATCH"

func TestStopwatch_WhenTheProcessIsStopped_LeavesThatTimeOut(t *testing.T) {
	if os.Getenv(child) != "" {
		begun := time.Now()
		s := testfiles.StartStopwatch(t)
		fmt.Println("started")
		_, _ = io.Copy(io.Discard, os.Stdin) // until it was stopped and goes on
		took := s.Took()
		fmt.Println("left out", (time.Since(begun) - took).Milliseconds(), s.Stalled().Milliseconds())
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	time.Sleep(time.Second)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	require.NoError(t, in.Close())
	var left, stalled int
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "left out") {
			_, err := fmt.Sscanf(lines.Text(), "left out %d %d", &left, &stalled)
			require.NoError(t, err)
		}
	}
	require.NoError(t, cmd.Wait())
	require.Greater(t, stalled, 900)
	require.Greater(t, left, 900)
}
