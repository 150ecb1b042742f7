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
	// barExtra is what stands beside message and bar: brackets, percentage and time.
	barExtra = 36
)

// bar is a progress bar on a terminal. Elsewhere it only passes on what it is told to say.
type bar struct {
	out     io.Writer
	w       progress.Writer // nil: no bar
	tracker *progress.Tracker
	width   int
}

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
