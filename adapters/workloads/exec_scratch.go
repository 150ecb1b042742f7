//go:build linux || darwin

package workloads

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// scratchPrefix begins the names of the folders in which workers keep the scratch directories of
// their runs.
const scratchPrefix = "niyanta-exec-"

// scratchRoom is the folder of one worker's scratch directories. The lock on it tells other workers
// that its owner lives.
type scratchRoom struct {
	path string
	lock *os.File
}

// newScratchRoom removes what workers left that are gone, and makes a folder for this one's runs.
// With asOther, users other than the worker's reach what is theirs in it.
func newScratchRoom(asOther bool) (*scratchRoom, error) {
	parent, err := scratchParent(asOther)
	if err != nil {
		return nil, err
	}
	_, _ = sweepScratch(parent) // what cannot be removed now stays for the next start
	for range 10 {
		var path string
		if path, err = os.MkdirTemp(parent, scratchPrefix); err != nil {
			return nil, fmt.Errorf("scratch directories: %w", err)
		}
		if asOther {
			if err = os.Chmod(path, 0o711); err != nil { //nolint:gosec // to be passed through, not listed
				return nil, fmt.Errorf("scratch directories: %w", err)
			}
		}
		lock := lockedFolder(path)
		if lock == nil {
			continue // another worker swept it in the moment before
		}
		return &scratchRoom{path, lock}, nil
	}
	return nil, errors.New("scratch directories: other workers sweep what this one makes")
}

// lockedFolder opens and locks a folder; nil: somebody else has the lock, or it is gone.
func lockedFolder(path string) *os.File {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), path)
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil {
		held, err1 := f.Stat()
		there, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && os.SameFile(held, there) {
			return f
		}
	}
	_ = f.Close() // it gives the lock back
	return nil
}

// scratchParent is the folder for temporary files. With asOther it is one that every user can pass
// through.
func scratchParent(asOther bool) (string, error) {
	for _, parent := range slices.Compact([]string{os.TempDir(), "/tmp", "/var/tmp"}) {
		if !asOther || executableByOthers(parent) {
			return parent, nil
		}
	}
	return "", errors.New("no folder for temporary files can be entered by the users of programs")
}

// SweepScratch removes the scratch directories of workers of this user that are gone, and returns
// of how many workers.
func SweepScratch() (int, error) {
	n, err := sweepScratch(os.TempDir())
	for _, parent := range []string{"/tmp", "/var/tmp"} {
		if parent != os.TempDir() {
			more, moreErr := sweepScratch(parent)
			n, err = n+more, errors.Join(err, moreErr)
		}
	}
	return n, err
}

func sweepScratch(parent string) (swept int, err error) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return 0, fmt.Errorf("sweep scratch directories: %w", err)
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), scratchPrefix) || !ownedFolder(path) {
			continue
		}
		lock := lockedFolder(path)
		if lock == nil {
			continue // its worker lives
		}
		if err := removeAll(path); err != nil {
			errs = append(errs, err)
		} else {
			swept++
		}
		_ = lock.Close()
	}
	return swept, errors.Join(errs...)
}

// make returns a new scratch directory. With a user it is that one's alone.
func (r *scratchRoom) make(u *user) (string, error) {
	path, err := os.MkdirTemp(r.path, "run-") // mode 0700
	if err != nil {
		return "", fmt.Errorf("scratch directory: %w", err)
	}
	if u != nil {
		if err := os.Chown(path, int(u.id), int(u.id)); err != nil {
			return "", fmt.Errorf("scratch directory: %w", err)
		}
	}
	return path, nil
}

// close removes the folder with all that is in it.
func (r *scratchRoom) close() error {
	err := removeAll(r.path)
	return errors.Join(err, r.lock.Close())
}

// removeAll is os.RemoveAll for folders that their owner forbade to enter, too. Nothing writes
// there any more.
func removeAll(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = unix.Fchmodat(unix.AT_FDCWD, p, 0o700, 0) // removing says whether it helped
		}
		return nil
	})
	return os.RemoveAll(path)
}

// ownedFolder reports whether a path is a folder, not a link, that is this user's and that nobody
// else can write to.
func ownedFolder(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || info.Mode()&0o022 != 0 {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
