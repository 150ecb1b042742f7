//go:build linux || darwin

package folder

import (
	"os"

	"golang.org/x/sys/unix"
)

// Lock opens and locks a folder until the result is closed, or its process ends. It returns nil if
// the folder is locked, or does not exist any more, or is none.
func Lock(path string) *os.File {
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
	_ = f.Close() // unlocks it
	return nil
}
