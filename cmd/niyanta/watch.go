package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func watchCommand(c *cli) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "watch ID",
		Short: "Follow a workload to its end",
		Long: `Follow a workload to its end: with a progress bar on a terminal, with one line of JSON for each
change elsewhere or with -o jsonl. With -o json, it prints the workload once, at its end.
While no coordinator answers, it says so and goes on trying.
It exits with 0 when the workload completed, 3 when it failed, 4 when it was cancelled, 5 when
--timeout passed.`,
		Example: `  niyanta workload watch wl_06h1hucj71qf3ff5kqrmaaqo9s
  niyanta workload watch wl_06h1hucj71qf3ff5kqrmaaqo9s --timeout 1h -o jsonl`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorkload(unfinished...),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			if err := notNegative("timeout", timeout); err != nil {
				return err
			}
			return c.follow(cmd, cl, args[0], timeout)
		}),
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this time (default: never)")
	return cmd
}

// follow shows a workload until it is final. Its exit code tells the outcome.
func (c *cli) follow(cmd *cobra.Command, cl *niyanta.Client, id string, timeout time.Duration) error {
	ctx, cancel := withTimeout(cmd.Context(), timeout)
	defer cancel()
	lines := c.output == formatLines || c.output == formatTable && !isTerminal(cmd.OutOrStdout())
	b := newBar(cmd.ErrOrStderr(), lines || c.output != formatTable, id)
	defer b.stop()
	cl = persistent(cl, b.say)
	var last string
	for {
		w, err := cl.Wait(ctx, id, pollInterval)
		if err != nil {
			return endOfWait(err, id, timeout)
		}
		if now := newChange(&w).key(); lines && now != last {
			if err := printJSON(cmd.OutOrStdout(), newChange(&w), false); err != nil {
				return err
			}
			last = now
		}
		b.show(&w)
		code, final := exitOf(w.Status)
		if !final {
			continue
		}
		b.stop()
		if !lines {
			if err := c.printWorkload(cmd, &w); err != nil {
				return err
			}
		}
		return verdict(code, &w)
	}
}

// withTimeout returns ctx with a timeout. 0 means none.
func withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// endOfWait returns the error of a wait that ended before the workload did.
func endOfWait(err error, id string, timeout time.Duration) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &exit{exitTimeout, fmt.Errorf("%s did not finish within %s; it goes on", id, timeout)}
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted; %s goes on", id)
	}
	return err
}

// change is a line about a workload that is followed. It has the fields of the API that may change.
type change struct {
	WorkloadID      string          `json:"workload_id"`
	Status          niyanta.Status  `json:"status"`
	StatusReason    *string         `json:"status_reason,omitempty"`
	ProgressPercent float64         `json:"progress_percent"`
	ProgressMessage *string         `json:"progress_message,omitempty"`
	Generation      int64           `json:"generation"`
	WorkerID        *string         `json:"worker_id,omitempty"`
	UpdatedAt       time.Time       `json:"updated_at"`
	ErrorType       *string         `json:"error_type,omitempty"`
	ErrorMessage    *string         `json:"error_message,omitempty"`
	ResultData      json.RawMessage `json:"result_data,omitempty"`
}

func newChange(w *niyanta.Workload) change {
	ch := change{
		WorkloadID: w.WorkloadID, Status: w.Status, StatusReason: w.StatusReason,
		ProgressPercent: math.Round(w.ProgressPercent*10) / 10, ProgressMessage: w.ProgressMessage,
		Generation: w.Generation, WorkerID: w.WorkerID, UpdatedAt: w.UpdatedAt,
		ErrorType: w.ErrorType, ErrorMessage: w.ErrorMessage,
	}
	if hasResult(w) {
		ch.ResultData = w.ResultData
	}
	if w.ErrorMessage != nil {
		ch.StatusReason = nil // it repeats the error
	}
	return ch
}

// key returns all fields but the time. A change with the same key as the last one is not printed.
func (ch change) key() string {
	ch.UpdatedAt = time.Time{}
	b, _ := json.Marshal(ch) // it was JSON before
	return string(b)
}

func hasResult(w *niyanta.Workload) bool {
	return len(w.ResultData) > 0 && string(w.ResultData) != "null"
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

// failure returns the type and the message of a workload's failure.
func failure(w *niyanta.Workload) string {
	message := or(w.ErrorMessage, "no message")
	if class := or(w.ErrorType, "error"); class != "error" {
		message = class + ": " + message
	}
	return message
}

// verdict returns the error of a command whose workload is final. It returns nil if the workload
// completed.
func verdict(code int, w *niyanta.Workload) error {
	switch code {
	case exitFailed:
		return &exit{code, fmt.Errorf("%s failed: %s", w.WorkloadID, printable(failure(w)))}
	case exitCancelled:
		return &exit{code, fmt.Errorf("%s was cancelled", w.WorkloadID)}
	}
	return nil
}
