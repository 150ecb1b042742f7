package main

import (
	"os/exec"
	"syscall"
)

// endWithDemo has a process end when the demo is killed.
func endWithDemo(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
