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

// Leave takes no new work from now on, for good: the worker is to end. What is released before the
// coordinator knows would be placed here again.
func (a *Agent) Leave() {
	a.refuse()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaving = true
}

// refuse takes no new work.
func (a *Agent) refuse() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.draining {
		a.draining = true
		a.deps.Log.Info("draining", "runs", len(a.runs))
	}
}

// Drain takes no new work from now on, and has every run checkpoint, stop and be released.
func (a *Agent) Drain() {
	a.refuse()
	a.mu.Lock()
	rs := a.allLocked()
	a.mu.Unlock()
	for _, r := range rs {
		a.halt(r, ports.ErrDraining)
	}
}

// Undrain takes work again, unless the worker is to end.
func (a *Agent) Undrain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining && !a.leaving {
		a.draining = false
		a.deps.Log.Info("no longer draining")
	}
}

// namesMax bounds how many runs an error names.
const namesMax = 10

// undrained says why a drain did not finish in time.
func (a *Agent) undrained(timeout time.Duration) error {
	names := a.left()
	if len(names) == 0 {
		return fmt.Errorf("drain did not finish within %s: reports are not answered", timeout)
	}
	more := ""
	if len(names) > namesMax {
		more = fmt.Sprintf(" and %d more", len(names)-namesMax)
	}
	return fmt.Errorf("drain did not finish within %s: %s%s did not return; the coordinator gives them to others "+
		"when the lease is over",
		timeout, strings.Join(names[:min(len(names), namesMax)], ", "), more)
}

// left names the runs that have not returned.
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
