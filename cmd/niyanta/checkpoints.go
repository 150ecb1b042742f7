package main

import (
	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func checkpointCommand(c *cli) *cobra.Command {
	list := &cobra.Command{
		Use:               "list ID",
		Short:             "List the checkpoints of a workload that are kept, the newest first",
		Example:           "  niyanta checkpoint list wl_06h1hucj71qf3ff5kqrmaaqo9s",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorkload(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			kept, err := niyanta.Collect(cl.Checkpoints(cmd.Context(), args[0]))
			if err != nil {
				return err
			}
			return printList(c, cmd, checkpoints, kept, nil)
		}),
	}
	request := &cobra.Command{
		Use:   "request ID",
		Short: "Ask a running workload for a checkpoint now",
		Long: `Ask a running workload for a checkpoint now. It prints the newest sequence so far, which grows once
the new checkpoint is durable; see "niyanta checkpoint list". The request is sent once: it has no
effect if the worker is disconnected at that moment, or if there is nothing to save.`,
		Example:           "  niyanta checkpoint request wl_06h1hucj71qf3ff5kqrmaaqo9s",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorkload(running...),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			a, err := cl.Checkpoint(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printOne(c, cmd, controlAnswers, a)
		}),
	}
	return c.flags(group("checkpoint", "Show checkpoints of workloads and ask for them", list, request))
}

var checkpoints = view[niyanta.CheckpointInfo]{
	collection: "checkpoints",
	columns: []column{
		{name: "SEQUENCE"}, {name: "CREATED"}, {name: "BYTES"}, {name: "GENERATION", rank: 1}, {name: "SHA-256", text: true},
	},
	row: func(x *niyanta.CheckpointInfo) []any {
		return []any{x.Sequence, clock(x.CreatedAt), x.SizeBytes, x.Generation, x.Checksum}
	},
}
