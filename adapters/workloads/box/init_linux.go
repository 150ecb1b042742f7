package box

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// init makes this process the init of a box if it was started as one. Nothing of the binary that
// this package is part of runs then: neither its main function nor initialisers that come later.
func init() {
	if len(os.Args) != 2 || os.Args[0] != initName || os.Getpid() != 1 {
		return
	}
	fd, err := strconv.Atoi(os.Args[1])
	if err != nil || fd < 3 {
		os.Exit(1)
	}
	(&keeper{control: os.NewFile(uintptr(fd), "control"), fd: fd}).serve()
	os.Exit(1)
}

// keeper is the init of a box. It runs on the first thread, to which initialisers are locked.
type keeper struct {
	control *os.File
	fd      int
	program int
}

// serve does what the worker orders. It returns if that fails, or when the worker is gone. Its end
// is the end of everything in the box.
func (k *keeper) serve() {
	unix.CloseOnExec(k.fd)
	orders := json.NewDecoder(k.control)
	var o order
	if err := orders.Decode(&o); err != nil {
		return
	}
	// The program shares this process's user, and may send it any signal. Signals that nobody
	// handles would end it; those that nobody receives are dropped. A program does not inherit it.
	signal.Notify(make(chan os.Signal, 1))
	if step, err := prepare(&o); err != nil {
		k.fail(step, err)
		return
	}
	if o.Trial {
		k.tell(reply{}, os.Getpid())
		return
	}
	if err := k.start(&o); err != nil {
		k.fail("", err)
		return
	}
	k.tell(reply{}, k.program)
	if err := orders.Decode(&o); err != nil || !o.Release {
		return
	}
	if o.Stop {
		_ = unix.PtraceDetach(k.program) // an error means that it was killed
	}
	standIn(o.Files)
	go func() { // the worker says nothing more
		_, _ = k.control.Read(make([]byte, 1))
		os.Exit(1)
	}()
	k.attend()
	select {} // the program has ended: the worker ends the others, and this process last
}

// prepare makes the box. step is what failed.
func prepare(o *order) (step string, err error) {
	if o.Map {
		if err := mapUser(o.UID, o.GID); err != nil {
			return "map the user", err
		}
	}
	if step, err := o.Layout.mount(); err != nil {
		return step, err
	}
	if o.Change {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(o.GID, o.GID, o.GID),
			syscall.Setresuid(o.UID, o.UID, o.UID)); err != nil {
			return "change the user", err
		}
	}
	if o.Drop {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil { // the thread that starts the program
			return "drop capabilities", err
		}
	}
	// A change of the user clears the signal that the end of the worker sends.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return "follow the worker", err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return "close the init's memory", err
	}
	return "", nil
}

// start starts the program in a session of its own.
func (k *keeper) start(o *order) error {
	files := make([]uintptr, o.Files)
	for n := range files {
		files[n] = uintptr(n)
	}
	pid, err := syscall.ForkExec(string(o.Path), texts(o.Args), &syscall.ProcAttr{
		Dir: string(o.Dir), Env: texts(o.Env), Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, Ptrace: o.Stop, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return err
	}
	k.program = pid
	if o.Stop {
		for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
			continue
		}
	}
	return nil
}

func texts(all [][]byte) []string {
	s := make([]string, len(all))
	for n := range all {
		s[n] = string(all[n])
	}
	return s
}

// standIn gives this process other files for those of the program, so that it does not hold the
// program's pipes open.
func standIn(files int) {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	for fd := range files {
		if err != nil || unix.Dup3(null, fd, unix.O_CLOEXEC) != nil {
			_ = unix.Close(fd)
		}
	}
}

// attend reaps the orphans of the program until the program ends, and tells how that ended. It does
// not reap the program, so that no other process gets its id before the worker has killed its group.
func (k *keeper) attend() {
	for {
		var info signalInfo
		var used unix.Rusage
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)),
			unix.WEXITED|unix.WNOWAIT, uintptr(unsafe.Pointer(&used)), 0)
		switch child := info.child(); {
		case errno == unix.EINTR:
		case errno != 0:
			os.Exit(1) // it cannot lack children before the program is reaped
		case int(child.pid) == k.program:
			k.tell(ended(child, &used), 0)
			return
		default:
			_, _ = unix.Wait4(int(child.pid), nil, 0, nil) // it has ended
		}
	}
}

// signalInfo is the kernel's siginfo_t.
type signalInfo struct {
	signo, errno, code int32
	rest               [116]byte
}

// childInfo is what siginfo_t tells of a child.
type childInfo struct {
	pid, uid, status int32
	code             int32
}

// child returns what the information tells of a child. The fields begin where a pointer may.
func (i *signalInfo) child() childInfo {
	at := (12+unsafe.Sizeof(uintptr(0))-1)/unsafe.Sizeof(uintptr(0))*unsafe.Sizeof(uintptr(0)) - 12
	fields := (*[3]int32)(unsafe.Pointer(&i.rest[at]))
	return childInfo{fields[0], fields[1], fields[2], i.code}
}

// Values of si_code for a child that has ended.
const codeExited, codeKilled = 1, 2

func ended(c childInfo, used *unix.Rusage) reply {
	status := int(c.status)
	switch c.code {
	case codeExited:
		status <<= 8
	case codeKilled:
	default: // it left a core
		status |= 0x80
	}
	var own unix.Rusage
	base := int64(math.MaxInt64)
	if unix.Getrusage(unix.RUSAGE_SELF, &own) == nil {
		base = own.Maxrss
	}
	return reply{Ended: true, Status: status, Peak: used.Maxrss, Base: base,
		CPU: time.Duration(used.Utime.Nano() + used.Stime.Nano())}
}

// fail tells the worker what failed.
func (k *keeper) fail(step string, err error) {
	var errno syscall.Errno
	errors.As(err, &errno)
	k.tell(reply{Failed: true, Step: step, Errno: int(errno)}, 0)
}

// tell sends a reply, with a descriptor of a process unless that is 0. A worker that is gone misses
// nothing.
func (k *keeper) tell(r reply, process int) {
	b, err := json.Marshal(r)
	if err != nil {
		return // numbers and texts are always encoded
	}
	var rights []byte
	if process > 0 {
		fd, err := unix.PidfdOpen(process, 0)
		if err != nil {
			k.fail("hold the program", err)
			return
		}
		defer func() { _ = unix.Close(fd) }() // the worker has a copy
		rights = unix.UnixRights(fd)
	}
	_ = unix.Sendmsg(k.fd, append(b, '\n'), rights, nil, 0)
}
