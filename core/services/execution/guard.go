package execution

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// The failure types of runs whose code did not return.
const (
	failurePanic  = "panic"
	failureGoexit = "goexit"
)

// errNoReturn is the error of a call that neither returned nor panicked.
var errNoReturn = errors.New("the run's code did not return")

// guard calls the run's own code and reports whether it returned. A panic ends in guard and fails
// the run. runtime.Goexit also fails the run, but it cannot be stopped: guard does not return then,
// so its callers do what is necessary in deferred calls.
func (r *run) guard(where string, f func()) (returned bool) {
	defer func() {
		if !returned {
			r.crashed(where, recover())
		}
	}()
	f()
	return true
}

// crashed fails the run because its code did not return. p is what it panicked with. It is nil
// after runtime.Goexit.
func (r *run) crashed(where string, p any) {
	what := &ports.RunError{Type: failureGoexit, Err: fmt.Errorf("%s ended its goroutine (runtime.Goexit)", where)}
	if p != nil {
		what = &ports.RunError{Type: failurePanic, Err: fmt.Errorf("panic in %s: %v", where, p)}
	}
	r.Log(ports.LogEntry{Level: domain.LevelError, Message: fmt.Sprintf("%v\n%s", what, debug.Stack())})
	a := r.agent
	r.log.Error("run failed: its code did not return", "workload_type", r.assignment.Type, "error", what)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.crash != nil || r.state == ports.RunReporting {
		return
	}
	r.crash = what
	a.cancelRunLocked(r, what) // Execute may still run when Checkpoint panics
}

// fault returns why the run's code did not return, or nil.
func (r *run) fault() error {
	r.agent.mu.Lock()
	defer r.agent.mu.Unlock()
	if r.crash == nil {
		return nil
	}
	return r.crash
}
