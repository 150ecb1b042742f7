//go:build !unix

package conformance

import (
	"errors"
	"os/exec"
)

var errNoSignals = errors.New("this system has no signals: run the conformance kit on a Unix")

func ownGroup(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

func (p *process) terminate() error { return errNoSignals }
func (p *process) freeze() error    { return errNoSignals }
func (p *process) thaw() error      { return errNoSignals }
