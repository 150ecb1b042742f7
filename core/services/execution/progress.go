package execution

import (
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// progressEvery thins progress reports of one run.
	progressEvery = time.Second
	// linesPerReport bounds the log lines of one report; maxLines and maxLineBytes what a run may have waiting.
	linesPerReport = 500
	maxLines       = 10_000
	maxLineBytes   = 1 << 20
	// pullStep is the progress in percent after which a checkpoint is taken automatically.
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
	r.message = domain.CleanAndCut(message, domain.MaxProgressMessage)
	p := r.percent
	r.progress = &ports.Report{Event: domain.EventProgress, Percent: &p, Message: r.message}
	a.markDirty(r)
	if r.percent >= r.pulledAt+pullStep && !r.pulling {
		r.pulledAt = r.percent
		a.spawnPull(r)
	}
}

// Log implements ports.Progress.
func (r *run) Log(e ports.LogEntry) {
	a := r.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.abandoned || r.state == ports.RunReporting {
		return
	}
	if e.At.IsZero() {
		e.At = a.clock.Now().UTC()
	}
	var known bool
	if e.Level, known = domain.LogLevel(e.Level); !known {
		e.Level = "info" // a name that only the program knows must not cost the line
	}
	e.Message = domain.CleanAndCut(e.Message, domain.MaxLogMessage)
	if len(r.lines) >= maxLines || r.lineBytes+len(e.Message) > maxLineBytes {
		r.dropped++
	} else {
		r.lines = append(r.lines, e)
		r.lineBytes += len(e.Message)
	}
	a.markDirty(r)
}

func (a *Agent) markDirty(r *run) {
	if !r.isDirty {
		r.isDirty = true
		a.dirty = append(a.dirty, r)
	}
	a.nudge()
}

// collect moves what dirty runs have to say into the outbox; a.mu is held.
func (a *Agent) collect(now time.Time) {
	var later []*run
	for _, r := range a.dirty {
		r.isDirty = false
		if r.abandoned || r.state == ports.RunReporting {
			continue
		}
		a.flushLines(r)
		if r.progress == nil {
			continue
		}
		if now.Sub(r.progressAt) < progressEvery {
			r.isDirty = true
			later = append(later, r)
			continue
		}
		a.post(r, *r.progress)
		r.progress, r.progressAt = nil, now
	}
	a.dirty = later
}

// flushLines moves a run's log lines into the outbox; a.mu is held.
func (a *Agent) flushLines(r *run) {
	if r.dropped > 0 {
		r.lines = append(r.lines, ports.LogEntry{
			At: a.clock.Now().UTC(), Level: "warn",
			Message: fmt.Sprintf("%d log lines were dropped: the run writes faster than they can be delivered", r.dropped),
		})
		r.dropped = 0
	}
	for len(r.lines) > 0 {
		n := min(len(r.lines), linesPerReport)
		a.post(r, ports.Report{Event: domain.EventLog, Lines: r.lines[:n:n]})
		r.lines = r.lines[n:]
	}
	r.lines, r.lineBytes = nil, 0
}
