//go:build linux || darwin

package workloads

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The ranges of users from which "auto" chooses: above what distributions and container runtimes
// use, or, in a container with 65,536 users, below "nobody".
var automaticUsers = []userRange{{2_000_000_000, 2_000_009_999}, {64_000, 64_999}}

// users gives each run a user. All workers of a machine share the users: the holder of a user's
// lock holds the user. Safe for concurrent use.
type users struct {
	userRange
	stated bool   // the operator stated the range, so every process under it is a run's
	sender uint32 // the last user of the range; no run gets it, see killUser
	locks  string
	log    *slog.Logger

	mu   sync.Mutex
	next int
}

// user is a user that a run holds.
type user struct {
	id   uint32
	lock *os.File
}

// newUsers returns the users for a setting. It returns nil if programs run as the worker's own
// user; why is the reason then.
func newUsers(setting string, log *slog.Logger) (u *users, why string, err error) {
	r, auto, none, err := parseUsers(setting)
	switch {
	case err != nil:
		return nil, "", err
	case none:
		return nil, "it is switched off", nil
	}
	if missing := missingCapabilities(); missing != "" {
		if !auto {
			return nil, "", fmt.Errorf("the worker may not change the user of programs: it lacks %s", missing)
		}
		return nil, "the worker lacks " + missing, nil
	}
	if auto {
		if r = automatic(); r.size() < 2 {
			return nil, "no user ids are free in this container", nil
		}
	} else if !mapped("/proc/self/uid_map", r) || !mapped("/proc/self/gid_map", r) {
		return nil, "", fmt.Errorf("the user ids %d-%d do not exist in this container", r.first, r.last)
	}
	locks, err := lockFolder()
	if err != nil {
		return nil, "", err
	}
	sender := r.last
	r.last--
	if err := killUser(sender, sender); err != nil {
		return nil, "", fmt.Errorf("the worker cannot end the processes of other users: %w", err)
	}
	// Workers start at different places, so that they rarely try the same user.
	return &users{
		userRange: r, stated: !auto, sender: sender, locks: locks, log: log, next: os.Getpid() * 37 % r.size(),
	}, "", nil
}

func automatic() userRange {
	for _, r := range automaticUsers {
		if mapped("/proc/self/uid_map", r) && mapped("/proc/self/gid_map", r) {
			return r
		}
	}
	return userRange{1, 1}
}

// mapped reports whether a range exists in the user namespace of this process.
func mapped(file string, r userRange) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err == nil && inside <= uint64(r.first) &&
			uint64(r.last) < inside+count {
			return true
		}
	}
	return false
}

// usersFolder is the name of the folder of the users' locks. Workers of other versions use it, too.
const usersFolder = "niyanta-exec-uids"

// lockFolder returns the folder of the users' locks. All workers of a machine use the same folder,
// and only they can write to it.
func lockFolder() (string, error) {
	var errs []error
	for _, parent := range []string{"/run", "/tmp"} {
		folder := filepath.Join(parent, usersFolder)
		if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			errs = append(errs, err)
			continue
		}
		if !ownedFolder(folder) {
			errs = append(errs, fmt.Errorf("%s is not a folder of this user alone", folder))
			continue
		}
		return folder, nil
	}
	return "", fmt.Errorf("no place for the locks of programs' users: %w", errors.Join(errs...))
}

// take returns a user that no run of any worker on this machine has and that has no processes.
func (u *users) take() (*user, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for range u.size() {
		id := u.first + uint32(u.next) //nolint:gosec // below the range's size
		u.next = (u.next + 1) % u.size()
		f, err := os.OpenFile(filepath.Join(u.locks, strconv.FormatUint(uint64(id), 10)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock a user: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			_ = f.Close() // another run has it
			continue
		}
		if u.clear(id) {
			one := &user{id, f}
			one.removeIPC() // of a worker that died
			return one, nil
		}
		_ = f.Close() // unlocks it
	}
	return nil, transient("no_user", fmt.Errorf("none of the %d users for programs is free", u.size()))
}

// clear reports whether a user without a lock has no processes. It kills what a worker that died
// left there. If the processes may belong to somebody else, it leaves them alone, and the user is
// not used.
func (u *users) clear(id uint32) bool {
	found := (&identity{uid: id, own: true}).claim()
	if len(found) == 0 {
		return true
	}
	for i := range found {
		if mark, _ := found[i].mark(); mark == "" && !u.stated {
			return false
		}
	}
	u.log.Warn("killing what a run of a worker that is gone left", "uid", id, "processes", len(found))
	return kin.eradicate(&identity{uid: id, own: true, sender: u.sender}) == nil
}

// leftovers are the folders besides the scratch directory in which a program can leave files.
var leftovers = []string{"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"}

// giveBack removes the files that the user's programs left in the temporary folders, and what else
// outlives them, and unlocks the user.
func (u *user) giveBack() {
	u.removeIPC()
	for _, folder := range leftovers {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == u.id {
					// Best effort: it is long until another run gets this user.
					_ = os.RemoveAll(filepath.Join(folder, e.Name()))
				}
			}
		}
	}
	_ = u.lock.Close() // unlocks it
}
