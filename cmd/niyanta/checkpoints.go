package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

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
	return c.flags(group("checkpoint", "Show checkpoints of workloads and ask for them",
		list, checkpointGetCommand(c), request))
}

func checkpointGetCommand(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "get ID [SEQUENCE]",
		Short: "Show a checkpoint, or read its bytes",
		Long: `Show a checkpoint of a workload: the newest, or the one with a sequence. With --data, write its
bytes to a file, as the workload saved them.`,
		Example: `  niyanta checkpoint get wl_06h1hucj71qf3ff5kqrmaaqo9s
  niyanta checkpoint get wl_06h1hucj71qf3ff5kqrmaaqo9s 3 --data - | jq .`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: c.completeCheckpoint,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			info, err := findCheckpoint(cmd.Context(), cl, args)
			if err != nil {
				return err
			}
			if file != "" {
				data, err := cl.CheckpointData(cmd.Context(), args[0], info.Sequence)
				if err != nil {
					return err
				}
				if file == "-" {
					_, err = cmd.OutOrStdout().Write(data)
					return err
				}
				if err := os.WriteFile(file, data, 0o600); err != nil {
					return err
				}
			}
			return printOne(c, cmd, checkpoints, info)
		}),
	}
	cmd.Flags().StringVar(&file, "data", "", "write the bytes to this file; - is standard output")
	return cmd
}

// findCheckpoint returns the checkpoint that the arguments name: a workload, and the sequence, or else
// the newest.
func findCheckpoint(ctx context.Context, cl *niyanta.Client, args []string) (niyanta.CheckpointInfo, error) {
	if len(args) < 2 {
		for newest, err := range cl.Checkpoints(ctx, args[0]) {
			return newest, err
		}
		return niyanta.CheckpointInfo{}, fmt.Errorf("workload %s has no checkpoint", args[0])
	}
	sequence, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil || sequence < 1 {
		return niyanta.CheckpointInfo{}, usage(fmt.Errorf("the sequence must be a number from 1 on, not %q", args[1]))
	}
	return cl.GetCheckpoint(ctx, args[0], sequence)
}

// completeCheckpoint completes a workload, and then the sequence of one of its checkpoints.
func (c *cli) completeCheckpoint(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return c.completeWorkload()(cmd, args, text)
	}
	return c.live(1, func(ctx context.Context, cl *niyanta.Client, args []string) (names []string, err error) {
		for x, err := range cl.Checkpoints(ctx, args[0]) {
			if err != nil {
				return names, err
			}
			names = append(names, described(fmt.Sprint(x.Sequence), clock(x.CreatedAt)))
		}
		return names, nil
	})(cmd, args, text)
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
