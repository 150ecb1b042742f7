package workloads

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// objects are the kinds of System V objects. They belong to a user and outlive all processes.
var objects = []struct {
	file string
	// remove is the call whose last argument but one is IPC_RMID.
	remove func(id uintptr) unix.Errno
}{
	{"/proc/sysvipc/shm", func(id uintptr) unix.Errno {
		_, _, errno := unix.RawSyscall(unix.SYS_SHMCTL, id, unix.IPC_RMID, 0)
		return errno
	}},
	{"/proc/sysvipc/sem", func(id uintptr) unix.Errno { // of the set, so no semaphore is named
		_, _, errno := unix.RawSyscall6(unix.SYS_SEMCTL, id, 0, unix.IPC_RMID, 0, 0, 0)
		return errno
	}},
	{"/proc/sysvipc/msg", func(id uintptr) unix.Errno {
		_, _, errno := unix.RawSyscall(unix.SYS_MSGCTL, id, unix.IPC_RMID, 0)
		return errno
	}},
}

// removeIPC removes the shared memory, the semaphores and the message queues of System V that the
// user's programs left. The kernel does so for programs in namespaces of their own.
func (u *user) removeIPC() {
	var left [][]uintptr
	found := 0
	for _, o := range objects {
		ids := objectsOf(o.file, u.id)
		left, found = append(left, ids), found+len(ids)
	}
	if found == 0 {
		return
	}
	// Only their owner may remove them, and who may administer the system. The real and the saved user
	// stay those of the worker, so that the thread is out of reach for processes of this user. Best
	// effort, as for files.
	_ = onThreadOfItsOwn(func() error {
		keep := ^uintptr(0)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(u.id), keep); errno != 0 {
			return errno
		}
		for n, ids := range left {
			for _, id := range ids {
				_ = objects[n].remove(id) // removed meanwhile is fine
			}
		}
		return nil
	})
}

// objectsOf returns the ids of the objects in a file of the kernel's that a user has made.
func objectsOf(file string, uid uint32) (ids []uintptr) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil // this kernel has none
	}
	head, rest, _ := bytes.Cut(b, []byte("\n"))
	id, creator := 1, -1
	for n, name := range strings.Fields(string(head)) {
		if name == "cuid" { // the owner can give it to another user
			creator = n
		}
	}
	for line := range strings.Lines(string(rest)) {
		fields := strings.Fields(line)
		if creator < 0 || len(fields) <= creator || fields[creator] != strconv.FormatUint(uint64(uid), 10) {
			continue
		}
		if n, err := strconv.ParseUint(fields[id], 10, 31); err == nil {
			ids = append(ids, uintptr(n))
		}
	}
	return ids
}
