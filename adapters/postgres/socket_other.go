//go:build !linux

package postgres

import "time"

// boundUnacknowledged does nothing: the deadlines of calls and keepalive probes find silent
// connections, later.
func boundUnacknowledged(uintptr, time.Duration) error { return nil }
