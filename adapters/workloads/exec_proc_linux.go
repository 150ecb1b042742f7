package workloads

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mark returns the run that the process's environment names, or "". bare reports whether the
// environment is empty, as it is in the middle of an exec.
func (p *proc) mark() (run string, bare bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
	if err != nil || len(b) == 0 {
		return "", err == nil
	}
	for entry := range bytes.SplitSeq(b, []byte{0}) {
		if v, ok := bytes.CutPrefix(entry, []byte(runVariable+"=")); ok {
			return string(v), false
		}
	}
	return "", false
}

// Indices of the fields of /proc/<pid>/stat after the name.
const statState, statParent, statGroup, statSession, statStarted = 0, 1, 2, 3, 19

// readProc reads one process. ok is false if it does not exist any more.
func readProc(pid int) (p proc, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, false
	}
	// The name in parentheses may contain anything, even parentheses and spaces.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) <= statStarted {
		return p, false
	}
	number := func(place int) int {
		n, _ := strconv.Atoi(fields[place]) // the kernel writes numbers
		return n
	}
	p = proc{
		pid: pid, state: fields[statState][0], parent: number(statParent), group: number(statGroup),
		session: number(statSession),
	}
	p.started, _ = strconv.ParseUint(fields[statStarted], 10, 64)
	// The owner of the folder says nothing: it is root for a process that is not dumpable.
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return p, false
	}
	_, rest, found := bytes.Cut(status, []byte("\nUid:\t"))
	real, _, _ := bytes.Cut(rest, []byte("\t"))
	uid, err := strconv.ParseUint(string(real), 10, 32)
	if !found || err != nil {
		return p, false
	}
	p.uid = uint32(uid)
	return p, true
}

// snapshot returns all processes, newest first: processes that fork to escape have the highest ids
// and must be found while they live. meet, if not nil, is called for each process as soon as it is
// read. vanished reports whether some processes ended before they could be read.
func snapshot(meet func(*proc)) (found []proc, vanished bool) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, false
	}
	defer func() { _ = dir.Close() }() // reads only
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, false
	}
	found = make([]proc, 0, len(names))
	for _, name := range slices.Backward(names) {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		p, ok := readProc(pid)
		if !ok {
			vanished = true
			continue
		}
		if meet != nil {
			meet(&p)
		}
		found = append(found, p)
	}
	return found, vanished
}

// chase kills matching processes among the newest of the machine. A process that forks and ends
// again and again is always among them, but often ends before a whole snapshot comes to it.
func chase(match func(pid int) bool) {
	const (
		newest = 32
		tries  = 500
		misses = 20
	)
	for try, missed := 0, 0; try < tries && missed < misses; try++ {
		last := lastPID()
		missed++
		for pid := last; pid > 0 && pid > last-newest; pid-- {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue // no such process
			}
			if match(pid) {
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // gone is fine
				missed = 0
			}
			_ = unix.Close(fd)
		}
	}
}

// lastPID returns the id of the newest process, or 0 if it is unknown.
func lastPID() int {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	n, _ := strconv.Atoi(fields[len(fields)-1]) // the kernel writes numbers
	return n
}

// kill kills the process unless its id belongs to another one now.
func (p *proc) kill() {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return // gone
	}
	defer func() { _ = unix.Close(fd) }()
	if now, ok := readProc(p.pid); ok && now.started == p.started {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // gone is fine
	}
}
