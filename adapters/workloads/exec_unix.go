//go:build unix

package workloads

import "golang.org/x/sys/unix"

// mayExecute reports whether the worker may execute a file.
func mayExecute(path string) bool { return unix.Access(path, unix.X_OK) == nil }
