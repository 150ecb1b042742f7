package workloads

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Isolation says what protects the worker and the runs from programs. Workers show it in their tag
// exec.isolation.
type Isolation string

// The isolations.
const (
	// IsolationUser: every run has its own user. It can neither read nor signal the worker and
	// other runs.
	IsolationUser Isolation = "uid"
	// IsolationDumpable: programs run as the worker's user, but the worker is not dumpable, so that
	// they cannot read its environment, memory and descriptors. Without namespaces of their own they
	// can signal the worker, and runs are not protected from each other.
	IsolationDumpable Isolation = "dumpable"
	// IsolationNone: a program can do everything that the worker can.
	IsolationNone Isolation = "none"
)

// userRange is a range of user ids, both ends included. Each user's group has the same number.
type userRange struct{ first, last uint32 }

func (r userRange) size() int { return int(r.last-r.first) + 1 }

// parseUsers reads NIYANTA_EXEC_UIDS: "auto", "none" or "first-last".
func parseUsers(s string) (r userRange, auto, none bool, err error) {
	switch s {
	case "", "auto":
		return r, true, false, nil
	case "none":
		return r, false, true, nil
	}
	from, to, ok := strings.Cut(s, "-")
	first, err1 := strconv.ParseUint(from, 10, 32)
	last, err2 := strconv.ParseUint(to, 10, 32)
	if !ok || err1 != nil || err2 != nil || first >= last || first < 1000 || last >= math.MaxInt32 ||
		last-first >= 1_000_000 {
		return r, false, false,
			errors.New("must be auto, none, or a range first-last of 2 to 1000000 user ids from 1000 on")
	}
	return userRange{uint32(first), uint32(last)}, false, false, nil
}

// ValidateUsers checks the setting for the users of programs.
func ValidateUsers(s string) error {
	_, _, _, err := parseUsers(s)
	return err
}
