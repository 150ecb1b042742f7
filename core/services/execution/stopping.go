package execution

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Stopping runs: what has been told to end and has not returned. Such a run keeps its slot and stays in the inventory,
// whatever session it is of, until its handler returns: nothing can end a goroutine from outside.

// noteStuck makes visible that a run ignores the end of its context: in the log, and in the inventory, where the coordinator counts it; a.mu is held.
func (a *Agent) noteStuck(r *run) {
	r.stuck = true
	a.log.Error("run ignores the end of its context; its slot stays taken until it returns", "workload_id", string(r.key.WorkloadID),
		"generation", r.key.Generation, "type", r.assignment.Type, "cause", context.Cause(r.ctx))
	a.hurry()
}

// letGo tells the coordinator that a run that had been stopped has returned, so that its slot comes back at once and not with
// the next inventory. The answer does not matter: the run is no longer this session's, or it is and moves on; a.mu is held.
func (a *Agent) letGo(r *run) {
	if !a.live || len(a.outbox) >= outboxMax {
		return
	}
	a.outbox = append(a.outbox, outgoing{report: ports.Report{
		ID: a.ids.New(""), WorkloadID: r.key.WorkloadID, Generation: r.key.Generation, Event: domain.EventRelease, Reason: "the run was stopped",
	}})
	a.nudge()
}

// cancelAll ends the contexts of all runs.
func (a *Agent) cancelAll(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.all() {
		a.cancelRun(r, cause)
	}
}

// patience is how long the runs that were told to end may still take to return.
func (a *Agent) patience() (longest time.Duration) {
	now := a.clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.runs {
		if r.state != ports.RunReporting {
			longest = max(longest, r.cancelledAt.Add(a.cfg.StopGrace).Sub(now))
		}
	}
	return longest
}

// left names the runs that have not returned.
func (a *Agent) left() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for _, r := range a.all() {
		if r.state != ports.RunReporting {
			names = append(names, string(r.key.WorkloadID))
		}
	}
	return names
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
	return fmt.Errorf("drain did not finish within %s: %s%s did not return; the coordinator gives them to others when the lease is over",
		timeout, strings.Join(names[:min(len(names), namesMax)], ", "), more)
}
