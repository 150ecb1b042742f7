//go:build unix

package conformance

import (
	"os/exec"
	"syscall"
)

// ownGroup puts the command into a process group of its own.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills the command and everything that it has started and that stayed in its group.
func killGroup(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT) // a group that is gone needs nothing
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}

// terminate asks the worker to end.
func (p *process) terminate() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

// freeze stops the worker, and thaw continues it.
func (p *process) freeze() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGSTOP) }
func (p *process) thaw() error   { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGCONT) }
