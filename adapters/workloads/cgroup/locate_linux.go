package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// controllers are what a tree needs, by version. In version 2, every group counts CPU time.
var controllers = map[int][]string{1: {"memory", "cpu", "cpuacct", "pids"}, 2: {"memory", "cpu", "pids"}}

// enableAll lets the groups in a group of version 2 have limits.
const enableAll = "+memory +cpu +pids"

// workerGroup is the group of the worker itself, if it had to leave its group: in version 2, a group
// that has groups with limits can have no processes.
const workerGroup = "niyanta-worker"

// locate returns the folders of this process's groups by controller. Version 1 is used only if a
// controller is in no group of version 2. mounts and own are the texts of /proc/self/mountinfo and
// /proc/self/cgroup.
func locate(mounts, own string) (of map[string]string, version int, err error) {
	paths := map[string]string{} // of this process in each hierarchy; "" stands for version 2
	for line := range strings.Lines(own) {
		if parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3); len(parts) == 3 {
			for c := range strings.SplitSeq(parts[1], ",") {
				paths[c] = parts[2]
			}
		}
	}
	v1, v2 := map[string]string{}, ""
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		fields, system := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(system) < 3 {
			continue
		}
		root, point := unescape(fields[3]), unescape(fields[4])
		switch system[0] {
		case "cgroup2":
			v2 = within(root, point, paths[""])
		case "cgroup":
			for c := range strings.SplitSeq(system[2], ",") {
				if path, ok := paths[c]; ok && slices.Contains(controllers[1], c) {
					v1[c] = within(root, point, path)
				}
			}
		}
	}
	if v2 != "" {
		offered, err := os.ReadFile(filepath.Join(v2, "cgroup.controllers"))
		if err == nil && includes(strings.Fields(string(offered)), controllers[2]) {
			return map[string]string{"memory": v2, "cpu": v2, "pids": v2}, 2, nil
		}
	}
	var missing []string
	for _, c := range controllers[1] {
		if v1[c] == "" {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return nil, 0, fmt.Errorf("no control group has %s", strings.Join(missing, ", "))
	}
	return v1, 1, nil
}

// within returns the folder of a group. root is what of the hierarchy is mounted at point. A path
// that is not below root is another view of the mounted part, as in a container.
func within(root, point, path string) string {
	if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/")); ok && (rest == "" || rest[0] == '/') {
		return filepath.Join(point, rest)
	}
	return point
}

// unescape decodes a path of /proc/self/mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func includes(all, wanted []string) bool {
	for _, w := range wanted {
		if !slices.Contains(all, w) {
			return false
		}
	}
	return true
}

// delegate returns the group of version 2 in which this process may make groups with limits. If the
// group has processes, and all of them are of this program, it moves them into a group of their own.
func delegate(own string) (string, error) {
	if filepath.Base(own) == workerGroup {
		own = filepath.Dir(own)
	}
	switches := filepath.Join(own, "cgroup.subtree_control")
	enabled, err := os.ReadFile(switches)
	if err != nil {
		return "", err
	}
	if includes(strings.Fields(string(enabled)), controllers[2]) {
		return own, nil
	}
	err = write(switches, enableAll)
	if !errors.Is(err, unix.EBUSY) {
		return own, err
	}
	members, err := processes(own)
	if err != nil {
		return "", err
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", err
	}
	for _, pid := range members {
		if its, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && its != program {
			return "", fmt.Errorf("process %d shares the control group %s", pid, own)
		}
	}
	leaf := filepath.Join(own, workerGroup)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) { //nolint:gosec // as all groups
		return "", err
	}
	for _, pid := range members {
		err := write(filepath.Join(leaf, "cgroup.procs"), strconv.Itoa(pid))
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return "", err
		}
	}
	return own, write(switches, enableAll)
}
