package postgres

import (
	"time"

	"golang.org/x/sys/unix"
)

// boundUnacknowledged has a connection fail when what was sent is not acknowledged for d.
func boundUnacknowledged(fd uintptr, d time.Duration) error {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds())) //nolint:gosec // a file descriptor fits
}
