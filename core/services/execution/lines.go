package execution

import (
	"fmt"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Log lines are sent after everything else. Few of a run's lines may wait; the newest are kept,
// because the last ones say why a run ended. They are sent once the store knows that the run has
// started. The last ones go with the run's outcome, so that they commit no later than it.
const (
	// linesPerReport and lineBytesPerReport bound the lines of one report, lineBytesPerCall those
	// of one call.
	linesPerReport     = 500
	lineBytesPerReport = 128 << 10
	lineBytesPerCall   = 256 << 10
	// linesLimit and lineBytesLimit bound the waiting lines of one run.
	linesLimit     = 10_000
	lineBytesLimit = 1 << 20
	// lineOverhead is added to the length of each line's text.
	lineOverhead = 64
	// outcomeDelay is how long the outcome of a run waits for lines that do not fit in one report.
	outcomeDelay = 5 * time.Second
)

func lineSize(e ports.LogEntry) int {
	return len(e.Message) + len(e.Details) + len(e.Stream) + lineOverhead
}

func linesSize(lines []ports.LogEntry) (n int) {
	for i := range lines {
		n += lineSize(lines[i])
	}
	return n
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
		e.At = a.deps.Clock.Now().UTC()
	}
	if _, known := domain.LogLevel(e.Level); !known {
		e.Level = domain.LevelInfo // keep the line of an unknown level
	}
	e = e.Clean()
	r.lines = append(r.lines, e)
	r.lineBytes += lineSize(e)
	r.dropOldestLocked(linesLimit, lineBytesLimit)
	a.markLoggedLocked(r)
	a.nudgeLines()
}

func (a *Agent) markLoggedLocked(r *run) {
	if !r.isLogged {
		r.isLogged = true
		a.logged = append(a.logged, r)
	}
}

// dropOldestLocked drops the oldest lines until n lines of size bytes remain, or fewer.
func (r *run) dropOldestLocked(n, size int) {
	for len(r.lines) > n || r.lineBytes > size {
		r.lineBytes -= lineSize(r.lines[0])
		r.lines[0] = ports.LogEntry{} // let the text be collected
		r.lines = r.lines[1:]
		r.dropped++
	}
}

// cutLinesLocked moves the oldest lines into a report. If lines were dropped, a first line says how
// many.
func (r *run) cutLinesLocked(o *outgoing) {
	n, size := 0, 0
	for n < len(r.lines) && n < linesPerReport-1 && size+lineSize(r.lines[n]) <= lineBytesPerReport {
		size += lineSize(r.lines[n])
		n++
	}
	lines := make([]ports.LogEntry, 0, n+1)
	if r.dropped > 0 {
		at := r.agent.deps.Clock.Now().UTC()
		if n > 0 {
			at = r.lines[0].At
		}
		lines = append(lines, ports.LogEntry{At: at, Level: domain.LevelWarn, Message: fmt.Sprintf(
			"%d log lines were dropped: the run writes faster than they can be delivered", r.dropped)})
	}
	lines = append(lines, r.lines[:n]...)
	o.report.Lines, o.dropped = lines, r.dropped
	clear(r.lines[:n])
	r.lines, r.lineBytes, r.dropped = r.lines[n:], r.lineBytes-size, 0
}

// putBackLinesLocked puts the lines of an unanswered report back. The agent's mu is held.
func (r *run) putBackLinesLocked(o outgoing) {
	back := o.report.Lines
	if o.dropped > 0 {
		back = back[1:]
	}
	r.lines = append(append(make([]ports.LogEntry, 0, len(back)+len(r.lines)), back...), r.lines...)
	r.lineBytes += linesSize(back)
	r.dropped += o.dropped
	r.dropOldestLocked(linesLimit, lineBytesLimit)
	r.agent.markLoggedLocked(r)
}

// fitLocked reports whether all waiting lines fit into one report.
func (r *run) fitLocked() bool {
	return len(r.lines) < linesPerReport && r.lineBytes <= lineBytesPerReport
}

// lastLinesLocked puts the remaining lines into the run's last report, and reports whether that
// report may be sent. It may not while older lines are under way or must go before it. If those
// cannot be delivered in time, the report goes with the newest lines.
func (r *run) lastLinesLocked(o *outgoing, now time.Time) bool {
	if o.report.Lines != nil {
		return true // the report was sent before
	}
	if r.sendingLines != nil || !r.fitLocked() && !r.gaveUpLocked(now) {
		return false
	}
	r.dropOldestLocked(linesPerReport-1, lineBytesPerReport)
	if len(r.lines) > 0 || r.dropped > 0 {
		r.cutLinesLocked(o)
	}
	return true
}

// gaveUpLocked reports whether the time for delivering the lines of an ended run is over.
func (r *run) gaveUpLocked(now time.Time) bool {
	return r.state == ports.RunReporting && now.Sub(r.endedAt) >= outcomeDelay
}

// takeLinesLocked moves a batch of log lines into f, one report for each run. Runs take turns, so
// that a run that floods its output leaves room for the others. The agent's mu is held.
func (a *Agent) takeLinesLocked(f *flight, now time.Time) {
	var waiting, again []*run
	size := 0
	for _, r := range a.logged {
		r.isLogged = false
		last := r.state == ports.RunReporting && r.fitLocked() || r.gaveUpLocked(now) // the outcome carries them
		if r.abandoned || last || len(r.lines) == 0 {
			continue
		}
		r.isLogged = true
		if !r.acknowledged || r.sendingLines != nil || size >= lineBytesPerCall || len(f.batch) >= reportBatch {
			waiting = append(waiting, r)
			continue
		}
		o := outgoing{run: r, report: ports.Report{
			ID: a.deps.IDs.New(""), WorkloadID: r.key.WorkloadID, Generation: r.key.Generation, Event: domain.EventLog,
		}}
		r.cutLinesLocked(&o)
		size += linesSize(o.report.Lines)
		r.sendingLines = f
		f.batch = append(f.batch, o)
		again = append(again, r)
	}
	a.logged = slices.Concat(waiting, again)
}
