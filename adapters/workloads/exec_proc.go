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

// proc is a process as /proc shows it.
type proc struct {
	pid, parent, group, session int
	state                       byte
	uid                         uint32
	started                     uint64 // in ticks since the machine's start: with the pid, it names a process for good
}

func (p *proc) ended() bool { return p.state == 'Z' || p.state == 'X' }

// mark returns the run that the process's environment names; empty: none, or it does not show it. bare tells that the environment is
// empty, as it is in the middle of an exec.
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

// Places in /proc/<pid>/stat behind the name.
const statState, statParent, statGroup, statSession, statStarted = 0, 1, 2, 3, 19

// readProc reads one process; ok is false when it is gone.
func readProc(pid int) (p proc, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, false
	}
	// The name, in parentheses, may hold anything, parentheses and spaces included.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) <= statStarted {
		return p, false
	}
	number := func(place int) int {
		n, _ := strconv.Atoi(fields[place]) // the kernel writes numbers
		return n
	}
	p = proc{
		pid: pid, state: fields[statState][0], parent: number(statParent), group: number(statGroup), session: number(statSession),
	}
	p.started, _ = strconv.ParseUint(fields[statStarted], 10, 64)
	// Who owns the folder says nothing: it is root for a process that is not dumpable.
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

// snapshot returns all processes, the newest first: what forks to escape has the highest ids, and must be met while it lives. meet is
// called for each as soon as it is read; nil: not. vanished tells that some ended before they could be read.
func snapshot(meet func(*proc)) (found []proc, vanished bool) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, false
	}
	defer func() { _ = dir.Close() }() // it was only read from
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

// identity is how the processes of a run are recognised.
type identity struct {
	mark   string
	leader int // the program's own pid, its group's and its session's
	// since is when the leader started. What is older is not of the run.
	since uint64
	uid   uint32
	own   bool // the uid is the run's alone, and says all
}

// recognises reports whether a process shows that it is of the run. unsure tells that it may yet show it.
func (i *identity) recognises(p *proc) (ours, unsure bool) {
	switch {
	case i.own:
		return p.uid == i.uid, false
	case i.leader > 0 && (p.pid == i.leader || p.group == i.leader || p.session == i.leader):
		return true, false
	case p.started < i.since || p.ended():
		return false, false
	}
	mark, bare := p.mark()
	return mark == i.mark, bare
}

// claim returns the processes of the run that have not ended: those that show it, and what descends from them.
func (i *identity) claim() []proc {
	claimed := map[int]bool{}
	all, _ := snapshot(func(p *proc) {
		if ours, _ := i.recognises(p); ours {
			claimed[p.pid] = true
		}
	})
	return descendants(all, claimed)
}

// descendants returns the claimed processes and what descends from them, without those that have ended and without this process.
func descendants(all []proc, claimed map[int]bool) (found []proc) {
	delete(claimed, os.Getpid())
	for grown := true; grown; {
		grown = false
		for n := range all {
			if p := &all[n]; !claimed[p.pid] && claimed[p.parent] {
				claimed[p.pid], grown = true, true
			}
		}
	}
	for n := range all {
		if claimed[all[n].pid] && !all[n].ended() {
			found = append(found, all[n])
		}
	}
	return found
}

// hunt kills the processes of the run that it meets, and returns them. unsure tells that it may have missed some.
func (i *identity) hunt() (found []proc, unsure bool) {
	claimed := map[int]bool{}
	all, vanished := snapshot(func(p *proc) {
		ours, maybe := i.recognises(p)
		unsure = unsure || maybe
		if ours && p.pid != os.Getpid() {
			claimed[p.pid] = true
			if !p.ended() {
				p.kill() // at once: a moment later it may be another
			}
		}
	})
	found = descendants(all, claimed)
	for n := range found {
		found[n].kill()
	}
	return found, unsure || vanished
}

// chase kills the processes that match among the newest of the machine. A process that forks and ends again and again is always among
// them, and gone before a whole look has come to it.
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
				continue // there is none
			}
			if match(pid) {
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // gone is fine
				missed = 0
			}
			_ = unix.Close(fd)
		}
	}
}

// shows reports whether a process shows quickly that it is of the run.
func (i *identity) shows(pid int) bool {
	if i.own {
		var st unix.Stat_t // the folder is root's while the process execs
		return unix.Stat("/proc/"+strconv.Itoa(pid), &st) == nil && st.Uid == i.uid
	}
	p, ok := readProc(pid)
	if !ok || p.ended() {
		return false
	}
	ours, _ := i.recognises(&p)
	return ours
}

// lastPID is the number that was given to the newest process; 0: unknown.
func lastPID() int {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	n, _ := strconv.Atoi(fields[len(fields)-1]) // the kernel writes numbers
	return n
}

// kill kills the process if its number is still its own.
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
