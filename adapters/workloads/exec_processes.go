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
	// eradicateTimeout bounds how long the processes of a run are killed again.
	eradicateTimeout = 3 * time.Second
	// A snapshot may miss a process that forks and ends again and again, but several in a row
	// hardly do. firstLooks is how many snapshots in a row must show nothing at first, unsureLooks
	// after one in which a process ended before it could be read or showed no environment, as in
	// the middle of an exec, and cleanLooks after one that showed something.
	firstLooks  = 5
	unsureLooks = 8
	cleanLooks  = 10
)

// family is the descendants of this process: the programs that it started and the orphans of
// programs. A process has one family, however many workers it has.
type family struct {
	mu      sync.Mutex
	runs    map[*identity]bool
	started map[int]bool // pids of programs, which their runs wait for
	// adopts reports whether orphans of programs become children of this process, which then must
	// have no other children than programs and orphans.
	adopts  bool
	strange map[int]uint64 // orphans that no run recognised last time, with their start times
}

var kin = &family{runs: map[*identity]bool{}, started: map[int]bool{}}

// adopt makes this process the parent of the orphans of programs. It must start nothing but
// programs, because any other child would be taken for an orphan.
func (f *family) adopt() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	f.adopts, err = becomeSubreaper()
	return err
}

// begin starts the program of a run. start returns its pid.
func (f *family) begin(i *identity, start func() (int, error)) error {
	f.mu.Lock() // until the program is registered, it must not be taken for an orphan
	defer f.mu.Unlock()
	pid, err := start()
	if err != nil {
		return err
	}
	i.child = pid
	if !i.boxed {
		i.leader = pid
	}
	if p, ok := readProc(pid); ok {
		i.since = p.started
	}
	f.started[pid], f.runs[i] = true, true
	return nil
}

// lead states the program of a run in a box, which the box has started.
func (f *family) lead(i *identity, pid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i.leader = pid
}

// end kills the remaining processes of a run and removes the run. Last, it calls reap, which must
// reap the program. The program must not have been reaped before.
func (f *family) end(i *identity, reap func()) error {
	err := f.eradicate(i)
	f.mu.Lock()
	delete(f.runs, i)
	last := len(f.runs) == 0
	f.mu.Unlock()
	if last { // every orphan that is left belongs to nobody
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
	delete(f.started, i.child)
	return err
}

// eradicate kills the processes of a run until none is left.
func (f *family) eradicate(i *identity) error {
	deadline := time.Now().Add(eradicateTimeout)
	if i.boxed {
		if err := endBox(i.child); err != nil || !i.own {
			return err
		}
	}
	if i.own {
		return f.eradicateUser(i, deadline)
	}
	for needed, looks := firstLooks, 0; looks < needed; {
		found, unsure := i.hunt()
		f.tend()
		switch {
		case len(found) > 0 && time.Now().After(deadline):
			return survive(found)
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
			time.Sleep(time.Millisecond) // let the killed processes end
		}
	}
	return nil
}

// endBox kills the init of a box, with which the kernel kills everything in it. The init ends last.
func endBox(init int) error {
	_ = unix.Kill(init, unix.SIGKILL) // it is not reaped, so the id is its own
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		awaitExit(init)
	}()
	if !within(eradicateTimeout, ended) {
		return fmt.Errorf("the processes in the namespace of process %d do not end", init)
	}
	return nil
}

// eradicateUser kills all processes of a user, and waits until they have ended.
func (f *family) eradicateUser(i *identity, deadline time.Time) error {
	if err := killUser(i.uid, i.sender); err != nil {
		return err
	}
	for {
		found := i.claim()
		f.tend()
		switch {
		case len(found) == 0:
			return nil
		case time.Now().After(deadline):
			return survive(found)
		}
		time.Sleep(time.Millisecond)
	}
}

func survive(found []proc) error {
	return fmt.Errorf("%d processes survive, one of them is %d", len(found), found[0].pid)
}

// tend reaps orphans that have ended. It kills orphans that belong to no run it knows: at once if
// no run is left, otherwise the second time. Such a process has detached itself and hidden its run,
// so that the end of that run would not kill it. It returns the number of such orphans.
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
			_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil) // an error means that it does not exist any more
		case f.recognised(p):
		default:
			// In the middle of an exec a process shows no environment, so that one look is not
			// enough.
			if len(f.runs) == 0 || f.strange[p.pid] == p.started {
				_ = unix.Kill(p.pid, unix.SIGKILL) // it has not been reaped, so the id is still its own
			}
			strange[p.pid] = p.started
		}
	})
	f.strange = strange
	return len(strange)
}

// orphan reports whether a process is a child that no run waits for.
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
