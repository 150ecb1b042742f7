package workloads

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// area is where the files of a run count against its disk limit: its scratch directory, and what its
// user has in the temporary folders.
type area struct {
	scratch string
	owner   uint32
	folders []string // none if the run has no user of its own
	// hidden is since when each look has met a folder that this process may not read; zero: the last one
	// met none.
	hidden time.Time
}

const (
	// entrySize is what a file counts at least, in bytes: an empty one takes space, too.
	entrySize = 1 << 10
	// maxDepth bounds how deep folders are nested: each level of a look takes a descriptor.
	maxDepth = 256
	// hiddenGrace is how long a folder may be one that this process may not read. Programs make such
	// folders for a moment, when they unpack an archive or in tests.
	hiddenGrace = 3 * time.Second
)

var (
	errTooDeep = fmt.Errorf("the run's folders are nested more than %d levels deep, so that its files cannot be counted",
		maxDepth)
	errHidden = errors.New("a folder of the run cannot be read, so that its files cannot be counted: " +
		"keep the permission to read it")
)

// look is one look at an area.
type look struct {
	limit, sum int64
	ended      <-chan struct{}
	linked     map[[2]uint64]bool // files with several names that were counted
	hidden     bool
}

// occupied returns how much space the files take, in bytes. It stops counting when the sum is above
// limit, or when ended is closed. An error says that they cannot be counted.
func (a *area) occupied(limit int64, ended <-chan struct{}) (int64, error) {
	l := &look{limit: limit, ended: ended, linked: map[[2]uint64]bool{}}
	err := l.tree(unix.AT_FDCWD, a.scratch, 0)
	for _, folder := range a.folders {
		if err != nil || l.done() {
			break
		}
		err = l.of(folder, a.owner)
	}
	switch {
	case !l.hidden || err != nil:
		a.hidden = time.Time{}
	case a.hidden.IsZero():
		a.hidden = time.Now()
	case time.Since(a.hidden) > hiddenGrace:
		err = errHidden
	}
	return l.sum, err
}

// of counts what a user has in a folder.
func (l *look) of(folder string, owner uint32) error {
	dir, err := os.Open(folder)
	if err != nil {
		return nil //nolint:nilerr // this system has no such folder
	}
	defer func() { _ = dir.Close() }() // reads only
	return l.entries(dir, 0, func(st *unix.Stat_t) bool { return st.Uid == owner })
}

// tree counts what is below a folder, which is named as openat does. It does not leave the folder,
// whatever the program that owns it does meanwhile.
func (l *look) tree(at int, name string, depth int) error {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(at, name, flags, 0)
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Openat(at, name, flags, 0)
	}
	if err != nil {
		l.hidden = l.hidden || errors.Is(err, unix.EACCES)
		return nil // gone, or not a folder any more
	}
	dir := os.NewFile(uintptr(fd), name)
	defer func() { _ = dir.Close() }() // reads only
	if depth > maxDepth {
		return errTooDeep
	}
	return l.entries(dir, depth, func(*unix.Stat_t) bool { return true })
}

// entries counts those entries of a folder that ours accepts, with what is below them.
func (l *look) entries(dir *os.File, depth int, ours func(*unix.Stat_t) bool) error {
	fd := int(dir.Fd())
	for {
		const batch = 256
		names, err := dir.Readdirnames(batch)
		for _, name := range names {
			var st unix.Stat_t
			if l.done() {
				return nil
			}
			switch err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); {
			case errors.Is(err, unix.EACCES): // a folder that can be listed, but not entered
				l.hidden = true
				continue
			case err != nil || !ours(&st):
				continue
			}
			l.count(&st)
			if st.Mode&unix.S_IFMT == unix.S_IFDIR {
				if err := l.tree(fd, name, depth+1); err != nil {
					return err
				}
			}
		}
		if err != nil || len(names) == 0 {
			return nil //nolint:nilerr // the end, or removed meanwhile
		}
	}
}

// count adds a file. All but the first of its names count as an empty one.
func (l *look) count(st *unix.Stat_t) {
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		file := [2]uint64{st.Dev, st.Ino}
		if l.linked[file] {
			l.sum += entrySize
			return
		}
		l.linked[file] = true
	}
	l.sum += max(st.Blocks*512, entrySize)
}

// done reports whether nothing more needs to be counted.
func (l *look) done() bool {
	select {
	case <-l.ended:
		return true
	default:
		return l.sum > l.limit
	}
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
