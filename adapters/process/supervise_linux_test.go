package process

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told is what the supervisor of these tests, and its child, tell by lines on standard output.
type told struct {
	Who    string
	PID    int
	Status int
	Key    string
	Digest string
	Leaked bool
}

// supervisorArgument has the test's own binary supervise itself.
const supervisorArgument = "supervise-this-test="

func tell(t told) { _ = json.NewEncoder(os.Stdout).Encode(t) }

// supervisorMain is what the test's own binary runs as a supervisor and, supervised by it, as a
// worker: see TestMain.
func supervisorMain(mode string) {
	_, err := Shed()
	if err != nil {
		panic(err)
	}
	life, err := Supervised()
	if err != nil {
		panic(err)
	}
	if life != nil {
		workerMain(mode, life)
		return
	}
	s := &Supervisor{
		ProcessID: "proc_1", Digest: "d1", Log: slog.New(slog.DiscardHandler),
		Certify: func(_ context.Context, status int) error {
			tell(told{Who: "certificate", Status: status})
			return nil
		},
		Sweep: func() error { tell(told{Who: "sweep"}); return nil },
	}
	status, err := s.Run(context.Background())
	if err != nil {
		panic(err)
	}
	os.Exit(status)
}

// workerMain leaves descendants of every kind behind, and waits to be ended.
func workerMain(mode string, life *Supervision) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	_, leaked := os.LookupEnv(supervisedVariable)
	tell(told{Who: "worker", PID: os.Getpid(), Key: os.Getenv("NIYANTA_WORKER_KEY"),
		Digest: life.ProcessID + " " + life.Digest, Leaked: leaked})
	for who, script := range map[string]string{
		"child":     "exec sleep 300",
		"group":     "setsid sleep 300 & echo $! >&3; wait",
		"daemon":    "(setsid sh -c 'sleep 300 & echo $! >&3; exec sleep 300' &)",
		"stubborn":  "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; sleep 300' & echo $! >&3; wait",
		"many":      "for n in 1 2 3 4 5; do (setsid sleep 300 &) ; done; echo $$ >&3; exec sleep 300",
		"deep":      "sh -c 'sh -c \"sh -c \\\"echo \\$\\$ >&3; exec sleep 300\\\" & wait\" & wait' & wait",
		"forgotten": "sh -c 'sleep 0.1' & echo $! >&3", // ends by itself: somebody has to reap it
	} {
		r, w, err := os.Pipe()
		if err != nil {
			panic(err)
		}
		cmd := exec.Command("sh", "-c", script)
		cmd.ExtraFiles = []*os.File{w}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		_ = w.Close()
		pid := cmd.Process.Pid
		if who != "child" {
			line, err := bufio.NewReader(r).ReadString('\n')
			if err != nil {
				panic(err)
			}
			if pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
				panic(err)
			}
		}
		tell(told{Who: who, PID: pid})
	}
	tell(told{Who: "ready"})
	select {
	case <-stop:
		tell(told{Who: "drained"})
		if mode == "fails" {
			os.Exit(7)
		}
	case <-life.Orphaned:
		tell(told{Who: "orphaned"})
	}
}

// supervised starts the test's binary as a supervisor, by way of a command if there is one, and
// returns what it tells.
func supervised(t *testing.T, mode string, by ...string) (*exec.Cmd, map[string]told, *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	line := slices.Concat(by, []string{self, supervisorArgument + mode})
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "NIYANTA_WORKER_KEY="+canary)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewReader(out)
	heard := map[string]told{}
	for heard["ready"].Who == "" {
		l := hear(t, lines)
		heard[l.Who] = l
	}
	return cmd, heard, lines
}

func hear(t *testing.T, lines *bufio.Reader) (l told) {
	t.Helper()
	b, err := lines.ReadBytes('\n')
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &l), "%s", b)
	return l
}

func living(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func requireNoneLeft(t *testing.T, heard map[string]told) {
	t.Helper()
	for who, l := range heard {
		if l.PID != 0 {
			assert.False(t, living(l.PID), "%s", who)
		}
	}
}

func TestSupervisor_WhenTheWorkerIsKilled_CertifiesWhenNothingOfItIsLeft(t *testing.T) {
	cmd, heard, lines := supervised(t, "")
	worker := heard["worker"]
	assert.Equal(t, canary, worker.Key, "secrets are handed over")
	assert.Equal(t, "proc_1 d1", worker.Digest)
	assert.False(t, worker.Leaked)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", worker.PID))
	if err == nil {
		assert.NotContains(t, string(b), canary)
	}
	require.NoError(t, syscall.Kill(worker.PID, syscall.SIGKILL))
	assert.Equal(t, told{Who: "certificate", Status: 128 + int(syscall.SIGKILL)}, hear(t, lines))
	requireNoneLeft(t, heard) // when it is certified, not some time later
	assert.Equal(t, "sweep", hear(t, lines).Who)
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, 128+int(syscall.SIGKILL), exit.ExitCode(), "it ends as the worker has ended, and starts nothing again")
}

func TestSupervisor_WhenItIsSignalled_ForwardsAndEndsWithTheWorkersStatus(t *testing.T) {
	for mode, status := range map[string]int{"": 0, "fails": 7} {
		cmd, heard, lines := supervised(t, mode)
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		assert.Equal(t, "drained", hear(t, lines).Who)
		assert.Equal(t, told{Who: "certificate", Status: status}, hear(t, lines))
		requireNoneLeft(t, heard)
		_, _ = io.Copy(io.Discard, lines)
		_ = cmd.Wait()
		assert.Equal(t, status, cmd.ProcessState.ExitCode())
	}
}

func TestSupervisor_WhenItDiesFirst_TheWorkerLearnsIt(t *testing.T) {
	cmd, heard, lines := supervised(t, "")
	t.Cleanup(func() {
		for _, l := range heard {
			if l.PID != 0 {
				_ = syscall.Kill(l.PID, syscall.SIGKILL)
			}
		}
	})
	require.NoError(t, cmd.Process.Kill())
	assert.Equal(t, "orphaned", hear(t, lines).Who)
}

func TestSupervisor_AsProcessOne_ReapsOrphans(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("a PID namespace needs root")
	}
	_, heard, _ := supervised(t, "", "unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
	require.NotZero(t, heard["worker"].PID)
	init := descendant(t, "supervisor of the namespace")
	for range 200 { // orphans, by way of the worker's namespace
		enter := exec.Command("nsenter", "-t", strconv.Itoa(init), "-p", "sh", "-c",
			"(setsid true &) ; (setsid sleep 0.05 &)")
		require.NoError(t, enter.Run())
	}
	require.Eventually(t, func() bool { return zombiesOf(init) == 0 }, 30*time.Second, 20*time.Millisecond)
}

// descendant is the process 1 of the namespace that this test has made.
func descendant(t *testing.T, what string) int {
	t.Helper()
	for _, shell := range childrenOf(os.Getpid()) {
		for _, pid := range childrenOf(shell) {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err == nil && strings.Contains(string(b), "\t1\n") && strings.Contains(string(b), "NSpid:") {
				return pid
			}
		}
	}
	t.Fatal("no " + what)
	return 0
}

func zombiesOf(parent int) (n int) {
	for _, pid := range childrenOf(parent) {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(b), ") Z ") {
			n++
		}
	}
	return n
}
