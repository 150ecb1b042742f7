package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/niyanta/niyanta/adapters/internal/folder"
)

// prefix is the prefix of the folder of a worker's groups.
const prefix = "niyanta-exec-"

// Tree is the groups of one worker. It is a folder below the worker's own group, or one in each
// hierarchy of version 1. So whatever holds for the worker also holds for its groups together.
// Safe for concurrent use.
type Tree struct {
	version int
	name    string
	// parents are the folders of the worker's own groups, one for each hierarchy, without repetition.
	// The folder in the first one is locked as long as its worker lives.
	parents []string
	of      map[string]string // the parents by controller
	lock    *os.File
	made    atomic.Int64
}

// Open returns the tree of this process. It removes the trees of processes that have ended. An error
// says why groups cannot be made here.
func Open() (*Tree, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	of, version, err := locate(string(mounts), string(own))
	if err != nil {
		return nil, err
	}
	if version == 2 {
		parent, err := delegate(of["memory"])
		if err != nil {
			return nil, err
		}
		for c := range of {
			of[c] = parent
		}
	}
	return newTree(version, of)
}

func newTree(version int, of map[string]string) (*Tree, error) {
	t := &Tree{version: version, of: of}
	for _, c := range controllers[version] {
		if !slices.Contains(t.parents, of[c]) {
			t.parents = append(t.parents, of[c])
		}
	}
	t.sweep()
	for range 10 {
		first, err := os.MkdirTemp(t.parents[0], prefix)
		if err != nil {
			return nil, err
		}
		if t.lock = folder.Lock(first); t.lock == nil {
			continue // another worker removed it before it was locked
		}
		t.name = filepath.Base(first)
		if err := t.complete(); err != nil {
			return nil, errors.Join(err, t.Close())
		}
		return t, nil
	}
	return nil, errors.New("other workers remove the groups that this one makes")
}

// complete makes the folders beside the first one, and lets groups in the tree have limits.
func (t *Tree) complete() error {
	for _, parent := range t.parents[1:] {
		if err := os.Mkdir(filepath.Join(parent, t.name), 0o755); err != nil { //nolint:gosec // as all groups
			return err
		}
	}
	if t.version == 1 {
		return nil
	}
	return write(filepath.Join(t.parents[0], t.name, "cgroup.subtree_control"), enableAll)
}

// Version returns the version of the control groups, 1 or 2.
func (t *Tree) Version() int { return t.version }

// Close removes the tree. No group may be in use.
func (t *Tree) Close() error {
	err := remove(t.parents, t.name)
	return errors.Join(err, t.lock.Close())
}

// sweep ends and removes what workers have left that have ended.
func (t *Tree) sweep() {
	entries, _ := os.ReadDir(t.parents[0]) // without it, nothing can be made either
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		lock := folder.Lock(filepath.Join(t.parents[0], e.Name()))
		if lock == nil {
			continue // its worker lives
		}
		_ = remove(t.parents, e.Name()) // what remains is tried again by the next worker that starts
		_ = lock.Close()
	}
}

// remove removes the folder of a worker from all hierarchies, the locked one last. It kills what
// runs in the groups.
func remove(parents []string, name string) error {
	var errs []error
	for _, parent := range slices.Backward(parents) {
		folder := filepath.Join(parent, name)
		groups, _ := os.ReadDir(folder)
		for _, g := range groups {
			if g.IsDir() {
				errs = append(errs, killAll(filepath.Join(folder, g.Name())), removeFolder(filepath.Join(folder, g.Name())))
			}
		}
		errs = append(errs, removeFolder(folder))
	}
	return errors.Join(errs...)
}

// removeTimeout bounds how long a group is removed that still has processes that end.
const removeTimeout = 2 * time.Second

func removeFolder(path string) error {
	for deadline := time.Now().Add(removeTimeout); ; time.Sleep(time.Millisecond) {
		err := unix.Rmdir(path)
		switch {
		case err == nil, errors.Is(err, unix.ENOENT):
			return nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EBUSY), time.Now().After(deadline):
			return &os.PathError{Op: "rmdir", Path: path, Err: err}
		}
	}
}

// write writes a file of a group. It must exist.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// read returns the number in a file of a group. With a key, it is the number after the key in one of
// the lines.
func read(path, key string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if key != "" {
			if len(fields) != 2 || fields[0] != key {
				continue
			}
			fields = fields[1:]
		}
		var n int64
		if len(fields) == 1 {
			if _, err := fmt.Sscan(fields[0], &n); err == nil {
				return n, nil
			}
		}
		break
	}
	return 0, fmt.Errorf("%s: no number %s", path, key)
}
