package workloads

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

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

// occupies returns the memory of a process in bytes: its own, and what it may share with others and is no
// file's. Both are 0 for a process that is gone.
func occupies(pid int) (own, shared int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	own, known := kilobytes(status, "RssAnon:")
	shared, _ = kilobytes(status, "RssShmem:")
	if known {
		return own, shared
	}
	// Kernels that do not tell them apart, or a process without memory. Shared memory is among the pages
	// of files here.
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(b))
	if err != nil || len(fields) < 3 {
		return 0, 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64) // the kernel writes numbers
	files, _ := strconv.ParseInt(fields[2], 10, 64)
	return (pages - files) * int64(os.Getpagesize()), 0
}

// mappedFiles returns the most memory of one of the processes that is files' it has mapped, in bytes.
func mappedFiles(ps []proc) (most int64) {
	for i := range ps {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", ps[i].pid)); err == nil { // or gone
			files, _ := kilobytes(status, "RssFile:")
			most = max(most, files)
		}
	}
	return most
}

// kilobytes returns the value in bytes of a line of the kernel's that begins so and is in kB.
func kilobytes(lines []byte, name string) (value int64, found bool) {
	_, rest, found := bytes.Cut(lines, []byte("\n"+name))
	if !found {
		return 0, false
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	number, _, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	n, err := strconv.ParseInt(number, 10, 64)
	return n << 10, err == nil
}

// unmapped returns how much memory there is in anonymous files that processes hold open, in bytes. They
// may have mapped them, too. It sees those of processes into which this process may look.
func unmapped(ps []proc) (sum int64) {
	seen := map[uint64]bool{}
	for i := range ps {
		held := fmt.Sprintf("/proc/%d/fd", ps[i].pid)
		names, _ := os.ReadDir(held) // not allowed, or gone
		for _, n := range names {
			var st syscall.Stat_t
			path := filepath.Join(held, n.Name())
			target, err := os.Readlink(path)
			if err != nil || !strings.HasPrefix(target, "/memfd:") || syscall.Stat(path, &st) != nil || seen[st.Ino] {
				continue
			}
			seen[st.Ino] = true
			sum += st.Blocks * 512
		}
	}
	return sum
}

// measured returns how much memory the processes of a run use, in bytes, exactly if it may be more than
// limit, and otherwise at most too much. files is how much there is in anonymous files.
func measured(ps []proc, limit, files int64) int64 {
	var own, shared int64
	for i := range ps {
		o, s := occupies(ps[i].pid)
		own, shared = own+o, shared+s
	}
	// What is written into an anonymous file belongs to no process until it is mapped. So it is either
	// among what is shared, or not seen there.
	used := own + max(shared, files)
	if limit == 0 || used <= limit {
		return used
	}
	// Pages that processes share were counted for each.
	if o, s, known := proportional(ps); known {
		return o + max(s, files)
	}
	return used
}

// proportional returns how much memory processes have of their own and how much they share, in bytes.
// Each page counts once, however many processes share it. known is false if the kernel does not let this
// process see that.
func proportional(ps []proc) (own, shared int64, known bool) {
	for i := range ps {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", ps[i].pid))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // gone
		}
		if err != nil {
			return 0, 0, false
		}
		o, _ := kilobytes(b, "Pss_Anon:")
		s, _ := kilobytes(b, "Pss_Shmem:")
		own, shared = own+o, shared+s
	}
	return own, shared, true
}
