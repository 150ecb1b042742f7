package postgres

import (
	"time"

	"golang.org/x/sys/unix"
)

// boundUnacknowledged has a connection fail when what was sent is not acknowledged for d.
func boundUnacknowledged(fd uintptr, d time.Duration) error {
	descriptor := int(fd) //nolint:gosec // a file descriptor fits
	return unix.SetsockoptInt(descriptor, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
}
