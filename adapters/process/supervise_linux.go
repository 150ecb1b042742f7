package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// reapInterval is the time between two reaps without a signal, because a SIGCHLD may be lost.
	reapInterval = time.Second
	// killInterval is the time between two looks for descendants that still live.
	killInterval = 2 * time.Millisecond
)

// forwarded are the signals that the child gets from its supervisor.
var forwarded = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT,
}

func (s *Supervisor) run(ctx context.Context) (int, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("%w: become the subreaper: %w", ErrUnsupported, err)
	}
	signals := make(chan os.Signal, 128)
	signal.Notify(signals, append(slices.Clone(forwarded), unix.SIGCHLD)...)
	defer signal.Stop(signals)
	child, lifeline, err := s.start()
	if err != nil {
		return 0, err
	}
	defer func() { _ = lifeline.Close() }() // its end tells the child
	ws := supervise(child, signals)
	status := ws.ExitStatus()
	if ws.Signaled() {
		status = 128 + int(ws.Signal())
		s.Log.Warn("the supervised process was killed", "pid", child, "signal", ws.Signal().String())
	}
	timeout := s.KillTimeout
	if timeout == 0 {
		timeout = DefaultKillTimeout
	}
	killed, left := endDescendants(timeout)
	if killed > 0 {
		s.Log.Info("descendants of the supervised process were killed", "pid", child, "processes", killed)
	}
	switch {
	case len(left) > 0:
		s.Log.Error("descendants of the supervised process survive: its death is not certified",
			"pid", child, "survivors", left)
		return status, nil
	case s.Certify != nil:
		if err := s.Certify(ctx, status); err != nil {
			s.Log.Error("death of the supervised process not certified: its work moves when its lease ends",
				"pid", child, "error", err)
		}
	}
	if s.Sweep != nil {
		if err := s.Sweep(); err != nil {
			s.Log.Warn("sweeping behind the supervised process failed", "error", err)
		}
	}
	return status, nil
}

// start starts the child. When lifeline is closed, the child knows that this process has ended.
func (s *Supervisor) start() (pid int, lifeline *os.File, err error) {
	path, err := os.Executable()
	if err != nil {
		return 0, nil, fmt.Errorf("supervise: %w", err)
	}
	theirs, lifeline, err := os.Pipe()
	if err != nil {
		return 0, nil, fmt.Errorf("supervise: %w", err)
	}
	defer func() { _ = theirs.Close() }()     // the child has its own copy
	cmd := exec.Command(path, os.Args[1:]...) //nolint:gosec // this program
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(os.Environ(), supervisedVariable+"="+strings.Join([]string{"3", s.ProcessID, s.Digest}, ":"))
	// A process group of its own, so that a signal of a terminal reaches the child only once,
	// through this process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	release, err := HandOver(cmd)
	if err != nil {
		return 0, nil, errors.Join(err, lifeline.Close())
	}
	err = cmd.Start()
	release()
	if err != nil {
		return 0, nil, errors.Join(fmt.Errorf("supervise: %w", err), lifeline.Close())
	}
	// reap waits for every child, so nobody calls cmd.Wait.
	return cmd.Process.Pid, lifeline, nil
}

// supervise forwards signals to the child and reaps children, until the child has ended.
func supervise(child int, signals <-chan os.Signal) unix.WaitStatus {
	net := time.NewTicker(reapInterval)
	defer net.Stop()
	for {
		if ws, ended := reap(child); ended {
			return ws
		}
		select {
		case <-net.C:
		case sig := <-signals:
			if n, ok := sig.(syscall.Signal); ok && n != unix.SIGCHLD {
				_ = unix.Kill(child, n) // it is not reaped, so the id is its own
			}
		}
	}
}

// reap waits for every child that has ended, and reports whether the supervised one is among them.
func reap(child int) (status unix.WaitStatus, ended bool) {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || pid == 0:
			return status, ended
		case pid == child:
			status, ended = ws, true
		}
	}
}

// endDescendants kills this process's descendants until none is left. It returns how many it
// killed, and who survives. It kills children only, because no other process can get the id of a
// child that is not reaped. A process that loses its parent becomes a child of this one, the
// subreaper.
func endDescendants(timeout time.Duration) (killed int, left []int) {
	seen := map[int]bool{}
	for deadline := time.Now().Add(timeout); ; time.Sleep(killInterval) {
		children := childrenOf(os.Getpid())
		for _, pid := range children {
			if unix.Kill(pid, unix.SIGKILL) == nil && !seen[pid] {
				seen[pid] = true
				killed++
			}
		}
		if reapAll() {
			return killed, nil
		}
		if time.Now().After(deadline) {
			return killed, children
		}
	}
}

// reapAll waits for every child that has ended, and reports whether this process has no child any
// more. The system says so (ECHILD), whatever /proc shows.
func reapAll() (none bool) {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return true
		case err != nil || pid == 0:
			return false
		}
	}
}

// childrenOf lists the children of a process.
func childrenOf(parent int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var children []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		// "pid (name) state ppid …": the name may hold anything, parentheses too.
		_, rest, ok := strings.Cut(string(b[max(strings.LastIndexByte(string(b), ')'), 0):]), " ")
		if fields := strings.Fields(rest); ok && len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			children = append(children, pid)
		}
	}
	return children
}
