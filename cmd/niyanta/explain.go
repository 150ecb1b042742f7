package main

import (
	"fmt"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func explainCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Say why a workload waits, what its place in the queue is and when it may start",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			p, err := cl.Placement(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.show(cmd, p, nil, explained(&p))
		},
	}
}

// explained is a placement for people, one thing per row.
func explained(p *niyanta.Placement) [][]any {
	rows := [][]any{{"workload", p.WorkloadID}, {"status", p.Status}}
	if !p.Waiting {
		return append(rows, []any{"worker", or(p.WorkerID, "-")})
	}
	if p.Position != nil {
		place := fmt.Sprint(*p.Position)
		if p.PositionIsMinimum {
			place = "at least " + place
		}
		rows = append(rows, []any{"position", place})
	}
	start := "unknown"
	switch {
	case p.EstimatedStartTime != nil:
		start = fmt.Sprintf("about %s (confidence: %s)", clock(*p.EstimatedStartTime), or(p.Confidence, "unknown"))
	case !p.Placeable:
		start = "when a worker registers that can run it"
	}
	rows = append(rows, []any{"start", start})
	label := "reasons"
	for _, r := range p.Reasons {
		rows = append(rows, []any{label, r.Message})
		label = ""
	}
	return rows
}
