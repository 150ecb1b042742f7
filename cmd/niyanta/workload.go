package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func workloadCommand(c *cli) *cobra.Command {
	return c.flags(group("workload", "Submit, follow and control workloads",
		submitCommand(c), listCommand(c), getCommand(c), watchCommand(c), logsCommand(c), auditCommand(c),
		explainCommand(c),
		controlCommand(c, "cancel", "cancelled", "Cancel workloads that have not finished",
			func(cl *niyanta.Client, ctx context.Context, id, reason string) (niyanta.ControlAnswer, error) {
				return cl.Cancel(ctx, id, reason, "")
			}, (*niyanta.Client).CancelMany, unfinished...),
		controlCommand(c, "pause", "paused", "Have running workloads write a checkpoint and stop",
			(*niyanta.Client).Pause, (*niyanta.Client).PauseMany, running...),
		controlCommand(c, "resume", "resumed", "Continue paused workloads from their last checkpoints",
			(*niyanta.Client).Resume, (*niyanta.Client).ResumeMany, "PAUSED"),
		retryCommand(c),
	))
}

func listCommand(c *cli) *cobra.Command {
	var filter filterFlags
	var orderBy, order, cursor, customer string
	var limit int
	var everybody bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List workloads, the newest first",
		Long: `List workloads, the newest first. With an admin key, list those of one customer, or, by customer, of
all.`,
		Example: `  niyanta workload list --status RUNNING --status PAUSED
  niyanta workload list --label team=billing -o jsonl
  niyanta workload list --all-customers --status FAILED`,
		Args: cobra.NoArgs,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, _ []string) error {
			f, err := filter.filter()
			if err != nil {
				return err
			}
			p := niyanta.ListParams{
				Status: f.Status, WorkloadType: f.WorkloadType, Label: f.Label,
				CreatedAfter: f.CreatedAfter, CreatedBefore: f.CreatedBefore,
				OrderBy: set(niyanta.OrderBy(orderBy)), Order: set(niyanta.Order(order)),
				Limit: &limit, Cursor: set(cursor),
			}
			list, v := cl.List, workloads
			if everybody || customer != "" {
				v = customersWorkloads
				list = func(ctx context.Context, p niyanta.ListParams) (niyanta.WorkloadList, error) {
					return cl.ListAll(ctx, customer, p)
				}
			}
			page, err := list(cmd.Context(), p)
			if err != nil {
				return err
			}
			if err := printList(c, cmd, v, page.Workloads, page.Pagination); err != nil {
				return err
			}
			if c.output != formatJSON && page.Pagination.NextCursor != nil {
				say(cmd, "more: --cursor %s", *page.Pagination.NextCursor)
			}
			return nil
		}),
	}
	filter.flags(c, cmd)
	fs := cmd.Flags()
	fs.StringVar(&orderBy, "order-by", "", "created_at, priority or updated_at")
	fs.StringVar(&order, "order", "", "asc or desc")
	fs.IntVar(&limit, "limit", 50, "workloads on a page, 1 to 100")
	fs.StringVar(&cursor, "cursor", "", "continue behind a page")
	fs.BoolVar(&everybody, "all-customers", false, "those of all customers; needs an admin key")
	fs.StringVar(&customer, "customer", "", "those of this customer; needs an admin key")
	cmd.MarkFlagsMutuallyExclusive("all-customers", "customer")
	completeFlag(cmd, "customer", c.completeCustomerFlag)
	completeFlag(cmd, "order-by", oneOf("created_at", "priority", "updated_at"))
	completeFlag(cmd, "order", oneOf("asc", "desc"))
	completeFlag(cmd, "limit", cobra.NoFileCompletions)
	completeFlag(cmd, "cursor", cobra.NoFileCompletions)
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

// customersWorkloads is workloads with their customers.
var customersWorkloads = view[niyanta.Workload]{
	collection: workloads.collection,
	columns:    append([]column{{name: "CUSTOMER"}}, workloads.columns...),
	row:        func(w *niyanta.Workload) []any { return append([]any{w.CustomerID}, workloads.row(w)...) },
}

// set returns a pointer to v, or nil if v is empty.
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
