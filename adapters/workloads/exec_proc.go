//go:build linux || darwin

package workloads

import "os"

// proc describes a process.
type proc struct {
	pid, parent, group, session int
	state                       byte
	uid                         uint32
	started                     uint64 // in ticks since boot; pid and started together are unique
}

func (p *proc) ended() bool { return p.state == 'Z' || p.state == 'X' }

// identity is how the processes of a run are recognised.
type identity struct {
	mark   string
	leader int // the program's own pid, its group's and its session's
	child  int // the process for which this one waits: the program, or the init of its box
	boxed  bool
	// since is when the leader started. Older processes are not of the run.
	since uint64
	uid   uint32
	own   bool // only this run uses the uid, so the uid alone decides
	// sender is the user that sends the signal to all processes of uid; see killUser.
	sender uint32
}

// recognises reports whether a process shows that it is of the run. unsure reports whether it may
// show it later.
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

// claim returns the living processes of the run: those that show it, and their descendants.
func (i *identity) claim() []proc {
	claimed := map[int]bool{}
	all, _ := snapshot(func(p *proc) {
		if ours, _ := i.recognises(p); ours {
			claimed[p.pid] = true
		}
	})
	return descendants(all, claimed)
}

// descendants returns the claimed processes and their descendants, without ended processes and
// without this process.
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

// hunt kills the processes of the run that it finds, and returns them. unsure reports whether it
// may have missed some.
func (i *identity) hunt() (found []proc, unsure bool) {
	claimed := map[int]bool{}
	all, vanished := snapshot(func(p *proc) {
		ours, maybe := i.recognises(p)
		unsure = unsure || maybe
		if ours && p.pid != os.Getpid() {
			claimed[p.pid] = true
			if !p.ended() {
				p.kill() // at once, before it forks again
			}
		}
	})
	found = descendants(all, claimed)
	for n := range found {
		found[n].kill()
	}
	return found, unsure || vanished
}

// shows reports whether a process is of the run. It is a quick check.
func (i *identity) shows(pid int) bool {
	p, ok := readProc(pid)
	if !ok || p.ended() {
		return false
	}
	ours, _ := i.recognises(&p)
	return ours
}
