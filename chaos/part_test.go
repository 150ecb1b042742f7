package chaos_test

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/niyanta/niyanta/contracttests/servers"
)

// part selects the processes that a fault hits. A worker is the child of its supervisor. A
// coordinator has no supervisor, so every part selects the coordinator itself.
type part struct {
	name string
	pids func(p *process) []int
}

var (
	// When the worker alone is hit, its supervisor certifies its death.
	workerOnly = part{"the worker alone", func(p *process) []int { return p.worker() }}
	// When both are hit, as if the machine was lost, no death is certified, and the lease decides.
	machine = part{"with its supervisor", func(p *process) []int { return descendants(p.pid()) }}
	// When the supervisor alone is hit, the worker drains.
	supervisorOnly = part{"the supervisor alone", func(p *process) []int { return p.pid() }}
)

// pid returns the id of the process that was started, or nothing if it has ended.
func (p *process) pid() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return nil
	default:
		return []int{p.cmd.Process.Pid}
	}
}

// worker returns the id of the worker that a supervisor has started. It waits up to 10 s for it.
func (p *process) worker() []int {
	if p.id == "" || runtime.GOOS != "linux" { // no supervisor
		return p.pid()
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		pid := p.pid()
		if pid == nil {
			return nil
		}
		for _, child := range servers.ChildrenOf(pid[0]) { // some may be orphans that it has adopted
			if path, err := os.Readlink("/proc/" + strconv.Itoa(child) + "/exe"); err == nil && path == p.path {
				return []int{child}
			}
		}
	}
	return nil
}

// descendants returns processes and all their descendants, parents first.
func descendants(pids []int) []int {
	all := slices.Clone(pids)
	for _, pid := range pids {
		all = append(all, descendants(servers.ChildrenOf(pid))...)
	}
	return all
}
