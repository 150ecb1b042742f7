package main

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/jedib0t/go-pretty/v6/text"

	niyanta "github.com/niyanta/niyanta/sdk"
)

const (
	barInterval = 100 * time.Millisecond
	barLength   = 20
	// barExtra is the width of what follows the message, without the bar: brackets, percentage,
	// time.
	barExtra = 36
)

// bar is a progress bar on a terminal. Without a terminal it shows no progress, and only say
// prints.
type bar struct {
	out     io.Writer
	w       progress.Writer // nil without a terminal
	tracker *progress.Tracker
	width   int
}

// newBar returns a bar. A silent one shows no progress.
func newBar(out io.Writer, silent bool, id string) *bar {
	b := &bar{out: out}
	if silent || !isTerminal(out) {
		return b
	}
	b.width = terminalWidth(out)
	b.w, b.tracker = progress.NewWriter(), &progress.Tracker{Message: id, Total: 100}
	b.w.SetOutputWriter(out)
	b.w.SetUpdateFrequency(barInterval)
	b.w.SetTrackerLength(barLength)
	b.w.Style().Visibility.Value = false
	b.w.AppendTracker(b.tracker)
	go b.w.Render()
	return b
}

// show shows the status and the progress of a workload.
func (b *bar) show(w *niyanta.Workload) {
	if b.w == nil {
		return
	}
	message := fmt.Sprintf("%s %s %s", w.WorkloadID, w.Status, printable(or(w.ProgressMessage, "")))
	if room := b.width - barLength - barExtra; room > len(w.WorkloadID) {
		message = text.Snip(message, room, "…")
	}
	b.tracker.UpdateMessage(message)
	b.tracker.SetValue(int64(w.ProgressPercent))
}

// say prints a line above the bar.
func (b *bar) say(format string, args ...any) {
	if b.w != nil {
		b.w.Log(printable(fmt.Sprintf(format, args...)))
		return
	}
	_, _ = fmt.Fprintln(b.out, printable(fmt.Sprintf(format, args...)))
}

// stop ends the bar.
func (b *bar) stop() {
	if b.w == nil {
		return
	}
	if b.tracker.Value() >= 100 {
		b.tracker.MarkAsDone()
	} else {
		b.tracker.MarkAsErrored()
	}
	b.w.Stop()
	for b.w.IsRenderInProgress() {
		time.Sleep(barInterval / 10)
	}
	b.w = nil
}
