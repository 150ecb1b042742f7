package main

import (
	"fmt"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func explainCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "explain ID",
		Short:             "Say why a workload waits, what its place in the queue is and when it may start",
		Example:           `  niyanta workload explain wl_06h1hucj71qf3ff5kqrmaaqo9s`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorkload(unfinished...),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			p, err := cl.Placement(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.printDetails(cmd, p, explained(&p))
		}),
	}
}

// explained returns a placement as rows of text, one for each detail.
func explained(p *niyanta.Placement) [][2]string {
	rows := [][2]string{{"workload", p.WorkloadID}, {"status", string(p.Status)}}
	if !p.Waiting {
		return append(rows, [2]string{"worker", or(p.WorkerID, "-")})
	}
	if p.Position != nil {
		place := fmt.Sprint(*p.Position)
		if p.PositionEstimated {
			place = "about " + place
		}
		rows = append(rows, [2]string{"position", place})
	}
	start := "unknown"
	switch {
	case p.EstimatedStartTime != nil:
		start = fmt.Sprintf("about %s (confidence: %s)", clock(*p.EstimatedStartTime), or(p.Confidence, "unknown"))
	case !p.Placeable:
		start = "when a worker registers that can run it"
	}
	rows = append(rows, [2]string{"start", start})
	if u := p.UsualWait; u != nil {
		rows = append(rows, [2]string{"usual wait", fmt.Sprintf("%s, at most %s for 95 of 100 (%d placed lately)",
			waitedFor(u.P50Seconds), waitedFor(u.P95Seconds), u.Placed)})
	}
	label := "reasons"
	for _, r := range p.Reasons {
		rows = append(rows, [2]string{label, r.Message})
		label = ""
	}
	return rows
}
