package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// manyFlags are the flags of commands that change workloads: one, several, or those that a filter
// selects.
type manyFlags struct {
	filter      filterFlags
	reason      string
	all, dryRun bool
}

func (f *manyFlags) flags(c *cli, cmd *cobra.Command) {
	f.filter.flags(c, cmd)
	fs := cmd.Flags()
	fs.BoolVar(&f.all, "all", false, "all of yours for which it is possible")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only show the result for each, and change nothing")
	fs.StringVar(&f.reason, "reason", "", "kept in the audit trail")
	completeFlag(cmd, "reason", cobra.NoFileCompletions)
}

// one reports whether a command line names exactly one workload, by its id.
func (f *manyFlags) one(args []string) bool {
	return len(args) == 1 && !f.dryRun && !f.all && !f.filter.given()
}

// selection returns the workloads that a command line selects.
func (f *manyFlags) selection(args []string) (niyanta.Bulk, error) {
	b := niyanta.Bulk{WorkloadIDs: args, DryRun: f.dryRun, Reason: f.reason}
	selects := f.all || f.filter.given()
	switch {
	case len(args) > 0 && selects:
		return b, usage(errors.New("say ids, or flags that select workloads, not both"))
	case len(args) > 0:
		return b, nil
	case !selects:
		return b, usage(errors.New("say ids, or select workloads with --status, --type, --label, --created-after, " +
			"--created-before or --all"))
	}
	filter, err := f.filter.filter()
	b.Filter = &filter
	return b, err
}

// changeMany does a bulk operation and prints the result for each workload. done names the result
// of a success, such as "cancelled".
func (c *cli) changeMany(
	cmd *cobra.Command, done string, dryRun bool, results iter.Seq2[niyanta.BulkResult, error],
) error {
	report := bulkReport{DryRun: dryRun, Results: []niyanta.BulkResult{}}
	var broken error
	for r, err := range results {
		if broken = err; err != nil {
			break
		}
		report.Matched++
		if r.Error == nil {
			report.Applied++
		}
		if c.output != formatLines {
			report.Results = append(report.Results, r)
		} else if err := printJSON(cmd.OutOrStdout(), r, false); err != nil {
			return err
		}
	}
	var unprinted error
	switch c.output {
	case formatTable:
		v := bulkResults
		if !slices.ContainsFunc(report.Results, func(r niyanta.BulkResult) bool { return r.RetryID != nil }) {
			v = controlResults
		}
		unprinted = printTable(cmd.OutOrStdout(), v, report.Results)
	case formatJSON:
		unprinted = printJSON(cmd.OutOrStdout(), report, true)
	}
	if dryRun {
		done = "would be " + done
	}
	say(cmd, "%d of %s %s", report.Applied, counted(report.Matched, "workload"), done)
	broken = errors.Join(broken, unprinted)
	if broken == nil && report.Applied < report.Matched && !dryRun {
		return &exit{code: exitError}
	}
	return broken
}

// bulkReport holds the results of a bulk operation, as one document.
type bulkReport struct {
	Matched int                  `json:"matched"`
	Applied int                  `json:"applied"`
	DryRun  bool                 `json:"dry_run"`
	Results []niyanta.BulkResult `json:"results"`
}

var bulkResults = view[niyanta.BulkResult]{
	columns: []column{
		{name: "WORKLOAD"}, {name: "STATUS"}, {name: "RUNS AGAIN AS", rank: 1}, {name: "ERROR", text: true, rank: 2},
	},
	row: func(r *niyanta.BulkResult) []any {
		refusal := ""
		if r.Error != nil {
			refusal = r.Error.Message
		}
		return []any{or(r.WorkloadID, "-"), or(r.Status, "-"), or(r.RetryID, "-"), refusal}
	},
}

// controlResults is bulkResults without new workloads.
var controlResults = view[niyanta.BulkResult]{
	columns: slices.Delete(slices.Clone(bulkResults.columns), 2, 3),
	row:     func(r *niyanta.BulkResult) []any { return slices.Delete(bulkResults.row(r), 2, 3) },
}

type (
	askOne  = func(*niyanta.Client, context.Context, string, string) (niyanta.ControlAnswer, error)
	askMany = func(*niyanta.Client, context.Context, niyanta.Bulk) iter.Seq2[niyanta.BulkResult, error]
)

// controlCommand returns a command that changes workloads.
func controlCommand(
	c *cli, verb, done, short string, one askOne, many askMany, statuses ...niyanta.Status,
) *cobra.Command {
	var f manyFlags
	cmd := &cobra.Command{
		Use:   verb + " [ID…]",
		Short: short,
		Example: fmt.Sprintf(`  niyanta workload %[1]s wl_06h1hucj71qf3ff5kqrmaaqo9s --reason 'month-end run first'
  niyanta workload %[1]s --type resize --label batch=nightly --dry-run`, verb),
		ValidArgsFunction: c.completeWorkloads(statuses...),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			if f.one(args) {
				a, err := one(cl, cmd.Context(), args[0], f.reason)
				if err != nil {
					return err
				}
				return printOne(c, cmd, controlAnswers, a)
			}
			b, err := f.selection(args)
			if err != nil {
				return err
			}
			return c.changeMany(cmd, done, f.dryRun, many(cl, cmd.Context(), b))
		}),
	}
	f.flags(c, cmd)
	return cmd
}

var controlAnswers = view[niyanta.ControlAnswer]{
	columns: []column{{name: "WORKLOAD"}, {name: "STATUS"}, {name: "CHECKPOINT"}},
	row:     func(a *niyanta.ControlAnswer) []any { return []any{a.WorkloadID, a.Status, a.CheckpointSequence} },
}

func retryCommand(c *cli) *cobra.Command {
	var f manyFlags
	var checkpoint int64
	var scratch bool
	cmd := &cobra.Command{
		Use:   "retry [ID…]",
		Short: "Run failed or cancelled workloads again, as new ones",
		Long: `Run failed or cancelled workloads again, as new ones with the same input. Each continues from the
newest checkpoint of the old one, unless --from-checkpoint or --from-scratch is given.`,
		Example: `  niyanta workload retry wl_06h1hucj71qf3ff5kqrmaaqo9s
  niyanta workload retry --status FAILED --created-after 2026-03-01T00:00:00Z --dry-run`,
		ValidArgsFunction: c.completeWorkloads("FAILED", "CANCELLED"),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			if f.one(args) {
				a, err := cl.Retry(cmd.Context(), args[0], niyanta.RetryOptions{
					FromCheckpoint: checkpoint, FromScratch: scratch, Reason: f.reason,
				})
				if err != nil {
					return err
				}
				return printOne(c, cmd, retryAnswers, a)
			}
			b, err := f.selection(args)
			switch {
			case err != nil:
				return err
			case checkpoint != 0:
				return usage(errors.New("--from-checkpoint is for one workload by its id"))
			}
			b.FromScratch = scratch
			return c.changeMany(cmd, "run again", f.dryRun, cl.RetryMany(cmd.Context(), b))
		}),
	}
	f.flags(c, cmd)
	cmd.Flags().Int64Var(&checkpoint, "from-checkpoint", 0,
		"continue from the checkpoint with this sequence (default: the newest)")
	cmd.Flags().BoolVar(&scratch, "from-scratch", false, "continue from no checkpoint")
	cmd.MarkFlagsMutuallyExclusive("from-checkpoint", "from-scratch")
	completeFlag(cmd, "from-checkpoint", cobra.NoFileCompletions)
	return cmd
}

var retryAnswers = view[niyanta.RetryAnswer]{
	columns: []column{{name: "WORKLOAD"}, {name: "RETRY OF"}, {name: "STATUS"}, {name: "CHECKPOINT", rank: 1}},
	row: func(a *niyanta.RetryAnswer) []any {
		return []any{a.WorkloadID, a.RetryOf, a.Status, a.CheckpointSequence}
	},
}
