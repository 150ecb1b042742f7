package execution

import (
	"fmt"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Log lines go their own way, behind everything else, and what waits of them is bounded: the newest
// are kept, because the last ones say why a run ended. They are sent once the store knows that the
// run has started. The last ones go with the run's outcome, so that they commit no later than it.
const (
	// linesPerReport and lineBytesPerReport bound the lines of one report, lineBytesPerCall those
	// of one call.
	linesPerReport     = 500
	lineBytesPerReport = 128 << 10
	lineBytesPerCall   = 256 << 10
	// maxLines and maxLineBytes bound what waits of one run.
	maxLines     = 10_000
	maxLineBytes = 1 << 20
	// lineOverhead is what a line counts beside its text.
	lineOverhead = 64
	// linesPatience is how long the outcome of a run waits for lines that do not fit in one report.
	linesPatience = 5 * time.Second
)

func lineSize(e ports.LogEntry) int { return len(e.Message) + len(e.Stream) + lineOverhead }

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
	var known bool
	if e.Level, known = domain.LogLevel(e.Level); !known {
		e.Level = "info" // a name that only the program knows must not cost the line
	}
	e.Stream = domain.CleanAndCut(e.Stream, maxStream)
	e.Message = domain.CleanAndCut(e.Message, domain.MaxLogMessage)
	r.lines = append(r.lines, e)
	r.lineBytes += lineSize(e)
	r.dropOldestLocked(maxLines, maxLineBytes)
	a.markLoggedLocked(r)
	a.nudgeLines()
}

// maxStream bounds the name of a line's stream.
const maxStream = 50

func (a *Agent) markLoggedLocked(r *run) {
	if !r.isLogged {
		r.isLogged = true
		a.logged = append(a.logged, r)
	}
}

// dropOldestLocked drops lines until at most n, of at most size, wait.
func (r *run) dropOldestLocked(n, size int) {
	for len(r.lines) > n || r.lineBytes > size {
		r.lineBytes -= lineSize(r.lines[0])
		r.lines[0] = ports.LogEntry{} // not kept alive by the array
		r.lines = r.lines[1:]
		r.dropped++
	}
}

// cutLinesLocked moves the oldest lines into a report. A line before them says how many were
// dropped, if any were.
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
		lines = append(lines, ports.LogEntry{At: at, Level: "warn", Message: fmt.Sprintf(
			"%d log lines were dropped: the run writes faster than they can be delivered", r.dropped)})
	}
	lines = append(lines, r.lines[:n]...)
	o.report.Lines, o.dropped = lines, r.dropped
	clear(r.lines[:n])
	r.lines, r.lineBytes, r.dropped = r.lines[n:], r.lineBytes-size, 0
}

// putBackLinesLocked returns the lines of an unanswered report; the agent's mu is held.
func (r *run) putBackLinesLocked(o outgoing) {
	back := o.report.Lines
	if o.dropped > 0 {
		back = back[1:]
	}
	r.lines = append(append(make([]ports.LogEntry, 0, len(back)+len(r.lines)), back...), r.lines...)
	r.lineBytes += linesSize(back)
	r.dropped += o.dropped
	r.dropOldestLocked(maxLines, maxLineBytes)
	r.agent.markLoggedLocked(r)
}

// fitLocked reports whether one report can carry all lines that wait.
func (r *run) fitLocked() bool {
	return len(r.lines) < linesPerReport && r.lineBytes <= lineBytesPerReport
}

// lastLinesLocked puts the lines that are left into the run's last report, and reports whether it
// may go: not while older ones are on their way or have to go before it. Should those not get
// through, it goes with the newest ones.
func (r *run) lastLinesLocked(o *outgoing, now time.Time) bool {
	if o.report.Lines != nil {
		return true // it has been sent before
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

// gaveUpLocked reports whether the lines of a run that has ended had their time to get through.
func (r *run) gaveUpLocked(now time.Time) bool {
	return r.state == ports.RunReporting && now.Sub(r.endedAt) >= linesPatience
}

// takeLinesLocked moves a batch of log lines into f, at most one report for each run; a.mu is held.
// Runs take turns, so that one that floods its output leaves room for the others.
func (a *Agent) takeLinesLocked(f *flight, now time.Time) {
	var waiting, again []*run
	size := 0
	for _, r := range a.logged {
		r.isLogged = false
		last := r.state == ports.RunReporting && r.fitLocked() || r.gaveUpLocked(now) // its outcome carries them
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
