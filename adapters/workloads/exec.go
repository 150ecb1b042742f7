//go:build linux || darwin

package workloads

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// defaultKillGrace is the time between the request to stop and SIGKILL. Nothing of a cancelled
	// run may be left after 5 s.
	defaultKillGrace = 4 * time.Second
	// pipeGrace is how long output is read after the program and its group have ended.
	pipeGrace = 2 * time.Second
	// outputTail is how many bytes of each output stream go into the result.
	outputTail = 64 << 10
)

// host is what the programs of one worker share.
type host struct {
	allow     allowList
	users     *users // nil: programs run as the worker's user
	room      *scratchRoom
	boxes     *boxes // nil: programs run in the worker's namespaces
	limits    *limiter
	log       *slog.Logger
	killGrace time.Duration
}

// program runs one program in its own session and process group, and as its own user if the worker
// may do that. docs/operations/exec-protocol.md describes what the program may say on file
// descriptor 3. Programs that do not use it just run.
type program struct {
	*host
	in      execInput
	task    ports.Task
	allowed *allowed
	mark    string // identifies the run's processes
	user    *user
	scratch string // a directory of its own, removed by Close
	family  identity
	bounds  *bounds
	box     *enclosed // nil without namespaces of its own
	talk    atomic.Pointer[conversation]
	told    atomic.Bool // the program was told to stop
	lasting bool        // processes of the run could not be killed, so its user must not be used again
}

type execInput struct {
	Command []string          `json:"command"`
	Env     map[string]string `json:"env"`
	Stdin   string            `json:"stdin"`
	Dir     string            `json:"dir"`
}

// Init implements ports.Workload.
func (p *program) Init(_ context.Context, t ports.Task) error {
	p.task, p.mark = t, rand.Text()
	if err := decodeInput(t.Input, &p.in); err != nil {
		return err
	}
	if len(p.in.Command) == 0 || p.in.Command[0] == "" {
		return invalidInput("input_params.command", "must name a program and its arguments")
	}
	var ok bool
	if p.allowed, ok = p.allow[p.in.Command[0]]; !ok {
		return permanent("not_allowed", fmt.Errorf("input_params.command: this worker does not allow %q",
			p.in.Command[0]))
	}
	for _, name := range slices.Sorted(maps.Keys(p.in.Env)) {
		if err := p.allowed.checkEnv(name, p.in.Env[name]); err != nil {
			return err
		}
	}
	if p.in.Dir != "" {
		if info, err := os.Stat(p.in.Dir); err != nil || !info.IsDir() || !strings.HasPrefix(p.in.Dir, "/") {
			return invalidInput("input_params.dir", "must be the absolute path of a directory on the worker")
		}
	}
	var err error
	if p.users != nil {
		if p.user, err = p.users.take(); err != nil {
			return err
		}
	}
	if p.scratch, err = p.room.make(p.user); err != nil {
		return err
	}
	p.bounds, err = p.limits.bound(t.Limits, p.user, p.scratch, &p.family)
	return err
}

// Execute implements ports.Workload.
func (p *program) Execute(ctx context.Context, progress ports.Progress) (domain.JSON, error) {
	talk, child, err := newConversation(p.task, progress)
	if err != nil {
		return "", err
	}
	defer talk.close()
	stdout, stderr := newOutput(progress, "stdout", domain.LevelInfo), newOutput(progress, "stderr", domain.LevelWarn)
	cmd := &exec.Cmd{
		Path: p.allowed.path, Args: p.in.Command, Env: p.environment(), Dir: p.dir(), Stdin: strings.NewReader(p.in.Stdin),
		Stdout: stdout, Stderr: stderr, ExtraFiles: []*os.File{child}, WaitDelay: pipeGrace,
		SysProcAttr: sessionOfItsOwn(),
	}
	p.family.mark = p.mark
	if p.user != nil { // the credential has no supplementary groups
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: p.user.id, Gid: p.user.id}
		p.family = identity{uid: p.user.id, own: true, sender: p.users.sender} // a process cannot hide its uid
	}
	ended := make(chan struct{})
	defer close(ended)
	defer p.closeBox()
	if err = p.enclose(cmd); err == nil {
		err = p.start(cmd, ended)
	}
	_ = child.Close() // the child has its own copy
	if err != nil {
		return "", startError(err)
	}
	p.talk.Store(talk)
	talk.start()
	left := p.await(ctx, talk)
	if left = errors.Join(left, kin.end(&p.family, func() { err = cmd.Wait() })); left != nil {
		p.lasting = true
		p.log.Error("processes of a run could not be killed", "workload_id", string(p.task.WorkloadID),
			"generation", p.task.Generation, "program", p.in.Command[0], "error", left)
	}
	end := p.ending(cmd.ProcessState)
	used, over := p.bounds.finish(end)
	progress.Used(used)
	talk.finish(pipeGrace)
	stdout.flush()
	stderr.flush()
	return p.result(ctx, end, err, over, stdout, stderr)
}

// start starts the program from a thread of its own that lives until ended is closed. The thread
// must live that long, because the child is killed when the thread of its parent ends. The thread
// is not used for anything else, because it and what it starts can no longer gain privileges.
func (p *program) start(cmd *exec.Cmd, ended <-chan struct{}) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, so that the thread ends with the goroutine
		err := forbidNewPrivileges()
		if err == nil {
			err = p.launch(cmd)
		}
		started <- err
		if err == nil {
			<-ended
		}
	}()
	return <-started
}

// tendInterval is how often the processes that programs left behind are checked.
const tendInterval = 500 * time.Millisecond

// await returns when the program has exited or was killed with its group. It does not reap the
// program: otherwise another group could get its id before the group is killed. An error says that
// processes are left.
func (p *program) await(ctx context.Context, talk *conversation) error {
	pid := p.family.leader
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		p.awaitProgram()
	}()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.bounds.watch(exited)
	}()
	tend := time.NewTicker(tendInterval)
	defer tend.Stop()
	for waiting := true; waiting; {
		select {
		case <-tend.C:
			kin.tend()
			continue
		case <-exited:
		case <-talk.broken:
		case <-p.bounds.exceeded:
		case <-ctx.Done():
			p.stop(context.Cause(ctx), exited)
		}
		waiting = false
	}
	_ = unix.Kill(-pid, unix.SIGKILL) // an error means that the group is empty
	err := p.bounds.kill()
	if p.family.boxed && !within(pipeGrace, exited) {
		_ = unix.Kill(p.family.child, unix.SIGKILL) // its init hangs; it is not reaped
	}
	<-exited
	<-watched
	return err
}

// stop asks the run's processes to end. A run that this worker no longer holds gets no grace.
func (p *program) stop(cause error, exited <-chan struct{}) {
	if errors.Is(cause, ports.ErrFenced) || errors.Is(cause, ports.ErrLeaseLost) {
		return
	}
	p.told.Store(true)
	// A program that uses descriptor 3 may end by itself when it is told to stop. Signals are for
	// those that do not.
	grace := p.killGrace
	if p.talk.Load().stop(cause) {
		grace /= 2
		if within(grace, exited) {
			return
		}
	}
	_ = unix.Kill(-p.family.leader, unix.SIGTERM)
	within(grace, exited)
}

// within reports whether c was closed before d passed.
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
		return permanent("cannot_start", fmt.Errorf("cannot start the program in its directory: %w", innermost(err)))
	}
	// The message must not contain the worker's paths.
	return transient("cannot_start", fmt.Errorf("cannot start the program: %w", innermost(err)))
}

// Checkpoint implements ports.Workload: a program that speaks on file descriptor 3 is asked to save
// its state, as it does by itself.
func (p *program) Checkpoint(ctx context.Context) ([]byte, error) {
	if talk := p.talk.Load(); talk != nil {
		return nil, talk.ask(ctx)
	}
	return nil, ports.ErrNoCheckpoint
}

// Close implements ports.Workload.
func (p *program) Close() error {
	var err error
	if p.bounds != nil {
		err = p.bounds.close()
	}
	if p.scratch != "" {
		err = errors.Join(err, removeAll(p.scratch))
	}
	if p.user != nil && !p.lasting {
		p.user.giveBack()
	}
	return err
}

func (p *program) dir() string {
	if p.in.Dir != "" {
		return p.in.Dir
	}
	return p.scratch
}

// environment returns the program's environment: a home of its own, the system's PATH, the worker's
// locale, the variables of the input, and the ids of the run.
func (p *program) environment() []string {
	env := []string{"PATH=" + programPath, "HOME=" + p.scratch, "TMPDIR=" + p.scratch}
	for _, name := range fromWorker {
		_, stated := p.in.Env[name]
		if v, ok := os.LookupEnv(name); ok && !stated {
			env = append(env, name+"="+v)
		}
	}
	for name, value := range p.in.Env {
		env = append(env, name+"="+value)
	}
	slices.Sort(env) // the same input gives the same environment
	return append(
		env,
		"NIYANTA_WORKLOAD_ID="+string(p.task.WorkloadID),
		"NIYANTA_CUSTOMER_ID="+string(p.task.CustomerID),
		"NIYANTA_GENERATION="+strconv.FormatInt(p.task.Generation, 10),
		"NIYANTA_ATTEMPT="+strconv.Itoa(p.task.Attempt),
		"NIYANTA_REQUEST_ID="+p.task.RequestID,
		"TRACEPARENT="+p.task.Trace,
		"CUDA_VISIBLE_DEVICES="+p.visibleDevices(),
		"NIYANTA_DEVICES="+p.devices(),
		runVariable+"="+p.mark,
	)
}
