//go:build linux || darwin

package workloads

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Exit codes 64 to 78 (sysexits.h) say that trying again is pointless.
const firstPermanent, lastPermanent = 64, 78

// signalled is what shells add to the number of the signal that ended a program, as an exit code.
const signalled = 128

// valueLimit bounds the value that a program sends, so that the ends of its output also fit into
// the result.
const valueLimit = domain.MaxResult - 5*outputTail

// ending is how a program ended.
type ending struct {
	known  bool // otherwise the other fields are zero
	status syscall.WaitStatus
	cpu    time.Duration
	peak   int64 // its highest memory, in bytes; 0 if that is not known
}

// endingOf returns how a process ended that was reaped.
func endingOf(state *os.ProcessState) (e ending) {
	if state == nil {
		return e
	}
	e.status, e.known = state.Sys().(syscall.WaitStatus)
	e.cpu, e.peak = state.UserTime()+state.SystemTime(), peakOf(state)
	return e
}

// execResult is the result of a workload of type exec. What cannot be stored as it is has an
// encoded form; see keep.go.
type execResult struct {
	ExitCode        int             `json:"exit_code"`
	Stdout          json.RawMessage `json:"stdout"`
	Stderr          json.RawMessage `json:"stderr"`
	StdoutTruncated bool            `json:"stdout_truncated,omitempty"`
	StderrTruncated bool            `json:"stderr_truncated,omitempty"`
	Value           json.RawMessage `json:"value,omitempty"`
}

// result returns how the run ended. err is why the program could not be waited for, and over how it
// went over a limit. A program that was told to stop has done its work only if it
// sent a result. Exit code 0 alone means that it stopped.
func (p *program) result(
	ctx context.Context, end ending, err, over error, stdout, stderr *output,
) (domain.JSON, error) {
	if fault := p.talk.Load().fault(); fault != nil {
		return "", fault
	}
	if !end.known {
		return "", transient("signal", fmt.Errorf("how the program ended is not known: %w", err))
	}
	if over != nil {
		return "", transient("resources", over)
	}
	ws, told := end.status, p.told.Load()
	code := ws.ExitStatus()
	switch value := p.talk.Load().value(); {
	case ws.Signaled() && ctx.Err() != nil, told && code == signalled+int(syscall.SIGTERM), told && code == 0 &&
		value == nil:
		return "", context.Cause(ctx)
	case ws.Signaled():
		return "", transient("signal", fmt.Errorf("killed by signal %d (%s)%s", ws.Signal(), ws.Signal(),
			stderr.lastLine()))
	case code >= firstPermanent && code <= lastPermanent:
		return "", permanent("exit_status", fmt.Errorf("exit status %d%s", code, stderr.lastLine()))
	case code != 0:
		return "", transient("exit_status", fmt.Errorf("exit status %d%s", code, stderr.lastLine()))
	}
	r := execResult{}
	if value := p.talk.Load().value(); value != nil {
		r.Value = keepJSON(value, "application/json", valueLimit)
	}
	r.Stdout, r.StdoutTruncated = stdout.tail()
	r.Stderr, r.StderrTruncated = stderr.tail()
	b, err := json.Marshal(r)
	return domain.JSON(b), err
}
