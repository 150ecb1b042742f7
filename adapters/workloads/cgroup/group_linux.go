package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limits are what the processes of a group may use together. A zero field is no limit.
type Limits struct {
	// CPU is in thousandths of a core. Processes that use more have to wait.
	CPU int64
	// Memory is in bytes and includes what the kernel keeps of files for the group. Over it, the
	// kernel kills processes of the group.
	Memory int64
	// Processes counts threads. Over it, nothing can be started.
	Processes int
}

// Usage is what the processes of a group have used so far.
type Usage struct {
	CPU time.Duration
	// Memory is the peak, in bytes. It is 0 where the kernel does not tell it.
	Memory int64
	// Killed reports whether the kernel killed a process for memory.
	Killed bool
}

// Group is a group of processes. Processes that a process of the group starts are in it too, and
// only root can move them out.
type Group struct {
	tree    *Tree
	folders []string          // without repetition
	of      map[string]string // by controller
}

// period is the time in which the CPU time of a group is counted.
const period = 100 * time.Millisecond

// setting is a value for a file of a group. An optional one is for kernels that have the file.
type setting struct {
	controller, file, value string
	optional                bool
}

// settings returns the settings of the limits in a version.
func (l Limits) settings(version int) (all []setting) {
	microseconds := strconv.FormatInt(period.Microseconds(), 10)
	quota := strconv.FormatInt(max(l.CPU*period.Microseconds()/1000, 1000), 10) // the kernel takes no less
	memory, number := strconv.FormatInt(l.Memory, 10), strconv.Itoa(l.Processes)
	if l.Memory > 0 && version == 2 {
		all = append(all, setting{"memory", "memory.max", memory, false}, setting{"memory", "memory.swap.max", "0", true},
			setting{"memory", "memory.oom.group", "1", true})
	}
	if l.Memory > 0 && version == 1 {
		all = append(all, setting{"memory", "memory.limit_in_bytes", memory, false},
			setting{"memory", "memory.memsw.limit_in_bytes", memory, true})
	}
	if l.CPU > 0 && version == 2 {
		all = append(all, setting{"cpu", "cpu.max", quota + " " + microseconds, false})
	}
	if l.CPU > 0 && version == 1 {
		all = append(all, setting{"cpu", "cpu.cfs_period_us", microseconds, false},
			setting{"cpu", "cpu.cfs_quota_us", quota, false})
	}
	if l.Processes > 0 {
		all = append(all, setting{"pids", "pids.max", number, false})
	}
	return all
}

// New returns a new group without processes.
func (t *Tree) New(l Limits) (*Group, error) {
	g := &Group{tree: t, of: map[string]string{}}
	name := strconv.FormatInt(t.made.Add(1), 10)
	for _, parent := range t.parents {
		folder := filepath.Join(parent, t.name, name)
		if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // as all groups
			return nil, errors.Join(fmt.Errorf("control group: %w", err), g.Close())
		}
		g.folders = append(g.folders, folder)
		for c, at := range t.of {
			if at == parent {
				g.of[c] = folder
			}
		}
	}
	for _, s := range l.settings(t.version) {
		err := write(filepath.Join(g.of[s.controller], s.file), s.value)
		switch {
		case err == nil, s.optional && errors.Is(err, os.ErrNotExist):
		case s.controller == "cpu" && t.version == 1 && errors.Is(err, unix.EINVAL):
			// The worker itself may use less. Its limit holds for the group.
		default:
			return nil, errors.Join(fmt.Errorf("control group: %w", err), g.Close())
		}
	}
	return g, nil
}

// Add moves a process into the group. Processes that it has started before stay where they are.
func (g *Group) Add(pid int) error {
	for _, folder := range g.folders {
		if err := write(filepath.Join(folder, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("control group: %w", err)
		}
	}
	return nil
}

// Processes returns the ids of the processes in the group.
func (g *Group) Processes() ([]int, error) { return processes(g.of["pids"]) }

// Usage returns what the group has used.
func (g *Group) Usage() (u Usage, err error) {
	at := func(controller, file string) string { return filepath.Join(g.of[controller], file) }
	var cpu, killed int64
	var err1, err2 error
	if g.tree.version == 2 {
		cpu, err1 = read(at("cpu", "cpu.stat"), "usage_usec")
		u.CPU = time.Duration(cpu) * time.Microsecond
		killed, err2 = read(at("memory", "memory.events"), "oom_kill")
		u.Memory, err = read(at("memory", "memory.peak"), "")
		if errors.Is(err, os.ErrNotExist) { // before Linux 5.19
			err = nil
		}
	} else {
		cpu, err1 = read(at("cpuacct", "cpuacct.usage"), "")
		u.CPU = time.Duration(cpu)
		killed, err2 = read(at("memory", "memory.oom_control"), "oom_kill")
		u.Memory, err = read(at("memory", "memory.max_usage_in_bytes"), "")
	}
	u.Killed = killed > 0
	return u, errors.Join(err, err1, err2)
}

// Kill kills all processes of the group. It returns nil when none is left.
func (g *Group) Kill() error {
	if err := write(filepath.Join(g.of["pids"], "pids.max"), "0"); err != nil { // from now on, none can fork
		return fmt.Errorf("control group: %w", err)
	}
	return killAll(g.of["pids"])
}

// Close removes the group. It must have no processes.
func (g *Group) Close() error {
	var errs []error
	for _, folder := range slices.Backward(g.folders) {
		errs = append(errs, removeFolder(folder))
	}
	return errors.Join(errs...)
}

// killTimeout bounds how long the processes of a group are killed again.
const killTimeout = 3 * time.Second

// killAll kills the processes of a group until none is left.
func killAll(folder string) error {
	for deadline := time.Now().Add(killTimeout); ; time.Sleep(time.Millisecond) {
		members, err := processes(folder)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case err != nil:
			return err
		case len(members) == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d processes of %s survive, one of them is %d", len(members), folder, members[0])
		}
		kill(folder, members)
	}
}

// kill kills processes that are in a group. A process that ends may give its id to another one, so
// kill looks again when it holds the process.
func kill(folder string, members []int) {
	held := map[int]int{}
	for _, pid := range members {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil { // otherwise it is gone
			held[pid] = fd
		}
	}
	still, _ := processes(folder) // what cannot be read is tried again
	for pid, fd := range held {
		if slices.Contains(still, pid) {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // gone is fine
		}
		_ = unix.Close(fd)
	}
}

// processes returns the ids of the processes in a group.
func processes(folder string) (pids []int, err error) {
	b, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	for field := range strings.FieldsSeq(string(b)) {
		pid, err := strconv.Atoi(field)
		if err == nil && pid > 0 { // 0 is a process of another namespace
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
