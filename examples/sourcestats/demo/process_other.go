//go:build !linux

package main

import "os/exec"

// endWithDemo does nothing: processes outlive a demo that is killed.
func endWithDemo(*exec.Cmd) {}
