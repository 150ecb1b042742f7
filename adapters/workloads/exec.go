package workloads

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// defaultKillGrace is the time between SIGTERM and SIGKILL.
	defaultKillGrace = 5 * time.Second
	// pipeGrace is how long output is read after the program and its group are gone.
	pipeGrace = 2 * time.Second
	// outputTail is how much of each output stream goes into the result.
	outputTail = 64 << 10
)

// Exit codes 64 to 78 (sysexits.h) say that trying again is pointless.
const firstPermanent, lastPermanent = 64, 78

// program runs one program in a process group of its own. See docs/operations/exec-protocol.md for what it may speak on
// file descriptor 3; programs that do not just run.
type program struct {
	allow     allowList
	killGrace time.Duration
	in        execInput
	task      ports.Task
	path      string
	scratch   string // a directory of its own, removed by Close
	talk      atomic.Pointer[conversation]
}

type execInput struct {
	Command []string          `json:"command"`
	Env     map[string]string `json:"env"`
	Stdin   string            `json:"stdin"`
	Dir     string            `json:"dir"`
}

// Init implements ports.Workload.
func (p *program) Init(_ context.Context, t ports.Task) error {
	p.task = t
	if err := decodeInput(t.Input, &p.in); err != nil {
		return err
	}
	if len(p.in.Command) == 0 || p.in.Command[0] == "" {
		return invalidInput("input_params.command", "must name a program and its arguments")
	}
	path, ok := p.allow[p.in.Command[0]]
	if !ok {
		return permanent("not_allowed", fmt.Errorf("input_params.command: this worker does not allow %q", p.in.Command[0]))
	}
	p.path = path
	for name, value := range p.in.Env {
		if err := checkEnv(name, value); err != nil {
			return err
		}
	}
	if p.in.Dir != "" {
		if info, err := os.Stat(p.in.Dir); err != nil || !info.IsDir() || !strings.HasPrefix(p.in.Dir, "/") {
			return invalidInput("input_params.dir", "must be the absolute path of a directory on the worker")
		}
		return nil
	}
	scratch, err := os.MkdirTemp("", "niyanta-exec-")
	p.scratch = scratch
	return err
}

// Execute implements ports.Workload.
func (p *program) Execute(ctx context.Context, progress ports.Progress) (domain.JSON, error) {
	// The parent-death signal is tied to the thread that starts the child: it must live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	talk, child, err := newConversation(p.task, progress)
	if err != nil {
		return "", err
	}
	defer talk.close()
	stdout, stderr := newOutput(progress, "stdout", "info"), newOutput(progress, "stderr", "warn")
	cmd := &exec.Cmd{
		Path: p.path, Args: p.in.Command, Env: p.environment(), Dir: p.dir(), Stdin: strings.NewReader(p.in.Stdin),
		Stdout: stdout, Stderr: stderr, ExtraFiles: []*os.File{child}, WaitDelay: pipeGrace,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	err = cmd.Start()
	_ = child.Close() // the child has its own copy
	if err != nil {
		return "", startError(err)
	}
	p.talk.Store(talk)
	talk.start()
	p.await(ctx, cmd.Process.Pid)
	err = cmd.Wait()
	talk.finish(pipeGrace)
	stdout.flush()
	stderr.flush()
	return p.result(ctx, cmd.ProcessState, err, stdout, stderr)
}

// await returns when the program has exited and every member of its group was killed. The program itself is not reaped
// before, so that its group id cannot belong to anybody else when the group is killed.
func (p *program) await(ctx context.Context, pid int) {
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		for {
			err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	select {
	case <-exited:
	case <-ctx.Done():
		p.stop(context.Cause(ctx), pid, exited)
	}
	_ = unix.Kill(-pid, unix.SIGKILL) // nobody left is fine
	<-exited
}

// stop asks the group to end, then ends it. A run that is no longer ours to finish gets no grace.
func (p *program) stop(cause error, pid int, exited <-chan struct{}) {
	if errors.Is(cause, ports.ErrFenced) || errors.Is(cause, ports.ErrLeaseLost) {
		return
	}
	// A program that speaks may end by itself when it is told to; signals are for those that do not.
	if p.talk.Load().stop(cause) && within(p.killGrace/2, exited) {
		return
	}
	_ = unix.Kill(-pid, unix.SIGTERM)
	within(p.killGrace, exited)
}

// within reports whether c was closed before d had passed.
func within(d time.Duration, c <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}

func startError(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
		return permanent("cannot_start", err)
	}
	return transient("cannot_start", err)
}

// execResult is what a workload of type exec results in.
type execResult struct {
	ExitCode        int             `json:"exit_code"`
	Stdout          string          `json:"stdout"`
	Stderr          string          `json:"stderr"`
	StdoutTruncated bool            `json:"stdout_truncated,omitempty"`
	StderrTruncated bool            `json:"stderr_truncated,omitempty"`
	Value           json.RawMessage `json:"value,omitempty"`
}

func (p *program) result(ctx context.Context, state *os.ProcessState, err error, stdout, stderr *output) (domain.JSON, error) {
	if state == nil {
		return "", fmt.Errorf("wait for the program: %w", err)
	}
	code := state.ExitCode()
	if code != 0 && ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return "", transient("signal", fmt.Errorf("killed by signal %d (%s)%s", ws.Signal(), ws.Signal(), stderr.lastLine()))
	}
	if code != 0 {
		failed := fmt.Errorf("exit status %d%s", code, stderr.lastLine())
		if code >= firstPermanent && code <= lastPermanent {
			return "", permanent("exit_status", failed)
		}
		return "", transient("exit_status", failed)
	}
	r := execResult{Value: p.talk.Load().value()}
	r.Stdout, r.StdoutTruncated = stdout.tail()
	r.Stderr, r.StderrTruncated = stderr.tail()
	b, err := json.Marshal(r)
	return domain.JSON(b), err
}

// Checkpoint implements ports.Workload: a program that speaks on file descriptor 3 is asked for its state.
func (p *program) Checkpoint(ctx context.Context) ([]byte, error) {
	if talk := p.talk.Load(); talk != nil {
		return talk.ask(ctx)
	}
	return nil, ports.ErrNoCheckpoint
}

// Close implements ports.Workload.
func (p *program) Close() error {
	if p.scratch == "" {
		return nil
	}
	return os.RemoveAll(p.scratch)
}

func (p *program) dir() string {
	if p.in.Dir != "" {
		return p.in.Dir
	}
	return p.scratch
}
