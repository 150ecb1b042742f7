package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that the harness started.
type process struct {
	cmd  *exec.Cmd
	done chan error
	log  *os.File
}

// start starts cmd, with its output in a file of dir, and waits until something listens on port; 0: doesn't wait.
func start(dir, name string, cmd *exec.Cmd, port int) (*process, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	p := &process{cmd: cmd, done: make(chan error, 1), log: log}
	go func() { p.done <- cmd.Wait() }()
	if port == 0 {
		return p, nil
	}
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second); err == nil {
			return p, c.Close()
		}
		select {
		case err := <-p.done:
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("%s ended (%v): %s", name, err, bytes.TrimSpace(text))
		case <-time.After(20 * time.Millisecond):
		}
	}
	p.stop()
	return nil, fmt.Errorf("%s doesn't listen on port %d", name, port)
}

// stop ends the process; it may be nil.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	_ = p.log.Close()
}

// status is what /proc says of a process.
type status struct {
	pid, parent int
	// used is the processor time of the process and of its children that have ended.
	used time.Duration
}

// tick is the unit of /proc's times: 10 ms on Linux.
const tick = 10 * time.Millisecond

func stat(pid int) (status, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return status{}, err
	}
	// The second field is the name in parentheses, which may hold anything.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	n := func(i int) int64 { v, _ := strconv.ParseInt(f[i], 10, 64); return v }
	return status{pid: pid, parent: int(n(1)), used: time.Duration(n(11)+n(12)+n(13)+n(14)) * tick}, nil
}

// used returns the processor time of the trees of processes below roots.
func used(roots ...int) time.Duration {
	entries, _ := os.ReadDir("/proc")
	children := map[int][]status{}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if s, err := stat(pid); err == nil {
				children[s.parent] = append(children[s.parent], s)
			}
		}
	}
	var sum func(pid int) time.Duration
	sum = func(pid int) time.Duration {
		var d time.Duration
		for _, c := range children[pid] {
			d += c.used + sum(c.pid)
		}
		return d
	}
	var total time.Duration
	for _, r := range roots {
		if s, err := stat(r); err == nil {
			total += s.used + sum(r)
		}
	}
	return total
}

// usedHere returns the processor time of the harness itself.
func usedHere() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// memory returns the resident memory of a process, now and at its peak, in bytes.
func memory(pid int) (now, peak int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			now = kib << 10
		case "VmHWM:":
			peak = kib << 10
		}
	}
	return now, peak, nil
}
