//go:build linux || darwin

package workloads

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// eradicateTimeout bounds how long the processes of a run are hunted.
	eradicateTimeout = 3 * time.Second
	// A process that forks and ends again and again may be missed by a look, but hardly by several
	// in a row. firstLooks is how often nothing must be found when nothing was, unsureLooks when a
	// process ended before it could be read, or showed no environment, as in the middle of an exec,
	// and cleanLooks once something was found.
	firstLooks  = 3
	unsureLooks = 5
	cleanLooks  = 10
)

// family is the processes that descend from this one: the programs that it started, and what those
// left to it. There is one for a process, as there is one set of children, however many workers
// live in it.
type family struct {
	mu      sync.Mutex
	runs    map[*identity]bool
	started map[int]bool // pids of programs, which their runs wait for
	// adopts tells that orphans of programs become this process's children, and that it has no
	// other children than programs and those.
	adopts  bool
	strange map[int]uint64 // orphans that no run recognised at the last look, with when they started
}

var kin = &family{runs: map[*identity]bool{}, started: map[int]bool{}}

// adopt makes this process inherit what programs leave behind. Only for a process that starts
// nothing but programs: every other child would be taken for an orphan.
func (f *family) adopt() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	f.adopts, err = becomeSubreaper()
	return err
}

// begin starts the program of a run. start returns its pid.
func (f *family) begin(i *identity, start func() (int, error)) error {
	f.mu.Lock() // the program must not be taken for an orphan before it is known
	defer f.mu.Unlock()
	pid, err := start()
	if err != nil {
		return err
	}
	i.leader = pid
	if p, ok := readProc(pid); ok {
		i.since = p.started
	}
	f.started[pid], f.runs[i] = true, true
	return nil
}

// end kills what is left of a run, and forgets it. The program itself must not have been reaped:
// reap does that, last.
func (f *family) end(i *identity, reap func()) error {
	err := f.eradicate(i)
	f.mu.Lock()
	delete(f.runs, i)
	last := len(f.runs) == 0
	f.mu.Unlock()
	if last { // nobody is left to whom an orphan could belong
		deadline := time.Now().Add(eradicateTimeout)
		for needed, looks := firstLooks, 0; looks < needed && time.Now().Before(deadline); looks++ {
			if f.tend() > 0 {
				needed, looks = cleanLooks, 0
				chase(f.orphan)
			}
		}
	}
	reap()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.started, i.leader)
	return err
}

// eradicate kills the processes of a run until nothing is left.
func (f *family) eradicate(i *identity) error {
	deadline := time.Now().Add(eradicateTimeout)
	for needed, looks := firstLooks, 0; looks < needed; {
		found, unsure := i.hunt()
		f.tend()
		switch {
		case len(found) > 0 && time.Now().After(deadline):
			return fmt.Errorf("%d processes survive, one of them is %d", len(found), found[0].pid)
		case len(found) > 0:
			needed, looks = cleanLooks, 0
			chase(i.shows)
		default:
			looks++
			if unsure {
				needed = max(needed, unsureLooks)
			}
		}
		if looks < needed {
			time.Sleep(time.Millisecond) // the killed need the processor to die
		}
	}
	return nil
}

// tend reaps orphans that have ended, and kills those of whom two looks in a row could not tell
// whose they are, or one if nothing runs: they detached and hid it, so that no run's end would
// reach them. It returns how many of those there were.
func (f *family) tend() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.adopts {
		return 0
	}
	self, strange := os.Getpid(), map[int]uint64{}
	snapshot(func(p *proc) {
		switch {
		case p.parent != self || f.started[p.pid]:
		case p.ended():
			_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil) // gone is fine
		case f.recognised(p):
		default:
			// In the middle of an exec, a process shows no environment, so that one look proves
			// nothing.
			if len(f.runs) == 0 || f.strange[p.pid] == p.started {
				_ = unix.Kill(p.pid, unix.SIGKILL) // only we reap it, so the number is still its own
			}
			strange[p.pid] = p.started
		}
	})
	f.strange = strange
	return len(strange)
}

// orphan reports whether a process is a child that nobody waits for.
func (f *family) orphan(pid int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := readProc(pid)
	return ok && p.parent == os.Getpid() && !f.started[pid] && !p.ended() && !f.recognised(&p)
}

func (f *family) recognised(p *proc) bool {
	for i := range f.runs {
		if ours, _ := i.recognises(p); ours {
			return true
		}
	}
	return false
}

// strays kills what runs under a user that no run has, and reports whether it is gone.
func strays(uid uint32) error { return kin.eradicate(&identity{uid: uid, own: true}) }
