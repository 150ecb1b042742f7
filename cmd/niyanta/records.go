package main

import (
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
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			p := niyanta.LogParams{Limit: &limit}
			if since != "" {
				t, err := moment("since", since)
				if err != nil {
					return err
				}
				p.Since = &t
			}
			return c.logs(cmd, cl, args[0], p, follow)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "lines, 1 to 1000")
	cmd.Flags().StringVar(&since, "since", "", "from this time on, RFC 3339")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the workload is final")
	return cmd
}

// logs prints lines, and with follow goes on until the workload is final and its last lines are printed.
func (c *cli) logs(cmd *cobra.Command, cl *niyanta.Client, id string, p niyanta.LogParams, follow bool) error {
	for {
		final := !follow
		if follow {
			w, err := cl.Get(cmd.Context(), id)
			if err != nil {
				return err
			}
			_, final = exitOf(w.Status)
		}
		lines, err := cl.Logs(cmd.Context(), id, p)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if err := c.logLine(cmd, &l); err != nil {
				return err
			}
			p.After = &l.Seq
		}
		if final && (!follow || len(lines) == 0) {
			return nil
		}
		if len(lines) == 0 {
			if _, err := cl.Wait(cmd.Context(), id, lookEvery); err != nil {
				return err
			}
		}
	}
}

func (c *cli) logLine(cmd *cobra.Command, l *niyanta.LogLine) error {
	if c.output == "json" {
		return printJSON(cmd.OutOrStdout(), l, false)
	}
	source := l.Level
	if l.Stream != nil {
		source = *l.Stream
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %-6s %s\n", l.Time.Local().Format("15:04:05.000"), source, printable(l.Message))
	return err
}

func auditCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "audit ID",
		Short: "Print a workload's audit trail",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			events, err := cl.Audit(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			rows := make([][]any, len(events))
			for i, e := range events {
				rows[i] = []any{
					e.CreatedAt.Local().Format("15:04:05.000"), e.EventType, or(e.Details.From, "-"), e.Details.To,
					e.Details.Generation, or(e.Details.WorkerID, "-"), string(e.ActorType) + " " + e.ActorID, or(e.Details.Reason, ""),
				}
			}
			return c.show(cmd, events, []any{"TIME", "EVENT", "FROM", "TO", "GENERATION", "WORKER", "ACTOR", "REASON"}, rows)
		},
	}
}
