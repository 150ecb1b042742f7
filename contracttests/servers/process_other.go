//go:build !linux

package servers

import "syscall"

// EndWithParent does nothing. Processes outlive a test process that is killed.
func EndWithParent(*syscall.SysProcAttr, syscall.Signal) {}
