package execution

import (
	"fmt"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

// Draining reports whether the worker takes no new work.
func (a *Agent) Draining() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining
}

// Leave makes the worker refuse new work for good, because the process is about to end. It comes
// before the first release: a coordinator that does not know of the drain would place the released
// work here again.
func (a *Agent) Leave() {
	a.refuse()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaving = true
}

// refuse makes the worker refuse new work.
func (a *Agent) refuse() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.draining {
		a.draining = true
		a.deps.Log.Info("draining", "runs", len(a.runs))
	}
}

// Drain makes the worker refuse new work. Every run saves a checkpoint, stops, and is released.
func (a *Agent) Drain() {
	a.refuse()
	a.mu.Lock()
	rs := a.allLocked()
	a.mu.Unlock()
	for _, r := range rs {
		a.halt(r, ports.ErrDraining)
	}
}

// Undrain makes the worker take work again, unless it leaves.
func (a *Agent) Undrain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining && !a.leaving {
		a.draining = false
		a.deps.Log.Info("no longer draining")
	}
}

// namesLimit bounds how many runs an error names.
const namesLimit = 10

// undrained returns an error that says why a drain did not finish in time.
func (a *Agent) undrained(timeout time.Duration) error {
	names := a.left()
	if len(names) == 0 {
		return fmt.Errorf("drain did not finish within %s: reports are not answered", timeout)
	}
	more := ""
	if len(names) > namesLimit {
		more = fmt.Sprintf(" and %d more", len(names)-namesLimit)
	}
	return fmt.Errorf("drain did not finish within %s: %s%s did not return; the coordinator gives them to others "+
		"when the lease is over",
		timeout, strings.Join(names[:min(len(names), namesLimit)], ", "), more)
}

// left returns the names of the runs that have not returned.
func (a *Agent) left() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for _, r := range a.allLocked() {
		if r.state != ports.RunReporting {
			names = append(names, string(r.key.WorkloadID))
		}
	}
	return names
}
