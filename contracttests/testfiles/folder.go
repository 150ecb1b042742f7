package testfiles

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Credential returns the unprivileged user that servers run as if the tests run as root, otherwise
// nil.
func Credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	var errs []error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return nil, errors.Join(errs...)
}

// Folder makes a temporary folder of the servers' user. Its path is short, because the paths of
// sockets must be.
func Folder(name string) (string, error) {
	dir, err := os.MkdirTemp("", "ny-"+name+"-")
	if err != nil {
		return "", err
	}
	cred, err := Credential()
	if err == nil && cred != nil {
		err = os.Chown(dir, int(cred.Uid), int(cred.Gid))
	}
	return dir, err
}
