//go:build linux || darwin

package hardware

import "syscall"

// freeDiskMB returns what is free on the disk of a folder, 0 if that is not known.
func freeDiskMB(folder string) int {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return 0
	}
	return int(min(s.Bavail*uint64(s.Bsize)>>20, 1<<30)) //nolint:gosec // both are bounded
}
