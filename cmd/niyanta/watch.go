package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func watchCommand(c *cli) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "watch ID",
		Short: "Follow a workload to its end",
		Long: `Follow a workload to its end: a progress bar on a terminal, one line of JSON per change elsewhere.
Exits with 0 when it completed, 3 when it failed, 4 when it was cancelled, 5 when --timeout passed.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			if err := patience("timeout", timeout); err != nil {
				return err
			}
			return c.follow(cmd, cl, args[0], timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this time (default: never)")
	return cmd
}

// lookEvery is the time between two looks at a workload that is followed.
const lookEvery = 500 * time.Millisecond

// follow shows a workload until it is final, and ends with the exit code that says how.
func (c *cli) follow(cmd *cobra.Command, cl *niyanta.Client, id string, timeout time.Duration) error {
	ctx := cmd.Context()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	lines := !terminal(cmd)
	bar := newBar(lines || c.output == "json", id)
	defer bar.stop()
	var last string
	for {
		w, err := cl.Wait(ctx, id, lookEvery)
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return &exit{exitTimeout, fmt.Errorf("%s did not finish within %s", id, timeout)}
		case err != nil && retry(ctx, err):
			continue
		case err != nil:
			return err
		}
		now := fmt.Sprint(w.Status, w.ProgressPercent, or(w.ProgressMessage, ""), w.Generation, w.CheckpointSequence)
		if lines && now != last {
			if err := printJSON(cmd.OutOrStdout(), w, false); err != nil {
				return err
			}
		}
		last = now
		bar.show(&w)
		if code, final := exitOf(w.Status); final {
			bar.stop()
			if !lines {
				if err := c.showWorkload(cmd, &w); err != nil {
					return err
				}
			}
			return verdict(code, &w)
		}
	}
}

// retry waits when the coordinator is away or asks for patience.
func retry(ctx context.Context, err error) bool {
	var e *niyanta.Error
	if !errors.As(err, &e) || e.Code != "SERVICE_UNAVAILABLE" && e.Code != "RATE_LIMITED" {
		return false
	}
	select {
	case <-time.After(max(e.RetryAfter, lookEvery)):
		return true
	case <-ctx.Done():
		return !errors.Is(ctx.Err(), context.Canceled)
	}
}

func exitOf(s niyanta.Status) (code int, final bool) {
	switch s {
	case "COMPLETED":
		return exitDone, true
	case "FAILED":
		return exitFailed, true
	case "CANCELLED":
		return exitCancelled, true
	default:
		return 0, false
	}
}

func verdict(code int, w *niyanta.Workload) error {
	switch code {
	case exitFailed:
		return &exit{code, fmt.Errorf("%s failed: %s: %s", w.WorkloadID, or(w.ErrorType, "error"), printable(or(w.ErrorMessage, "")))}
	case exitCancelled:
		return &exit{code, fmt.Errorf("%s was cancelled", w.WorkloadID)}
	}
	return nil
}

func terminal(cmd *cobra.Command) bool {
	f, ok := cmd.OutOrStdout().(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a file descriptor fits
}

// bar is a progress bar on standard error; silent where there is no terminal.
type bar struct {
	w       progress.Writer
	tracker *progress.Tracker
}

func newBar(silent bool, id string) *bar {
	if silent {
		return &bar{}
	}
	b := &bar{w: progress.NewWriter(), tracker: &progress.Tracker{Message: id, Total: 100}}
	b.w.SetOutputWriter(os.Stderr)
	b.w.SetUpdateFrequency(100 * time.Millisecond)
	b.w.SetTrackerLength(30)
	b.w.Style().Visibility.Value = false
	b.w.AppendTracker(b.tracker)
	go b.w.Render()
	return b
}

func (b *bar) show(w *niyanta.Workload) {
	if b.w == nil {
		return
	}
	b.tracker.UpdateMessage(fmt.Sprintf("%s %s %s", w.WorkloadID, w.Status, printable(or(w.ProgressMessage, ""))))
	b.tracker.SetValue(int64(w.ProgressPercent))
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
		time.Sleep(10 * time.Millisecond)
	}
	b.w = nil
}
