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
	"sync"
	"sync/atomic"
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
	// inFiles is what the last look at the run's files found in its anonymous ones, in bytes.
	inFiles atomic.Int64
	peak    int64 // the highest memory that was seen, in bytes
	mapped  int64 // the most that was seen of files in one process, in bytes
	over    error // how the run went over a limit; read it after exceeded is closed
	// exceeded is closed when the run went over a limit.
	exceeded chan struct{}
	once     sync.Once
	files    func(ended <-chan struct{}) error // looks at its files
}

// bound returns the bounds of a run. Its family must be complete when the program is started.
func (l *limiter) bound(limits domain.Amounts, u *user, scratch string, family *identity) (*bounds, error) {
	b := &bounds{limiter: l, limits: limits, user: u, area: area{scratch: scratch}, family: family,
		exceeded: make(chan struct{})}
	b.files = b.checkDisk
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

const (
	// watchInterval is the shortest time between two looks at what a run uses.
	watchInterval = 200 * time.Millisecond
	// maxPause is the longest one between two looks at its files.
	maxPause = 10 * time.Second
)

// watch looks at what the run uses until it has ended, or has gone over a limit. Its files are looked at
// on the side: however many there are, they do not hold up the look at its memory.
func (b *bounds) watch(ended <-chan struct{}) {
	if b.how == LimitsNone {
		return
	}
	b.watched.Add(1)
	defer b.watched.Add(-1)
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() { b.repeat(ended, time.Hour, b.checkMemory) })
	both.Go(func() { b.repeat(ended, maxPause, func() error { return b.files(ended) }) })
}

// repeat looks again and again, until the run has ended or a look says that it has gone over a limit.
func (b *bounds) repeat(ended <-chan struct{}, longest time.Duration, look func() error) {
	pause := time.NewTimer(watchInterval)
	defer pause.Stop()
	for {
		select {
		case <-ended:
			return
		case <-b.exceeded:
			return
		case <-pause.C:
		}
		began := time.Now()
		if err := look(); err != nil {
			b.once.Do(func() {
				b.over = err
				close(b.exceeded)
			})
			return
		}
		// Looking at all runs must not cost more than a tenth of a core.
		tenth := 10 * time.Since(began) * time.Duration(b.watched.Load())
		pause.Reset(max(watchInterval, min(tenth, longest)))
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
	used := measured(members, limit, b.inFiles.Load())
	b.mapped = max(b.mapped, mappedFiles(members))
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
	if b.group == nil {
		b.inFiles.Store(unmapped(b.programs()))
	}
	limit := int64(b.limits.DiskMB) << 20
	if limit == 0 {
		return nil
	}
	used, err := b.area.occupied(limit, ended)
	if err != nil {
		return err
	}
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
		// The kernel's peak has the pages of files that the process had mapped. A program that was too short
		// for a look, and failed for want of memory, is known by its peak only. One that succeeded is
		// not failed for what may be files.
		memory = max(memory, end.peak-b.mapped)
		limit := int64(b.limits.MemoryMB) << 20
		failed := !end.status.Exited() || end.status.ExitStatus() != 0
		if b.how == LimitsRlimit && limit > 0 && memory > limit && failed && b.over == nil {
			b.over = b.overMemory(memory)
		}
	}
	return consumption(cpu, memory), b.over
}

// close removes the control group.
func (b *bounds) close() error {
	if b.group == nil {
		return nil
	}
	return b.group.Close()
}
