package box

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// mapUser has the user namespace of this process know the user and group that it had outside.
func mapUser(uid, gid int) error {
	for _, f := range []struct{ name, text string }{
		{"setgroups", "deny"}, {"uid_map", fmt.Sprintf("%d %d 1", uid, uid)}, {"gid_map", fmt.Sprintf("%d %d 1", gid, gid)},
	} {
		if err := os.WriteFile("/proc/self/"+f.name, []byte(f.text), 0); err != nil {
			return err
		}
	}
	return nil
}

// mount makes the layout in the mount namespace of this process. step is what failed.
func (l *Layout) mount() (step string, err error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "keep mounts private", err
	}
	scratch, err := unix.Open(l.Scratch, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "open the scratch directory", err
	}
	defer func() { _ = unix.Close(scratch) }()
	for _, folder := range l.Hidden {
		if err := empty(folder, "0"); err != nil && !errors.Is(err, unix.ENOENT) {
			return "hide a scratch directory", err
		}
	}
	if err := empty(l.Room, "711"); err != nil {
		return "hide scratch directories", err
	}
	place := filepath.Join(l.Room, filepath.Base(l.Scratch))
	if err := unix.Mkdir(place, 0o700); err != nil {
		return "hide scratch directories", err
	}
	// The name is that of the folder behind what was just mounted.
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(scratch), place, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return "show the scratch directory", err
	}
	readOnly := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("", l.Room, "", readOnly, ""); err != nil {
		return "protect the folder of scratch directories", err
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return "mount /proc", err
	}
	return "", nil
}

// empty covers a folder with an empty one.
func empty(folder, mode string) error {
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	return unix.Mount("tmpfs", folder, "tmpfs", flags, "size=16k,nr_inodes=4,mode="+mode)
}
