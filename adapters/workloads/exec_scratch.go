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

	"github.com/niyanta/niyanta/adapters/internal/folder"
)

// scratchPrefix is the prefix of the folders in which workers keep the scratch directories of their
// runs.
const scratchPrefix = "niyanta-exec-"

// scratchRoom is the folder of one worker's scratch directories. Its lock shows other workers that
// the owner is alive.
type scratchRoom struct {
	path string
	lock *os.File
}

// newScratchRoom removes the folders of workers that have ended, and creates one for this worker.
// With asOther, other users can reach their directories in it.
func newScratchRoom(asOther bool) (*scratchRoom, error) {
	parent, err := scratchParent(asOther)
	if err != nil {
		return nil, err
	}
	_, _ = sweepScratch(parent) // what cannot be removed now is removed at the next start
	for range 10 {
		var path string
		if path, err = os.MkdirTemp(parent, scratchPrefix); err != nil {
			return nil, fmt.Errorf("scratch directories: %w", err)
		}
		lock := folder.Lock(path)
		if lock == nil {
			continue // another worker removed it before it was locked
		}
		if asOther {
			if err = lock.Chmod(0o711); err != nil { // to be passed through, not listed
				return nil, errors.Join(fmt.Errorf("scratch directories: %w", err), lock.Close())
			}
		}
		return &scratchRoom{path, lock}, nil
	}
	return nil, errors.New("scratch directories: other workers sweep what this one makes")
}

// scratchParent returns the folder for temporary files. With asOther it returns one that every user
// can enter.
func scratchParent(asOther bool) (string, error) {
	for _, parent := range slices.Compact([]string{os.TempDir(), "/tmp", "/var/tmp"}) {
		if !asOther || executableByOthers(parent) {
			return parent, nil
		}
	}
	return "", errors.New("no folder for temporary files can be entered by the users of programs")
}

// SweepScratch removes the scratch directories of this user's workers that have ended, and returns
// the number of those workers.
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
		if !e.IsDir() || !strings.HasPrefix(e.Name(), scratchPrefix) || e.Name() == usersFolder || !ownedFolder(path) {
			continue
		}
		lock := folder.Lock(path)
		if lock == nil {
			continue // its worker is alive
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

// make returns a new scratch directory. If u is not nil, it belongs to that user alone.
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

// close removes the folder and everything in it.
func (r *scratchRoom) close() error {
	err := removeAll(r.path)
	return errors.Join(err, r.lock.Close())
}

// removeAll is like os.RemoveAll, but also removes folders that their owner made inaccessible.
// Nothing may write into the folder any more.
func removeAll(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = unix.Fchmodat(unix.AT_FDCWD, p, 0o700, 0) // if it fails, removing fails
		}
		return nil
	})
	return os.RemoveAll(path)
}

// ownedFolder reports whether a path is a folder, not a link, that belongs to this user and that
// nobody else can write to.
func ownedFolder(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || info.Mode()&0o022 != 0 {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
