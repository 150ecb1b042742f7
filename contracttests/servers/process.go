package servers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// running holds the functions that Run calls at its end.
var running struct {
	sync.Mutex
	stop []func()
}

func onExit(f func()) {
	running.Lock()
	defer running.Unlock()
	running.stop = append(running.stop, f)
}

// Run runs the tests of a package, then check, which may be nil, and ends what the tests started.
// TestMain calls it.
func Run(m *testing.M, check func() error) int {
	code := m.Run()
	running.Lock()
	defer running.Unlock()
	for _, stop := range slices.Backward(running.stop) {
		stop()
	}
	if check != nil && code == 0 {
		if err := check(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// command prepares a program of the servers' user. It ends with this process.
func command(dir, path string, args ...string) (*exec.Cmd, *output, error) {
	cred, err := testfiles.Credential()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true}
	EndWithParent(cmd.SysProcAttr, syscall.SIGQUIT)
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out, nil
}

// output keeps what a server prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String returns what was printed so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a server that was started.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// start starts a server. The kernel ends the server with the thread that started it, so the thread
// is kept.
func start(dir, path string, args ...string) (*process, error) {
	cmd, out, err := command(dir, path, args...)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, out: out, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its exit status does not matter
			close(p.done)
		}
	}()
	return p, <-started
}

// end sends a signal and waits for the end.
func (p *process) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// ready waits until ping succeeds.
func (p *process) ready(ping func() error) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ping()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.cmd.Path, p.out)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w", p.cmd.Path, err)
		}
	}
}

// FreePort returns a port of loopback on which nobody listens right now. It is not one of those that
// the kernel gives to connections: a server that is stopped and started again would now and then find
// that a connection has it.
func FreePort() (int, error) {
	const first, last = 15_000, 32_000
	var err error
	for range 100 {
		port := first + rand.IntN(last-first) //nolint:gosec // nobody needs to be kept from guessing it
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// onFreePort tries start on a few ports. Another process may take a port between the moment it is
// found free and the server's start.
func onFreePort(port *int, start func() error) error {
	var err error
	for range 5 {
		if *port, err = FreePort(); err != nil {
			return err
		}
		if err = start(); err == nil {
			return nil
		}
	}
	return err
}

// find looks for a program on the path, and in folders that match the patterns, newest first.
func find(name string, patterns ...string) (string, error) {
	for _, p := range patterns {
		if found, err := filepath.Glob(filepath.Join(p, name)); err == nil && len(found) > 0 {
			slices.Sort(found)
			return found[len(found)-1], nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed; scripts/ensure-deps installs it: %w", name, err)
	}
	return path, nil
}
