//go:build !windows

package blob

import (
	"errors"
	"syscall"
)

// notFolder reports whether a part of a path is a file.
func notFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
