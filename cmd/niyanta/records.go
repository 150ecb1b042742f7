package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func logsCommand(c *cli) *cobra.Command {
	var limit int
	var since string
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs ID",
		Short: "Print a workload's log",
		Example: `  niyanta workload logs wl_06h1hucj71qf3ff5kqrmaaqo9s --follow
  niyanta workload logs wl_06h1hucj71qf3ff5kqrmaaqo9s --since 2026-01-02T03:04:05Z -o jsonl`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorkload(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			if follow && c.output == formatJSON {
				return usage(errors.New("--follow cannot be printed as one document with -o json; use -o jsonl"))
			}
			p := niyanta.LogParams{Limit: &limit}
			if since != "" {
				t, err := moment("since", since)
				if err != nil {
					return err
				}
				p.Since = &t
			}
			if follow {
				return c.followLogs(cmd, cl, args[0], p)
			}
			log, err := cl.Logs(cmd.Context(), args[0], p)
			if err != nil {
				return err
			}
			if c.output == formatJSON {
				return printJSON(cmd.OutOrStdout(), log, true)
			}
			return c.printLogs(cmd, log.Logs)
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "lines, 1 to 1000: the newest, or the first with --since")
	cmd.Flags().StringVar(&since, "since", "", "from this time on, RFC 3339")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "after the newest lines, print new ones until it is final")
	return cmd
}

// followLogs prints lines until the workload is final and its last lines are printed.
func (c *cli) followLogs(cmd *cobra.Command, cl *niyanta.Client, id string, p niyanta.LogParams) error {
	cl = persistent(cl, newBar(cmd.ErrOrStderr(), true, "").say)
	for final := false; ; {
		log, err := cl.Logs(cmd.Context(), id, p)
		if err != nil {
			return endOfWait(err, id, 0)
		}
		lines := log.Logs
		if err := c.printLogs(cmd, lines); err != nil {
			return err
		}
		if len(lines) > 0 {
			p.After = &lines[len(lines)-1].Seq
			continue
		}
		if p.After == nil && p.Since == nil {
			p.After = new(int64) // all that comes from now on, not the newest of it
		}
		if final {
			return nil
		}
		w, err := cl.Wait(cmd.Context(), id, pollInterval)
		if err != nil {
			return endOfWait(err, id, 0)
		}
		final = w.Status.IsFinal()
	}
}

func (c *cli) printLogs(cmd *cobra.Command, lines []niyanta.LogLine) error {
	for _, l := range lines {
		if c.output == formatLines {
			if err := printJSON(cmd.OutOrStdout(), l, false); err != nil {
				return err
			}
			continue
		}
		source := string(l.Level)
		if l.Stream != nil {
			source = *l.Stream
		}
		at, message := l.Timestamp.Local().Format("15:04:05.000"), printable(l.Message)
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %-6s %s\n", at, source, message); err != nil {
			return err
		}
	}
	return nil
}

func auditCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "audit ID",
		Short:             "Print a workload's audit trail, the oldest event first",
		Example:           `  niyanta workload audit wl_06h1hucj71qf3ff5kqrmaaqo9s`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorkload(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			events, err := niyanta.Collect(cl.Audit(cmd.Context(), args[0]))
			if err != nil {
				return err
			}
			return printList(c, cmd, auditEvents, events, nil)
		}),
	}
}

var auditEvents = view[niyanta.AuditEvent]{
	collection: "events",
	columns: []column{
		{name: "TIME"}, {name: "EVENT"}, {name: "FROM", rank: 4}, {name: "TO", rank: 2},
		{name: "GENERATION", rank: 3}, {name: "WORKER", rank: 1}, {name: "ACTOR", text: true, rank: 5},
		{name: "REASON", text: true},
	},
	row: func(e *niyanta.AuditEvent) []any {
		return []any{
			e.Timestamp.Local().Format("15:04:05.000"), e.EventType, or(e.Details.From, "-"), e.Details.To,
			e.Details.Generation, or(e.Details.WorkerID, "-"),
			string(e.ActorType) + " " + e.ActorID, or(e.Details.Reason, ""),
		}
	},
}
