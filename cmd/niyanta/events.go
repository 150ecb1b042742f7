package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func eventsCommand(c *cli) *cobra.Command {
	var after string
	cmd := &cobra.Command{
		Use:   "events [ID]",
		Short: "Print the events of a workload, or of all your workloads, as they happen",
		Long: `Print events as they happen. With an id, it prints all events and log lines of a workload, until the
workload is final. Without an id, it prints the events from now on of all your workloads, or, with
an admin key, of all customers' workloads. While no coordinator answers, it says so and goes on
trying. No event is left out or printed twice. With -o jsonl, each line is an event of the API, and
--after continues after its event_id.`,
		Example: `  niyanta events
  niyanta events wl_06h1hucj71qf3ff5kqrmaaqo9s -o jsonl`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completeWorkload(unfinished...),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			switch {
			case c.output == formatJSON:
				return usage(errors.New("a stream cannot be printed as one document with -o json; use -o jsonl"))
			case after != "" && len(args) > 0:
				return usage(errors.New("--after is for the events of all workloads; those of one begin with its first"))
			}
			cl = cl.With(sayConnection(newBar(cmd.ErrOrStderr(), true, "").say))
			events := cl.Stream(cmd.Context(), after)
			if len(args) > 0 {
				events = cl.Watch(cmd.Context(), args[0])
			}
			for e, err := range events {
				if err == nil && c.output == formatLines {
					err = printJSON(cmd.OutOrStdout(), e, false)
				} else if err == nil {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), eventLine(&e, len(args) == 0))
				}
				switch {
				case cmd.Context().Err() != nil:
					return errors.New("interrupted")
				case err != nil:
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&after, "after", "", "continue after the event with this event_id")
	completeFlag(cmd, "after", cobra.NoFileCompletions)
	return c.flags(cmd)
}

// eventLine returns an event as a line of text.
func eventLine(e *niyanta.Event, withID bool) string {
	var parts []string
	if e.Timestamp != nil {
		parts = append(parts, e.Timestamp.Local().Format("15:04:05.000"))
	}
	if withID {
		parts = append(parts, or(e.CustomerID, ""), e.WorkloadID)
	}
	switch e.Type {
	case niyanta.EventLogLine:
		source := or(e.Level, "")
		if e.Stream != nil {
			source = *e.Stream
		}
		parts = append(parts, fmt.Sprintf("%-6s", source), or(e.Message, ""))
	case niyanta.EventGap:
		parts = append(parts, fmt.Sprintf("… %s log lines were dropped", or(e.Dropped, "some")))
	default:
		parts = append(parts, or(e.Status, ""), or(e.EventType, ""))
		if e.ProgressPercent != nil {
			parts = append(parts, fmt.Sprintf("%.0f%%", *e.ProgressPercent))
		}
		parts = append(parts, or(e.WorkerID, ""), or(e.Message, ""), or(e.ErrorMessage, ""), string(e.ResultData))
	}
	return printable(strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " "))
}
