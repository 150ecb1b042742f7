package workloads

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Running programs on Linux. exec_darwin.go is the counterpart for macOS.

// sessionOfItsOwn makes a program start in its own session and process group and die with the
// worker.
func sessionOfItsOwn() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// forbidNewPrivileges prevents this thread and what it starts from gaining privileges.
func forbidNewPrivileges() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }

// awaitExit returns when a child has exited. It does not reap it.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// becomeSubreaper makes this process the parent of orphans among its descendants, and reports
// whether it is.
func becomeSubreaper() (bool, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return false, fmt.Errorf("become the subreaper: %w", err)
	}
	return true, nil
}

// socketPair returns two connected sockets that programs do not inherit.
func socketPair() ([2]int, error) {
	return unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
}

// closeOnExec closes descriptors that this process inherited in the programs that it starts. Go
// does that for its own descriptors. Kernels before 5.11 cannot do it.
func closeOnExec() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // if it fails, programs inherit them
}

// mayTrace reports whether programs that run as this user can look into every process. Root's
// programs can if the capability for it exists.
func mayTrace() bool {
	bounded, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_PTRACE, 0, 0, 0)
	return os.Geteuid() == 0 && (err != nil || bounded == 1)
}

// neededCapabilities are what a worker needs to give programs their own users, to signal them, and
// to remove what they leave.
var neededCapabilities = []struct {
	bit  uint
	name string
}{
	{unix.CAP_CHOWN, "CAP_CHOWN"}, {unix.CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"}, {unix.CAP_FOWNER, "CAP_FOWNER"},
	{unix.CAP_KILL, "CAP_KILL"}, {unix.CAP_SETGID, "CAP_SETGID"}, {unix.CAP_SETUID, "CAP_SETUID"},
}

// hasCapability reports whether this process may use a capability.
func hasCapability(bit uint) bool {
	data, err := capabilities()
	return err == nil && data[bit/32].Effective&(1<<(bit%32)) != 0
}

func capabilities() (data [2]unix.CapUserData, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err = unix.Capget(&header, &data[0])
	return data, err
}

func missingCapabilities() string {
	data, err := capabilities()
	if err != nil {
		return "the means to see its capabilities"
	}
	var missing []string
	for _, c := range neededCapabilities {
		if data[0].Effective&(1<<c.bit) == 0 {
			missing = append(missing, c.name)
		}
	}
	return strings.Join(missing, ", ")
}

// killUser kills all processes of a user at once. A worker that kills the processes one by one as
// it finds them may lose the race against one that forks and ends again and again. kill(-1) cannot:
// the kernel signals all processes of the sender's user while none can fork.
//
// The sender is a thread of this process, which the signal leaves out. sender is a user without
// processes. The thread has it as its real and saved user, so that processes of uid cannot signal
// this process through the thread.
func killUser(uid, sender uint32) error {
	return onThreadOfItsOwn(func() error { return killAs(uid, sender) })
}

// onThreadOfItsOwn calls f on a thread that ends afterwards, so that f may change the thread's user.
func onThreadOfItsOwn(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread stands for the process and does not end before it. While this
			// goroutine holds it, another goroutine gets another thread.
			defer runtime.UnlockOSThread()
			done <- onThreadOfItsOwn(f)
			return
		}
		done <- f() // never unlocked, so that the thread ends with the goroutine
	}()
	return <-done
}

// killAs sends SIGKILL to all processes that the current thread may signal as these users. The
// thread keeps them.
func killAs(uid, sender uint32) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(sender), uintptr(uid), uintptr(sender))
	if errno != 0 {
		return fmt.Errorf("setresuid: %w", errno)
	}
	// Without the capabilities that a worker has which is not root, the signal reaches nobody else.
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	if r, e, s := unix.Getresuid(); r != int(sender) || e != int(uid) || s != int(sender) {
		return fmt.Errorf("setresuid set %d, %d, %d", r, e, s)
	}
	if err := unix.Kill(-1, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill: %w", err)
	}
	return nil
}
