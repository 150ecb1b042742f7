package workloads

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/niyanta/niyanta/core/domain"
)

// Running programs on macOS. It is for development only: processes that leave a program's process
// group are not found, programs survive a worker that is killed, and nothing protects the worker
// and other runs from them.

// sessionOfItsOwn makes a program start in its own session and process group.
func sessionOfItsOwn() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// forbidNewPrivileges does nothing: macOS cannot do that.
func forbidNewPrivileges() error { return nil }

// awaitExitPause is the pause before another attempt to watch a process.
const awaitExitPause = 100 * time.Millisecond

// awaitExit returns when a child has exited. It does not reap it.
func awaitExit(pid int) {
	for {
		switch err := watchExit(pid); {
		case err == nil, errors.Is(err, unix.ESRCH): // it has exited already
			return
		case !errors.Is(err, unix.EINTR):
			time.Sleep(awaitExitPause) // out of descriptors or memory
		}
	}
}

func watchExit(pid int) error {
	queue, err := unix.Kqueue()
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(queue) }()
	unix.CloseOnExec(queue)
	var change unix.Kevent_t
	unix.SetKevent(&change, pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	change.Fflags = unix.NOTE_EXIT
	var event [1]unix.Kevent_t
	_, err = unix.Kevent(queue, []unix.Kevent_t{change}, event[:], nil)
	if err == nil && event[0].Flags&unix.EV_ERROR != 0 {
		return syscall.Errno(event[0].Data) //nolint:gosec // an error number
	}
	return err
}

// becomeSubreaper returns false: process 1 inherits all orphans.
func becomeSubreaper() (bool, error) { return false, nil }

// socketPair returns two connected sockets that programs do not inherit.
func socketPair() ([2]int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	return fds, err
}

// closeOnExec does nothing. Go closes its own descriptors in programs, and macOS has no call for
// the others.
func closeOnExec() {}

// mayTrace returns true: nothing is hidden from programs of this user.
func mayTrace() bool { return true }

func missingCapabilities() string {
	return "users of their own for programs, which it has on Linux only"
}

func (p *proc) mark() (run string, bare bool) { return "", false }

// readProc returns false: other processes cannot be read.
func readProc(int) (p proc, ok bool) { return p, false }

// killUser is not supported: every program runs as the worker's user.
func killUser(uint32, uint32) error { return errors.ErrUnsupported }

// snapshot returns no process: only a program's process group is known.
func snapshot(func(*proc)) (found []proc, vanished bool) { return nil, false }

func chase(func(pid int) bool) {}

func ownerOf(int) (uid uint32, ok bool) { return 0, false }

func (p *proc) kill() {}

// removeIPC does nothing: no run has a user of its own.
func (*user) removeIPC() {}

// limiter holds nothing to its limits: macOS is for development only.
type limiter struct{ how Enforcement }

func newLimiter(setting string, _ *slog.Logger) (*limiter, error) {
	if setting == "cgroup" {
		return nil, errors.New("this system has no control groups")
	}
	return &limiter{LimitsNone}, ValidateLimits(setting)
}

func (*limiter) close() error { return nil }

// bounds measures the CPU time of a run. It is never exceeded.
type bounds struct{ exceeded chan struct{} }

func (*limiter) bound(domain.Amounts, *user, string, *identity) (*bounds, error) {
	return &bounds{make(chan struct{})}, nil
}

func (*bounds) start(cmd *exec.Cmd) (int, error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

func (*bounds) watch(<-chan struct{}) {}

func (*bounds) kill() error { return nil }

func (*bounds) finish(end ending) (used domain.Consumption, over error) {
	return consumption(end.cpu, 0), nil
}

// peakOf returns 0: nobody looks at it.
func peakOf(*os.ProcessState) int64 { return 0 }

// boxes and enclosed do not exist: macOS has no namespaces.
type boxes struct{}

type enclosed struct{}

func newBoxes(setting string, _ *users, _ *scratchRoom, _ *slog.Logger) (*boxes, error) {
	if setting == "required" {
		return nil, errors.New("this system has no namespaces")
	}
	return nil, ValidateNamespaces(setting)
}

func (*boxes) protect(bool) Namespaces { return NamespacesNone }

func (p *program) enclose(*exec.Cmd) error { return nil }

func (p *program) launch(cmd *exec.Cmd) error {
	return kin.begin(&p.family, func() (int, error) { return p.bounds.start(cmd) })
}

func (p *program) awaitProgram() { awaitExit(p.family.leader) }

func (p *program) ending(state *os.ProcessState) ending { return endingOf(state) }

func (p *program) closeBox() {}

func (*bounds) close() error { return nil }
