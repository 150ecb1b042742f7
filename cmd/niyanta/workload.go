package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func workloadCommand(c *cli) *cobra.Command {
	return c.flags(group("workload", "Submit, follow and steer workloads",
		submitCommand(c), listCommand(c), getCommand(c), watchCommand(c), logsCommand(c), auditCommand(c), explainCommand(c),
		steerCommand(c, "cancel", "Cancel a workload that has not finished"),
		steerCommand(c, "pause", "Have a running workload checkpoint and stop"),
		steerCommand(c, "resume", "Continue a paused workload from its last checkpoint"),
	))
}

// submitFlags are the flags of submit.
type submitFlags struct {
	input, affinity, runAt, key string
	priority, maxRetries        int
	labels                      []string
	timeout                     time.Duration
	wait                        bool
	waitTimeout                 time.Duration
}

func submitCommand(c *cli) *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit TYPE",
		Short: "Submit a workload",
		Example: `  niyanta workload submit sleep --input '{"duration_ms": 3000, "steps": 10}' --wait
  niyanta workload submit exec --input @job.json --priority 100 --label team=billing`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			sub, err := f.submission(cmd, args[0])
			if err != nil {
				return err
			}
			if err := patience("wait-timeout", f.waitTimeout); err != nil {
				return err
			}
			ans, err := cl.Submit(cmd.Context(), sub, f.key)
			if err != nil {
				return err
			}
			if ans.StatusReason != nil {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "it waits:", printable(*ans.StatusReason))
			}
			if f.wait {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "submitted", ans.WorkloadID)
				return c.follow(cmd, cl, ans.WorkloadID, f.waitTimeout)
			}
			return c.show(cmd, ans, []any{"WORKLOAD", "STATUS"}, [][]any{{ans.WorkloadID, ans.Status}})
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.input, "input", "{}", "input_params: JSON, @file, or - for standard input")
	fs.IntVar(&f.priority, "priority", 10, "0 to 1000")
	fs.IntVar(&f.maxRetries, "max-retries", 5, "tries after a failure of its own, 0 to 1000 (default: the config's)")
	fs.StringArrayVar(&f.labels, "label", nil, "key=value, repeatable")
	fs.StringVar(&f.affinity, "affinity", "", "affinity_rules: JSON, @file or -")
	fs.DurationVar(&f.timeout, "timeout", 0, "longest time of one run, in whole seconds, rounded up; 0: none (default: the config's)")
	fs.StringVar(&f.runAt, "run-at", "", "not before this time, RFC 3339")
	fs.StringVar(&f.key, "idempotency-key", "", "makes repeating the command safe")
	fs.BoolVar(&f.wait, "wait", false, "follow it to its end")
	fs.DurationVar(&f.waitTimeout, "wait-timeout", 0, "give up waiting after this time (default: never)")
	return cmd
}

func (f *submitFlags) submission(cmd *cobra.Command, workloadType string) (niyanta.Submission, error) {
	params, err := input(cmd, "input", f.input)
	if err != nil {
		return niyanta.Submission{}, err
	}
	sub := niyanta.Submission{WorkloadType: workloadType, InputParams: params}
	if cmd.Flags().Changed("priority") {
		sub.Priority = &f.priority
	}
	if cmd.Flags().Changed("max-retries") {
		sub.MaxRetries = &f.maxRetries
	}
	if len(f.labels) > 0 {
		labels, err := pairs("label", f.labels)
		if err != nil {
			return sub, err
		}
		sub.Labels = &labels
	}
	if f.affinity != "" {
		if err := inputInto(cmd, "affinity", f.affinity, &sub.AffinityRules); err != nil {
			return sub, err
		}
	}
	if cmd.Flags().Changed("timeout") {
		if f.timeout < 0 {
			return sub, usage(fmt.Errorf("--timeout must not be negative"))
		}
		sub.TimeoutSeconds = new(niyanta.Seconds(f.timeout))
	}
	if f.runAt != "" {
		t, err := moment("run-at", f.runAt)
		if err != nil {
			return sub, err
		}
		sub.RunAt = &t
	}
	return sub, nil
}

func listCommand(c *cli) *cobra.Command {
	var statuses, labels []string
	var workloadType, orderBy, order, cursor string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List workloads",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			if _, err := pairs("label", labels); err != nil {
				return err
			}
			p := niyanta.ListParams{Limit: &limit}
			for _, s := range statuses {
				if p.Status == nil {
					p.Status = &[]niyanta.Status{}
				}
				*p.Status = append(*p.Status, niyanta.Status(s))
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
			rows := make([][]any, len(page.Items))
			for i, w := range page.Items {
				rows[i] = []any{w.WorkloadID, w.WorkloadType, w.Status, percent(&w), w.Priority, or(w.WorkerID, "-"), clock(w.CreatedAt)}
			}
			if err := c.show(cmd, page, []any{"WORKLOAD", "TYPE", "STATUS", "PROGRESS", "PRIORITY", "WORKER", "CREATED"}, rows); err != nil {
				return err
			}
			if c.output == "table" && page.Pagination.NextCursor != nil {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "more: --cursor", *page.Pagination.NextCursor)
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringArrayVar(&statuses, "status", nil, "only these states, repeatable")
	fs.StringVar(&workloadType, "type", "", "only this workload type")
	fs.StringArrayVar(&labels, "label", nil, "key=value, repeatable; all must match")
	fs.StringVar(&orderBy, "order-by", "", "created_at, priority or updated_at")
	fs.StringVar(&order, "order", "", "asc or desc")
	fs.IntVar(&limit, "limit", 50, "1 to 100")
	fs.StringVar(&cursor, "cursor", "", "continue behind a page")
	return cmd
}

func set[T ~string](v T) *T {
	if v == "" {
		return nil
	}
	return &v
}

func percent(w *niyanta.Workload) string { return fmt.Sprintf("%.0f%%", w.ProgressPercent) }

func getCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "get ID",
		Short: "Show a workload",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			w, err := cl.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.showWorkload(cmd, &w)
		},
	}
}

func (c *cli) showWorkload(cmd *cobra.Command, w *niyanta.Workload) error {
	rows := [][]any{
		{"workload", w.WorkloadID}, {"type", w.WorkloadType}, {"status", w.Status},
		{"reason", or(w.StatusReason, "-")}, {"progress", percent(w) + " " + or(w.ProgressMessage, "")},
		{"priority", w.Priority}, {"worker", or(w.WorkerID, "-")}, {"generation", w.Generation},
		{"checkpoint", w.CheckpointSequence}, {"retries", fmt.Sprintf("%d of %d", w.RetryCount, w.MaxRetries)}, {"redistributions", w.RedistributionCount},
		{"created", clock(w.CreatedAt)},
	}
	if w.StartedAt != nil {
		rows = append(rows, []any{"started", clock(*w.StartedAt)})
	}
	if w.CompletedAt != nil {
		rows = append(rows, []any{"ended", clock(*w.CompletedAt)})
	}
	if w.ErrorType != nil {
		rows = append(rows, []any{"error", *w.ErrorType + ": " + or(w.ErrorMessage, "")})
	}
	if len(w.ResultData) > 0 && string(w.ResultData) != "null" {
		rows = append(rows, []any{"result", string(w.ResultData)})
	}
	return c.show(cmd, w, nil, rows)
}

func steerCommand(c *cli, verb, short string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   verb + " ID",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			call := map[string]func() (niyanta.ControlAnswer, error){
				"cancel": func() (niyanta.ControlAnswer, error) { return cl.Cancel(cmd.Context(), args[0], reason) },
				"pause":  func() (niyanta.ControlAnswer, error) { return cl.Pause(cmd.Context(), args[0], reason) },
				"resume": func() (niyanta.ControlAnswer, error) { return cl.Resume(cmd.Context(), args[0], reason) },
			}[verb]
			a, err := call()
			if err != nil {
				return err
			}
			return c.show(cmd, a, []any{"WORKLOAD", "STATUS", "CHECKPOINT"}, [][]any{{a.WorkloadID, a.Status, a.CheckpointSequence}})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "kept in the audit trail")
	return cmd
}
