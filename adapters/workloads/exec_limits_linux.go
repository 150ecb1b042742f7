package workloads

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/niyanta/niyanta/adapters/workloads/cgroup"
	"github.com/niyanta/niyanta/core/domain"
)

// limiter is how the programs of one worker are held to their limits.
type limiter struct {
	how  Enforcement
	tree *cgroup.Tree // nil without control groups
	// stops reports whether programs can be stopped before their first instruction. Otherwise what a
	// program starts at once may escape its limits.
	stops bool
	// watched is how many runs are looked at.
	watched atomic.Int64
}

// newLimiter returns the limiter for a setting.
func newLimiter(setting string, log *slog.Logger) (*limiter, error) {
	if err := ValidateLimits(setting); err != nil {
		return nil, err
	}
	l := &limiter{how: LimitsNone, stops: stopsPrograms()}
	reason := "it is switched off"
	if setting != "none" {
		l.how, reason = LimitsRlimit, "it is set so"
	}
	if setting != "none" && setting != "rlimit" {
		tree, err := cgroup.Open()
		switch {
		case err == nil && tree.Version() == 1:
			l.how, l.tree, reason = LimitsCgroup1, tree, ""
		case err == nil:
			l.how, l.tree, reason = LimitsCgroup2, tree, ""
		case setting == "cgroup":
			return nil, fmt.Errorf("no control groups for programs: %w", err)
		default:
			reason = err.Error()
		}
	}
	switch l.how {
	case LimitsNone:
		log.Warn("nothing holds programs to their resource_limits", "exec_limits", string(l.how), "reason", reason)
	case LimitsRlimit:
		log.Warn("programs are held to their memory limits only, and late: the worker has no control groups",
			"exec_limits", string(l.how), "reason", reason)
	default:
		log.Info("control groups hold programs to their resource_limits", "exec_limits", string(l.how))
	}
	return l, nil
}

func (l *limiter) close() error {
	if l.tree == nil {
		return nil
	}
	return l.tree.Close()
}

// stopsPrograms reports whether this process may trace its children, which stops them when they
// execute their program.
func stopsPrograms() bool {
	// Yama refuses it from level 2 on. Without Yama there is no such file.
	if b, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil {
		if level, err := strconv.Atoi(strings.TrimSpace(string(b))); err != nil || level >= 2 {
			return false
		}
	}
	// A filter of system calls answers before the kernel finds that the process does not exist.
	var none [1]byte
	_, err := unix.PtracePeekData(1<<30, 0, none[:])
	return errors.Is(err, unix.ESRCH)
}

// bounds holds one run to its limits. The zero value of a limit is no limit.
type bounds struct {
	*limiter
	limits domain.Amounts
	user   *user
	area   area // where its disk limit counts
	family *identity
	group  *cgroup.Group // nil without control groups
	peak   int64         // the highest memory that was seen, in bytes
	over   error         // how the run went over a limit; read it after exceeded is closed
	// exceeded is closed when the run went over a limit.
	exceeded chan struct{}
}

// bound returns the bounds of a run. Its family must be complete when the program is started.
func (l *limiter) bound(limits domain.Amounts, u *user, scratch string, family *identity) (*bounds, error) {
	b := &bounds{limiter: l, limits: limits, user: u, area: area{scratch: scratch}, family: family,
		exceeded: make(chan struct{})}
	if u != nil {
		b.area.owner, b.area.folders = u.id, leftovers
	}
	if l.tree == nil {
		return b, nil
	}
	var err error
	b.group, err = l.tree.New(cgroup.Limits{
		CPU: int64(limits.CPUCores), Memory: int64(limits.MemoryMB) << 20, Processes: processLimit,
	})
	return b, err
}

// start starts the program and limits it before its first instruction. The thread of the caller must
// not change before start returns.
func (b *bounds) start(cmd *exec.Cmd) (int, error) {
	cmd.SysProcAttr.Ptrace = b.stops && b.how != LimitsNone
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid
	if cmd.SysProcAttr.Ptrace {
		awaitStop(pid)
	}
	err := b.apply(pid)
	if err != nil {
		_ = unix.Kill(pid, unix.SIGKILL) // it is not reaped
	}
	if cmd.SysProcAttr.Ptrace {
		_ = unix.PtraceDetach(pid) // an error means that it was killed
	}
	if err != nil {
		_ = cmd.Wait() // killed
		return 0, err
	}
	return pid, nil
}

// awaitStop returns when a child has stopped or ended. It does not reap it.
func awaitStop(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// dataFactor is how many times its memory limit a process may map. Programs map more than they use,
// a stack of 8 MB for each thread, for example. So it bounds only what a process can take before
// the worker looks.
const dataFactor = 4

// apply limits the program. A process that has ended is left alone.
func (b *bounds) apply(pid int) error {
	switch {
	case b.group != nil:
		return ignoreGone(b.group.Add(pid))
	case b.how == LimitsNone:
		return nil
	case b.user == nil:
		return b.limit(pid)
	case !b.stops:
		// The thread that limits it would be within its reach.
		return nil
	}
	// A worker without CAP_SYS_RESOURCE can limit processes of its thread's own user only.
	return onThreadOfItsOwn(func() error {
		id := uintptr(b.user.id)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, id, id, id); errno != 0 {
			return fmt.Errorf("setresgid: %w", errno)
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, id, id, id); errno != 0 {
			return fmt.Errorf("setresuid: %w", errno)
		}
		return b.limit(pid)
	})
}

// limit lowers the limits of a process, for good.
func (b *bounds) limit(pid int) error {
	bytes := uint64(b.limits.MemoryMB) << 20 * dataFactor //nolint:gosec // not negative
	for which, to := range map[int]uint64{unix.RLIMIT_DATA: bytes, unix.RLIMIT_NPROC: processLimit} {
		if to == 0 || which == unix.RLIMIT_NPROC && b.user == nil { // the kernel counts by user
			continue
		}
		var now unix.Rlimit
		err := unix.Prlimit(pid, which, nil, &now)
		if err == nil {
			to = min(to, now.Max)
			err = unix.Prlimit(pid, which, &unix.Rlimit{Cur: to, Max: to}, nil)
		}
		if err != nil {
			return ignoreGone(fmt.Errorf("limit a program: %w", err))
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// watchInterval is the shortest time between two looks at what a run uses.
const watchInterval = 200 * time.Millisecond

// watch looks at what the run uses until it has ended, or has gone over a limit.
func (b *bounds) watch(ended <-chan struct{}) {
	if b.how == LimitsNone {
		return
	}
	b.watched.Add(1)
	defer b.watched.Add(-1)
	pause := time.NewTimer(watchInterval)
	defer pause.Stop()
	for {
		select {
		case <-ended:
			return
		case <-pause.C:
		}
		began := time.Now()
		if err := errors.Join(b.checkMemory(), b.checkDisk(ended)); err != nil {
			b.over = err
			close(b.exceeded)
			return
		}
		// Looking at all runs must not cost more than a tenth of a core.
		pause.Reset(max(watchInterval, 10*time.Since(began)*time.Duration(b.watched.Load())))
	}
}

func (b *bounds) checkMemory() error {
	limit := int64(b.limits.MemoryMB) << 20
	if b.group != nil {
		if used, err := b.group.Usage(); err == nil && used.Killed {
			return b.overMemory(used.Memory)
		}
		return nil
	}
	members := b.programs()
	used := resident(members)
	if limit > 0 && used > limit { // pages that processes share were counted for each
		used = proportional(members, used)
	}
	b.peak = max(b.peak, used)
	if limit > 0 && used > limit {
		return b.overMemory(used)
	}
	return nil
}

func (b *bounds) overMemory(used int64) error {
	return fmt.Errorf("the run used %d MB of memory, and its limit is %d MB", used>>20, b.limits.MemoryMB)
}

func (b *bounds) checkDisk(ended <-chan struct{}) error {
	limit := int64(b.limits.DiskMB) << 20
	if limit == 0 {
		return nil
	}
	used := b.area.occupied(limit, ended)
	if used <= limit {
		used += b.area.unlinked(b.members())
	}
	if used > limit {
		return fmt.Errorf("the run's files in its scratch directory and in temporary folders take %d MB, and its limit is "+
			"%d MB", used>>20, b.limits.DiskMB)
	}
	return nil
}

// members returns the ids of the run's processes.
func (b *bounds) members() (pids []int) {
	if b.group != nil {
		pids, _ = b.group.Processes() // an error means that the group is gone
		return pids
	}
	for _, p := range b.programs() {
		pids = append(pids, p.pid)
	}
	return pids
}

// programs returns the processes of the run, without the init of its box.
func (b *bounds) programs() []proc {
	return slices.DeleteFunc(b.family.claim(), func(p proc) bool { return b.family.boxed && p.pid == b.family.child })
}

// kill kills what the control group holds, so that nothing that the program started is left.
func (b *bounds) kill() error {
	if b.group == nil {
		return nil
	}
	return b.group.Kill()
}

// finish returns what the run has used, and how it went over a limit, or nil. The program must have
// been reaped and the watch must have ended.
func (b *bounds) finish(end ending) (used domain.Consumption, over error) {
	var cpu time.Duration
	memory := b.peak
	switch {
	case b.group != nil:
		u, err := b.group.Usage()
		if err == nil && u.Killed && b.over == nil {
			b.over = b.overMemory(u.Memory)
		}
		cpu, memory = u.CPU, u.Memory
	case end.known:
		cpu = end.cpu
		memory = max(memory, end.peak)
		limit := int64(b.limits.MemoryMB) << 20
		if b.how == LimitsRlimit && limit > 0 && memory > limit && b.over == nil {
			b.over = b.overMemory(memory)
		}
	}
	return consumption(cpu, memory), b.over
}

// peakOf returns the highest memory of a program that was reaped and of its children, in bytes. It
// is 0 if that is not known: the kernel counts a process from before it executed its program, when it
// shared the memory of this one.
func peakOf(state *os.ProcessState) int64 {
	r, ok := state.SysUsage().(*syscall.Rusage)
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); !ok || err != nil || r.Maxrss <= own.Maxrss {
		return 0
	}
	return r.Maxrss << 10
}

// close removes the control group.
func (b *bounds) close() error {
	if b.group == nil {
		return nil
	}
	return b.group.Close()
}

// resident returns how much memory processes have of their own, in bytes.
func resident(ps []proc) (sum int64) {
	for i := range ps {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", ps[i].pid))
		fields := strings.Fields(string(b))
		if err != nil || len(fields) < 3 {
			continue // gone
		}
		pages, _ := strconv.ParseInt(fields[1], 10, 64) // the kernel writes numbers
		files, _ := strconv.ParseInt(fields[2], 10, 64)
		sum += (pages - files) * int64(os.Getpagesize())
	}
	return sum
}

// proportional returns how much memory processes use, in bytes. Each page counts once, however many
// processes share it. If the kernel does not let this process see that, it returns otherwise.
func proportional(ps []proc, otherwise int64) (sum int64) {
	for i := range ps {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", ps[i].pid))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // gone
		}
		if err != nil {
			return otherwise
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			if len(fields) == 3 && (fields[0] == "Pss_Anon:" || fields[0] == "Pss_Shmem:") {
				kilobytes, _ := strconv.ParseInt(fields[1], 10, 64) // the kernel writes numbers
				sum += kilobytes << 10
			}
		}
	}
	return sum
}
