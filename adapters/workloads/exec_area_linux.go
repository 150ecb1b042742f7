package workloads

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// area is where the files of a run count against its disk limit: its scratch directory, and what its
// user has in the temporary folders.
type area struct {
	scratch string
	owner   uint32
	folders []string // none if the run has no user of its own
}

// entrySize is what a file counts at least, in bytes: an empty one takes space, too.
const entrySize = 1 << 10

// occupied returns how much space the files take, in bytes. It stops counting when the sum is above
// limit, or when ended is closed.
func (a *area) occupied(limit int64, ended <-chan struct{}) int64 {
	sum := treeSize(a.scratch, limit, ended)
	for _, folder := range a.folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue // this system has no such folder
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || sum > limit {
				continue
			}
			if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == a.owner {
				sum += fileSize(st)
				if e.IsDir() {
					sum += treeSize(filepath.Join(folder, e.Name()), limit-sum, ended)
				}
			}
		}
	}
	return sum
}

// treeSize returns how much space the files below a folder take. It does not leave the folder,
// whatever the program that owns it does meanwhile.
func treeSize(folder string, limit int64, ended <-chan struct{}) (sum int64) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return 0 // gone
	}
	defer func() { _ = root.Close() }() // reads only
	_ = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		select {
		case <-ended:
			return fs.SkipAll
		default:
		}
		if err != nil || path == "." {
			return nil //nolint:nilerr // removed meanwhile
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += fileSize(st)
			}
		}
		if sum > limit {
			return fs.SkipAll
		}
		return nil
	})
	return sum
}

func fileSize(st *syscall.Stat_t) int64 { return max(st.Blocks*512, entrySize) }

// unlinked returns how much space files take that processes have removed and still hold open. It
// sees those of processes into which this process may look.
func (a *area) unlinked(pids []int) (sum int64) {
	devices := map[uint64]bool{}
	for _, folder := range append([]string{a.scratch}, a.folders...) {
		var st syscall.Stat_t
		if syscall.Stat(folder, &st) == nil {
			devices[st.Dev] = true
		}
	}
	seen := map[[2]uint64]bool{}
	for _, pid := range pids {
		held := fmt.Sprintf("/proc/%d/fd", pid)
		names, _ := os.ReadDir(held) // not allowed, or gone
		for _, n := range names {
			var st syscall.Stat_t
			if syscall.Stat(filepath.Join(held, n.Name()), &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG ||
				st.Nlink > 0 || !devices[st.Dev] || seen[[2]uint64{st.Dev, st.Ino}] {
				continue
			}
			seen[[2]uint64{st.Dev, st.Ino}] = true
			sum += fileSize(&st)
		}
	}
	return sum
}
