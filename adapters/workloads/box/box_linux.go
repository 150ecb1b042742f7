package box

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is how the namespaces of a box are made.
type Kind int

// The kinds.
const (
	// Privileged boxes need CAP_SYS_ADMIN. Their programs may have other users.
	Privileged Kind = iota + 1
	// Unprivileged boxes have a user namespace, too, in which the user of this process is the only
	// one.
	Unprivileged
)

// startTimeout bounds how long a box may take until its program runs. No program can delay it.
const startTimeout = 10 * time.Second

// Box is the enclosure of one program.
type Box struct {
	order  order
	conn   *net.UnixConn
	theirs *os.File
	told   *json.Decoder
}

// Enclose changes a command so that starting it starts the init of a box, which then starts the
// program of the command with its arguments, variables, directory, files and user. mark is a variable
// of the init. Close the box after the command has ended.
func Enclose(cmd *exec.Cmd, kind Kind, layout Layout, mark string) (*Box, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, &SetupError{"socketpair", err}
	}
	ours := os.NewFile(uintptr(fds[0]), "worker's end")
	b := &Box{theirs: os.NewFile(uintptr(fds[1]), "init's end")}
	conn, err := net.FileConn(ours)
	_ = ours.Close() // FileConn duplicates the descriptor
	var ok bool
	if b.conn, ok = conn.(*net.UnixConn); err != nil || !ok {
		_ = b.theirs.Close()
		return nil, &SetupError{"socketpair", err}
	}
	b.order = order{
		Layout: layout, Path: []byte(cmd.Path), Args: raw(cmd.Args), Env: raw(cmd.Env), Dir: []byte(cmd.Dir),
		Files: 3 + len(cmd.ExtraFiles), UID: os.Geteuid(), GID: os.Getegid(), Map: kind == Unprivileged,
		Drop: kind == Unprivileged,
	}
	attr := &syscall.SysProcAttr{
		Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC,
	}
	if kind == Unprivileged {
		attr.Cloneflags |= unix.CLONE_NEWUSER
	}
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Credential != nil {
		who := cmd.SysProcAttr.Credential
		b.order.UID, b.order.GID, b.order.Change, b.order.Drop = int(who.Uid), int(who.Gid), true, true
	}
	if os.Geteuid() != 0 { // other users than root lose what they have when they execute
		attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
		if b.order.Change {
			attr.AmbientCaps = append(attr.AmbientCaps, unix.CAP_SETUID, unix.CAP_SETGID)
		}
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, b.theirs)
	cmd.Path, cmd.Args = "/proc/self/exe", []string{initName, strconv.Itoa(b.order.Files)}
	cmd.Env, cmd.Dir, cmd.SysProcAttr = []string{"GOMAXPROCS=1", mark}, "/", attr
	return b, nil
}

func raw(all []string) [][]byte {
	b := make([][]byte, len(all))
	for n, s := range all {
		b[n] = []byte(s)
	}
	return b
}

// Launch has the init, which has been started, start the program. It returns the program's id. With
// stop, the program is stopped before its first instruction until apply, which gets the id, returns.
// After an error, the command must be killed.
func (b *Box) Launch(stop bool, apply func(pid int) error) (pid int, err error) {
	_ = b.theirs.Close() // the init has its own copy
	if err := b.conn.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return 0, &SetupError{"order", err}
	}
	b.order.Stop = stop
	if err := b.say(b.order); err != nil {
		return 0, err
	}
	if pid, err = b.hear(); err != nil {
		return 0, err
	}
	if err := apply(pid); err != nil {
		return 0, err
	}
	if err := b.say(order{Files: b.order.Files, Stop: stop, Release: true}); err != nil {
		return 0, err
	}
	b.told = json.NewDecoder(b.conn)
	if err := b.conn.SetDeadline(time.Time{}); err != nil {
		return 0, &SetupError{"order", err}
	}
	return pid, nil
}

func (b *Box) say(o order) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err // cannot happen
	}
	if _, err := b.conn.Write(line); err != nil {
		return &SetupError{"order", errors.New("the init has ended")}
	}
	return nil
}

// hear returns the process of which the init tells, as this process sees it.
func (b *Box) hear() (pid int, err error) {
	line, rights := make([]byte, 4<<10), make([]byte, unix.CmsgSpace(4))
	n, nr, _, _, err := b.conn.ReadMsgUnix(line, rights)
	if err != nil || n == 0 {
		return 0, &SetupError{"reply", errors.New("the init has ended")}
	}
	var r reply
	if err := json.Unmarshal(line[:n], &r); err != nil {
		return 0, &SetupError{"reply", err}
	}
	switch {
	case r.Failed && r.Step == "":
		number := syscall.Errno(r.Errno) //nolint:gosec // an error number
		return 0, &os.PathError{Op: "start", Path: string(b.order.Path), Err: number}
	case r.Failed:
		return 0, &SetupError{r.Step, syscall.Errno(r.Errno)} //nolint:gosec // an error number
	}
	messages, err := unix.ParseSocketControlMessage(rights[:nr])
	if err != nil || len(messages) != 1 {
		return 0, &SetupError{"reply", errors.New("it holds no process")}
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, &SetupError{"reply", errors.New("it holds no process")}
	}
	defer func() { _ = unix.Close(fds[0]) }() // the init does not reap the program, so the id stays its own
	if pid, err = idOf(fds[0]); err != nil {
		return 0, &SetupError{"find the program", err}
	}
	return pid, nil
}

// idOf returns the id of the process that a descriptor holds.
func idOf(fd int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte("\nPid:"))
	line, _, _ := strings.Cut(string(rest), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 0 {
		return 0, errors.New("/proc does not tell its id")
	}
	return pid, nil
}

// Await returns when the program has ended, which the init does not reap, or when the init has. known
// is false if the init ended first.
func (b *Box) Await() (e Ending, known bool) {
	var r reply
	if err := b.told.Decode(&r); err != nil || !r.Ended {
		return e, false
	}
	e = Ending{Status: syscall.WaitStatus(r.Status), CPU: r.CPU} //nolint:gosec // the kernel's number
	if r.Peak > r.Base {
		e.Peak = r.Peak << 10
	}
	return e, true
}

// Close closes the worker's end. An init that still lives then ends, with all that is in the box.
func (b *Box) Close() {
	_ = b.theirs.Close() // a second close does no harm
	_ = b.conn.Close()
}

// Try makes a box without a program, with a user of its own if uid is not negative. An error says why
// that is not possible here.
func Try(kind Kind, layout Layout, uid int) error {
	cmd := &exec.Cmd{}
	if uid >= 0 {
		id := uint32(uid) //nolint:gosec // a user's id
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	}
	b, err := Enclose(cmd, kind, layout, "")
	if err != nil {
		return err
	}
	defer b.Close()
	b.order.Trial = true
	if err := cmd.Start(); err != nil {
		return &SetupError{"start the init", err}
	}
	defer func() {
		_ = cmd.Process.Kill() // if it has not ended by itself
		_ = cmd.Wait()
	}()
	_ = b.theirs.Close()
	if err := b.conn.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	if err := b.say(b.order); err != nil {
		return err
	}
	pid, err := b.hear()
	if err == nil && pid != cmd.Process.Pid {
		err = fmt.Errorf("the init is process %d, but tells of %d", cmd.Process.Pid, pid)
	}
	return err
}
