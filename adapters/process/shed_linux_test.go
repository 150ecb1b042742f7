package process

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// report is what the server of these tests tells of itself.
type report struct {
	PID        int
	Protection Protection
	Error      string
	Args       []string
	Secret     string
	Multiline  string
	Path       string
	Handover   string
	Open       []string // descriptors
}

func TestMain(m *testing.M) {
	if mode, ok := strings.CutPrefix(os.Args[len(os.Args)-1], supervisorArgument); ok {
		supervisorMain(mode)
		return
	}
	if os.Getenv("PROCESS_TEST_SERVER") != "" || os.Getenv(handoverVariable) != "" {
		server()
		return
	}
	os.Exit(m.Run())
}

// server sheds its environment, tells what it has, and waits for the end of its input.
func server() {
	p, err := Shed()
	if p != InForce() {
		p = "differs from what is in force"
	}
	r := report{
		PID: os.Getpid(), Protection: p, Args: os.Args[1:], Secret: os.Getenv("NIYANTA_WORKER_KEY"),
		Multiline: os.Getenv("MULTI"),
		Path:      os.Getenv("PATH"), Handover: os.Getenv(handoverVariable),
	}
	if err != nil {
		r.Error = err.Error()
	}
	entries, _ := os.ReadDir("/proc/self/fd") // root's, if the process is not dumpable and not root's
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > 2 {
			if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(target, "handover") {
				r.Open = append(r.Open, target)
			}
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

const canary = "canary-0123456789abcdef0123456789"

// start starts the server with prepare's changes and returns what it tells.
func start(t *testing.T, environment []string, prepare func(*exec.Cmd)) (*exec.Cmd, report) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "an argument", "--flag=x")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "PROCESS_TEST_SERVER=1"}, environment...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	if prepare != nil {
		prepare(cmd)
	}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(line, &r))
	require.Empty(t, r.Error)
	return cmd, r
}

func requireShed(t *testing.T, cmd *exec.Cmd, r report) {
	t.Helper()
	assert.Equal(t, ProtectionDumpable, r.Protection)
	assert.Equal(t, cmd.Process.Pid, r.PID, "the same process")
	assert.Equal(t, []string{"an argument", "--flag=x"}, r.Args)
	assert.Equal(t, canary, r.Secret)
	assert.Equal(t, "a=b\nc", r.Multiline)
	assert.Equal(t, os.Getenv("PATH"), r.Path)
	assert.Empty(t, r.Handover)
	assert.Empty(t, r.Open, "the handover is closed")
	if os.Geteuid() == 0 { // only root may still look, and finds nothing
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", r.PID))
		require.NoError(t, err)
		assert.Contains(t, string(b), "PATH=")
		assert.NotContains(t, string(b), canary)
		assert.NotContains(t, string(b), "MULTI")
	} else {
		_, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", r.PID))
		require.ErrorIs(t, err, os.ErrPermission)
	}
}

func TestShed_WhenTheEnvironmentHoldsSecrets_ExecutesAgainWithoutThem(t *testing.T) {
	cmd, r := start(t, []string{"NIYANTA_WORKER_KEY=" + canary, "MULTI=a=b\nc"}, nil)
	requireShed(t, cmd, r)
}

func TestHandOver_ChildGetsSecretsWithoutShowingThem(t *testing.T) {
	release := func() {}
	cmd, r := start(t, []string{"NIYANTA_WORKER_KEY=" + canary, "MULTI=a=b\nc"}, func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{os.Stderr} // others keep their places
		var err error
		release, err = HandOver(cmd)
		require.NoError(t, err)
		assert.NotContains(t, strings.Join(cmd.Env, " "), canary)
	})
	release()
	requireShed(t, cmd, r)
}

func TestHandOver_WithMoreThanAPipeHolds_ArrivesWhole(t *testing.T) {
	var many []string
	for n := range 100 {
		many = append(many, fmt.Sprintf("V%d=%s", n, strings.Repeat("x", 4096)))
	}
	_, r := start(t, append(many, "NIYANTA_WORKER_KEY="+canary), nil)
	assert.Equal(t, canary, r.Secret)
}

// TestShed_SameUser_CannotLookInside needs root, to become another user; what it shows to others is
// the same for every user.
func TestShed_SameUser_CannotLookInside(t *testing.T) {
	asUser := func(cmd *exec.Cmd) {
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
		}
	}
	if os.Geteuid() == 0 { // the test binary lies in a folder that others may not enter
		self, err := os.Executable()
		require.NoError(t, err)
		b, err := os.ReadFile(self)
		require.NoError(t, err)
		dir, err := os.MkdirTemp("", "process") //nolint:usetesting // other users pass through it
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // others execute it
		copied := dir + "/server"
		require.NoError(t, os.WriteFile(copied, b, 0o755)) //nolint:gosec // others execute it
		as := asUser
		asUser = func(cmd *exec.Cmd) { as(cmd); cmd.Path, cmd.Dir = copied, dir }
	}
	cmd, r := start(t, []string{"NIYANTA_WORKER_KEY=" + canary}, asUser)
	require.Equal(t, canary, r.Secret)
	var spy *exec.Cmd
	spied := func(script string) (string, error) {
		spy = exec.Command("sh", "-c", script)
		if os.Geteuid() == 0 {
			spy.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
		}
		spy.Dir = "/"
		b, err := spy.CombinedOutput()
		return string(b), err
	}
	for _, look := range []string{"cat /proc/%d/environ", "ls /proc/%d/fd", "cat /proc/%d/maps",
		"head -c 1 /proc/%d/mem"} {
		out, err := spied(fmt.Sprintf(look, cmd.Process.Pid))
		require.Error(t, err, "%s: %s", look, out)
		assert.Contains(t, out, "ermission denied", look)
	}
}

func TestCloseOnExec_InheritedDescriptors_AreNotPassedOn(t *testing.T) {
	var fds [2]int
	require.NoError(t, unix.Pipe(fds[:])) // without O_CLOEXEC, as from a careless parent
	t.Cleanup(func() { _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) })
	leaks := func() string {
		b, err := exec.Command("sh", "-c", "ls -l /proc/self/fd").CombinedOutput()
		require.NoError(t, err)
		return string(b)
	}
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fds[0]))
	require.NoError(t, err)
	require.Contains(t, leaks(), link)
	CloseOnExec()
	assert.NotContains(t, leaks(), link)
}
