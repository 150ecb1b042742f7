package testfiles_test

import (
	"bufio"
	"fmt"
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
		s := testfiles.StartStopwatch(t)
		fmt.Println("started")
		time.Sleep(200 * time.Millisecond)
		fmt.Println("took", s.Took().Milliseconds(), s.Stalled().Milliseconds())
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	time.Sleep(time.Second)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	var took, stalled int
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "took") {
			_, err := fmt.Sscanf(lines.Text(), "took %d %d", &took, &stalled)
			require.NoError(t, err)
		}
	}
	require.NoError(t, cmd.Wait())
	require.Greater(t, stalled, 900)
	require.Less(t, took, 900)
}
