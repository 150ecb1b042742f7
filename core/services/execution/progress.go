package execution

import (
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// progressInterval is the shortest time between two progress reports of one run.
	progressInterval = time.Second
	// pullStep is the progress in percent after which the worker takes a checkpoint.
	pullStep = 10
)

// Report implements ports.Progress.
func (r *run) Report(percent float64, message string) {
	a := r.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.abandoned || r.state == ports.RunReporting || percent != percent {
		return
	}
	r.percent = min(max(percent, 0), 100)
	r.reported++
	r.message = domain.CleanAndCut(message, domain.MaxProgressMessage)
	p := r.percent
	r.progress = &ports.Report{Event: domain.EventProgress, Percent: &p, Message: r.message}
	a.markMovedLocked(r)
	a.nudge()
	if r.percent >= r.pulledAt+pullStep && !r.pulling {
		r.pulledAt = r.percent
		a.spawnPullLocked(r)
	}
}

// Used implements ports.Progress.
func (r *run) Used(c domain.Consumption) {
	r.agent.mu.Lock()
	defer r.agent.mu.Unlock()
	r.used = c
}

func (a *Agent) markMovedLocked(r *run) {
	if !r.isMoved {
		r.isMoved = true
		a.moved = append(a.moved, r)
	}
}
