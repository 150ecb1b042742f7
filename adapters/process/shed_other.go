//go:build !linux

package process

import "os/exec"

func shed() (Protection, error) { return ProtectionNone, nil }

func inForce() Protection { return ProtectionNone }

func handOver(*exec.Cmd) (release func(), err error) { return func() {}, nil }

// CloseOnExec does nothing here.
func CloseOnExec() {}
