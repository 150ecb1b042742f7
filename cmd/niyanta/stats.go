package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func statsCommand(c *cli) *cobra.Command {
	var from, to, by string
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Count finished workloads by day, hour or workload type",
		Long: `Count finished workloads by day, hour or workload type. Days and hours are in UTC. A workload counts
in the hour in which it finished.`,
		Example: `  niyanta stats
  niyanta stats --from 2026-03-01 --to 2026-03-31 --by workload_type`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, _ []string) error {
			today := time.Now().UTC()
			p := niyanta.StatsParams{StartDate: from, EndDate: to, GroupBy: niyanta.GroupBy(by)}
			if p.StartDate == "" {
				p.StartDate = today.AddDate(0, 0, -6).Format(time.DateOnly)
			}
			if p.EndDate == "" {
				p.EndDate = today.Format(time.DateOnly)
			}
			s, err := cl.Stats(cmd.Context(), p)
			if err != nil {
				return err
			}
			if err := c.printDetails(cmd, s, summary(&s)); err != nil || c.output != formatTable {
				return err
			}
			if groups := groupsOf(&s); len(groups) > 0 {
				if _, err := fmt.Fprintln(cmd.OutOrStdout()); err != nil {
					return err
				}
				return printTable(cmd.OutOrStdout(), finished, groups)
			}
			return nil
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&from, "from", "", "first day, such as 2026-03-01 (default: six days ago)")
	fs.StringVar(&to, "to", "", "last day, included (default: today)")
	fs.StringVar(&by, "by", string(niyanta.GroupByDay), "group by day, hour or workload_type")
	completeFlag(cmd, "by", oneOf("day", "hour", "workload_type"))
	cmd.AddCommand(&cobra.Command{
		Use:   "queue",
		Short: "Count waiting and running workloads by type; with an admin key of all customers, also by tier",
		Long: `Count waiting and running workloads by type; with an admin key of all customers, also by
tier. Of each tier it also says how long the workloads had waited that were placed in the last 5
minutes, until they were: half of them at most WAITED P50, and all but 5 and 1 percent of them at
most P95 and P99. A customer is told what of its workloads no worker can run.`,
		Example: `  niyanta stats queue
  niyanta stats queue -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, _ []string) error {
			q, err := cl.QueueDepth(cmd.Context())
			if err != nil {
				return err
			}
			if c.output != formatTable {
				return printJSON(cmd.OutOrStdout(), q, c.output == formatJSON)
			}
			v := depths
			if q.ByTier != nil {
				v = depthsAndWaits
			}
			if err := printTable(cmd.OutOrStdout(), v, depthsOf(&q)); err != nil {
				return err
			}
			return printUnplaceable(cmd.OutOrStdout(), q.ByWorkloadType)
		}),
	})
	return c.flags(cmd)
}

// summary returns the totals of finished workloads as rows of text.
func summary(s *niyanta.CustomerStats) [][2]string {
	return [][2]string{
		{"days", s.StartDate + " to " + s.EndDate}, {"finished", fmt.Sprint(s.Summary.TotalWorkloads)},
		{"completed", fmt.Sprint(s.Summary.CompletedWorkloads)}, {"failed", fmt.Sprint(s.Summary.FailedWorkloads)},
		{"cancelled", fmt.Sprint(s.Summary.CancelledWorkloads)},
		{"execution", fmt.Sprintf("%.2f h", s.Summary.TotalExecutionHours)},
		{"cpu", fmt.Sprintf("%.2f h", s.Summary.TotalCPUSeconds/3600)},
		{"peak memory", fmt.Sprintf("%d MB", s.Summary.PeakMemoryMB)},
	}
}

// period is one row of statistics, whatever they are grouped by.
type period struct {
	name          string
	count         int
	mean, failing float64
}

var finished = view[period]{
	columns: []column{{name: "GROUP"}, {name: "FINISHED"}, {name: "AVERAGE"}, {name: "FAILED"}},
	row: func(g *period) []any {
		mean := lasting(g.mean).Round(time.Millisecond)
		return []any{g.name, g.count, mean, fmt.Sprintf("%.2f %%", 100*g.failing)}
	},
}

func groupsOf(s *niyanta.CustomerStats) (rows []period) {
	if s.ByDay != nil {
		for _, g := range *s.ByDay {
			rows = append(rows, period{g.Date, g.Count, g.AvgDurationSeconds, g.FailureRate})
		}
	}
	if s.ByHour != nil {
		for _, g := range *s.ByHour {
			rows = append(rows, period{g.Hour.UTC().Format("2006-01-02 15:04Z"), g.Count, g.AvgDurationSeconds, g.FailureRate})
		}
	}
	if s.ByWorkloadType != nil {
		for _, g := range *s.ByWorkloadType {
			rows = append(rows, period{g.WorkloadType, g.Count, g.AvgDurationSeconds, g.FailureRate})
		}
	}
	return rows
}

// depth is one row of a queue's depth.
type depth struct {
	name            string
	queued, running int
	oldest          *float64
	waited          *niyanta.Waited // of a tier
}

var depths = view[depth]{
	columns: []column{{name: "OF"}, {name: "QUEUED"}, {name: "RUNNING"}, {name: "OLDEST WAITS"}},
	row: func(d *depth) []any {
		wait := "-"
		if d.oldest != nil {
			wait = lasting(*d.oldest).Round(time.Second).String()
		}
		return []any{d.name, d.queued, d.running, wait}
	},
}

// depthsAndWaits are the depths with how long had waited what was placed lately.
var depthsAndWaits = view[depth]{
	columns: append(slices.Clone(depths.columns),
		column{name: "WAITED P50", rank: 3}, column{name: "P95", rank: 1}, column{name: "P99", rank: 2}),
	row: func(d *depth) []any {
		if d.waited == nil {
			return append(depths.row(d), "-", "-", "-")
		}
		return append(depths.row(d), waitedFor(d.waited.P50Seconds), waitedFor(d.waited.P95Seconds),
			waitedFor(d.waited.P99Seconds))
	},
}

func lasting(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// waitedFor returns a quantile as text. Quantiles are known within a tenth.
func waitedFor(s float64) string {
	d := lasting(s)
	switch {
	case d < time.Second:
		d = d.Round(time.Millisecond)
	case d < time.Minute:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Second)
	}
	return d.String()
}

func depthsOf(q *niyanta.QueueDepth) []depth {
	rows := []depth{{"all", q.QueueDepth, q.RunningWorkloads, q.OldestWaitSeconds, nil}}
	if q.ByTier != nil {
		for _, d := range *q.ByTier {
			rows = append(rows,
				depth{"tier " + string(d.Tier), d.QueueDepth, d.RunningWorkloads, d.OldestWaitSeconds, d.Waited})
		}
	}
	for _, d := range q.ByWorkloadType {
		rows = append(rows, depth{"type " + d.WorkloadType, d.QueueDepth, d.RunningWorkloads, d.OldestWaitSeconds, nil})
	}
	return rows
}

// printUnplaceable says what no worker can run, and how to find out why.
func printUnplaceable(w io.Writer, types []niyanta.TypeDepth) error {
	for _, d := range types {
		u := d.Unplaceable
		if u == nil {
			continue
		}
		about := ""
		if u.QueueDepthEstimated {
			about = "about "
		}
		if _, err := fmt.Fprintf(w, "\nNo worker can run %s%d of type %s: niyanta workload explain %s\n", about, u.QueueDepth,
			printable(d.WorkloadType), printable(u.FirstWorkloadID)); err != nil {
			return err
		}
	}
	return nil
}
