package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func workloadCommand(c *cli) *cobra.Command {
	return c.flags(group("workload", "Submit, follow and control workloads",
		submitCommand(c), listCommand(c), getCommand(c), watchCommand(c), logsCommand(c), auditCommand(c),
		explainCommand(c),
		controlCommand(c, "cancel", "Cancel a workload that has not finished", (*niyanta.Client).Cancel, unfinished...),
		controlCommand(c, "pause", "Have a running workload write a checkpoint and stop",
			(*niyanta.Client).Pause, running...),
		controlCommand(c, "resume", "Continue a paused workload from its last checkpoint",
			(*niyanta.Client).Resume, "PAUSED"),
	))
}

func listCommand(c *cli) *cobra.Command {
	var statuses, labels []string
	var workloadType, orderBy, order, cursor string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List workloads, the newest first",
		Example: `  niyanta workload list --status RUNNING --status PAUSED
  niyanta workload list --label team=billing -o jsonl`,
		Args: cobra.NoArgs,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, _ []string) error {
			if _, err := pairs("label", labels); err != nil {
				return err
			}
			p := niyanta.ListParams{Limit: &limit}
			for _, s := range statuses {
				if p.Status == nil {
					p.Status = &[]niyanta.Status{}
				}
				*p.Status = append(*p.Status, niyanta.Status(strings.ToUpper(s)))
			}
			p.WorkloadType, p.Cursor = set(workloadType), set(cursor)
			if len(labels) > 0 {
				p.Label = &labels
			}
			p.OrderBy, p.Order = set(niyanta.OrderBy(orderBy)), set(niyanta.Order(order))
			page, err := cl.List(cmd.Context(), p)
			if err != nil {
				return err
			}
			if err := printList(c, cmd, workloads, page.Workloads, page.Pagination); err != nil {
				return err
			}
			if c.output != formatJSON && page.Pagination.NextCursor != nil {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "more: --cursor", *page.Pagination.NextCursor)
			}
			return nil
		}),
	}
	fs := cmd.Flags()
	fs.StringArrayVar(&statuses, "status", nil, "only these states, repeatable")
	fs.StringVar(&workloadType, "type", "", "only this workload type")
	fs.StringArrayVar(&labels, "label", nil, "key=value, repeatable; all must match")
	fs.StringVar(&orderBy, "order-by", "", "created_at, priority or updated_at")
	fs.StringVar(&order, "order", "", "asc or desc")
	fs.IntVar(&limit, "limit", 50, "workloads on a page, 1 to 100")
	fs.StringVar(&cursor, "cursor", "", "continue behind a page")
	completeFlag(cmd, "status", oneOf(statusNames...))
	completeFlag(cmd, "type", c.completeType)
	completeFlag(cmd, "order-by", oneOf("created_at", "priority", "updated_at"))
	completeFlag(cmd, "order", oneOf("asc", "desc"))
	for _, name := range []string{"label", "limit", "cursor"} {
		completeFlag(cmd, name, cobra.NoFileCompletions)
	}
	return cmd
}

var workloads = view[niyanta.Workload]{
	collection: "workloads",
	columns: []column{
		{name: "WORKLOAD"}, {name: "TYPE", text: true}, {name: "STATUS"}, {name: "PROGRESS"},
		{name: "PRIORITY", rank: 3}, {name: "WORKER", rank: 2}, {name: "CREATED", rank: 1},
	},
	row: func(w *niyanta.Workload) []any {
		return []any{
			w.WorkloadID, w.WorkloadType, w.Status, percent(w), w.Priority, or(w.WorkerID, "-"), clock(w.CreatedAt),
		}
	},
}

// set returns a pointer to v; nil if v is empty.
func set[T ~string](v T) *T {
	if v == "" {
		return nil
	}
	return &v
}

func percent(w *niyanta.Workload) string { return fmt.Sprintf("%.0f%%", w.ProgressPercent) }

func getCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "get ID",
		Short:             "Show a workload with its result or error",
		Example:           `  niyanta workload get wl_06h1hucj71qf3ff5kqrmaaqo9s -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorkload(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			w, err := cl.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.printWorkload(cmd, &w)
		}),
	}
}

func (c *cli) printWorkload(cmd *cobra.Command, w *niyanta.Workload) error {
	rows := [][2]string{
		{"workload", w.WorkloadID}, {"type", w.WorkloadType}, {"status", string(w.Status)},
		{"reason", or(w.StatusReason, "-")}, {"progress", percent(w) + " " + or(w.ProgressMessage, "")},
		{"priority", fmt.Sprint(w.Priority)}, {"worker", or(w.WorkerID, "-")}, {"generation", fmt.Sprint(w.Generation)},
		{"checkpoint", fmt.Sprint(w.CheckpointSequence)},
		{"retries", fmt.Sprintf("%d of %d", w.RetryCount, w.MaxRetries)},
		{"redistributions", fmt.Sprint(w.RedistributionCount)}, {"created", clock(w.CreatedAt)},
	}
	if w.StartedAt != nil {
		rows = append(rows, [2]string{"started", clock(*w.StartedAt)})
	}
	if w.CompletedAt != nil {
		rows = append(rows, [2]string{"ended", clock(*w.CompletedAt)})
	}
	if w.ErrorType != nil {
		rows = append(rows, [2]string{"error", failure(w)})
	}
	if hasResult(w) {
		rows = append(rows, [2]string{"result", string(w.ResultData)})
	}
	return c.printDetails(cmd, w, rows)
}

// controlCommand is a command that asks for a change of a workload.
func controlCommand(
	c *cli, verb, short string,
	ask func(*niyanta.Client, context.Context, string, string) (niyanta.ControlAnswer, error),
	statuses ...niyanta.Status,
) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   verb + " ID",
		Short: short,
		Example: fmt.Sprintf(
			"  niyanta workload %s wl_06h1hucj71qf3ff5kqrmaaqo9s --reason 'month-end run first'", verb),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorkload(statuses...),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			a, err := ask(cl, cmd.Context(), args[0], reason)
			if err != nil {
				return err
			}
			return printOne(c, cmd, controlAnswers, a)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "kept in the audit trail")
	completeFlag(cmd, "reason", cobra.NoFileCompletions)
	return cmd
}

var controlAnswers = view[niyanta.ControlAnswer]{
	columns: []column{{name: "WORKLOAD"}, {name: "STATUS"}, {name: "CHECKPOINT"}},
	row:     func(a *niyanta.ControlAnswer) []any { return []any{a.WorkloadID, a.Status, a.CheckpointSequence} },
}
