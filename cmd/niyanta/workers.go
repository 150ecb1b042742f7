package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

const takeOverUsage = "end the session of another process that has the same worker id, before its lease is over"

func workerCommand(hard context.Context, c *cli) *cobra.Command {
	var takeOver bool
	cmd := &cobra.Command{
		Use:         "worker",
		Annotations: map[string]string{server: "worker"},
		Short:       "Run a worker with the built-in types, or list, drain and remove workers",
		Long: `Without a subcommand, run a worker with the built-in types: sleep, http, and exec if
NIYANTA_EXEC_ALLOW names programs. It reaches its coordinators over the bus that NIYANTA_BUS names,
and over HTTP at NIYANTA_COORDINATOR_URL with NIYANTA_WORKER_KEY: for everything if there is no bus,
else for what is too large for the bus and while the bus is disconnected.
The first SIGTERM drains the worker, the second ends it at once.
The subcommands need an admin key.`,
		Example: `  NIYANTA_COORDINATOR_URL=http://127.0.0.1:8080 NIYANTA_WORKER_KEY=… niyanta worker
  niyanta worker list
  niyanta worker drain worker-1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runWorker(hard, cmd, takeOver) },
	}
	cmd.Flags().BoolVar(&takeOver, "take-over", false, takeOverUsage)
	list := &cobra.Command{
		Use:     "list",
		Short:   "List workers",
		Example: `  niyanta worker list -o jsonl`,
		Args:    cobra.NoArgs,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, _ []string) error {
			ws, err := niyanta.Collect(cl.Workers(cmd.Context()))
			if err != nil {
				return err
			}
			return printList(c, cmd, workers, ws, nil)
		}),
	}
	get := &cobra.Command{
		Use:               "get ID",
		Short:             "Show a worker",
		Example:           `  niyanta worker get worker-1`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorker(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			w, err := cl.Worker(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printOne(c, cmd, workers, w)
		}),
	}
	cmd.AddCommand(list, get, workerEventsCommand(c),
		drainCommand(c, "drain", "Give a worker no more work; what runs is checkpointed and runs elsewhere",
			(*niyanta.Client).DrainWorker),
		drainCommand(c, "undrain", "End the drain of a worker: it gets work again", (*niyanta.Client).UndrainWorker),
		removeCommand(c))
	return c.flags(cmd)
}

var workers = view[niyanta.WorkerInfo]{
	collection: "workers",
	columns: []column{
		{name: "WORKER"}, {name: "STATUS"}, {name: "SLOTS"}, {name: "DEVICES", text: true, rank: 1},
		{name: "TYPES", text: true},
		{name: "LAST HEARTBEAT", rank: 1}, {name: "VERSION", text: true, rank: 2},
	},
	row: func(w *niyanta.WorkerInfo) []any {
		return []any{
			w.WorkerID, w.Status, fmt.Sprintf("%d/%d", w.CapacityUsed, w.CapacityTotal), devices(w),
			strings.Join(w.Capabilities, ","),
			clock(w.LastHeartbeat), w.Version,
		}
	},
}

// devices returns what is taken of how many devices of each model, such as "1.5/2 A10".
func devices(w *niyanta.WorkerInfo) string {
	modelOf := map[string]string{}
	total, taken := map[string]int{}, map[string]float64{}
	for _, d := range w.Resources.Devices {
		model := cmp.Or(d.Model, "GPU")
		modelOf[d.ID] = model
		total[model]++
	}
	if w.Allocated != nil {
		for _, s := range w.Allocated.Devices {
			taken[modelOf[s.ID]] += s.Share
		}
	}
	var parts []string
	for _, model := range slices.Sorted(maps.Keys(total)) {
		used := strconv.FormatFloat(taken[model], 'f', -1, 64)
		parts = append(parts, fmt.Sprintf("%s/%d %s", used, total[model], model))
	}
	return strings.Join(parts, ", ")
}

func workerEventsCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "events ID",
		Short:             "Print a worker's audit trail, the oldest event first",
		Example:           `  niyanta worker events worker-1`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorker(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			events, err := niyanta.Collect(cl.WorkerEvents(cmd.Context(), args[0], 0))
			if err != nil {
				return err
			}
			return printList(c, cmd, workerEvents, events, nil)
		}),
	}
}

var workerEvents = view[niyanta.WorkerEvent]{
	columns: []column{{name: "TIME"}, {name: "EVENT"}, {name: "ACTOR", text: true, rank: 1}, {name: "REASON", text: true}},
	row: func(e *niyanta.WorkerEvent) []any {
		return []any{clock(e.Timestamp), e.EventType, string(e.ActorType) + " " + e.ActorID, or(e.Details.Reason, "")}
	},
}

// drainCommand is a command that begins a drain or takes it back.
func drainCommand(
	c *cli, verb, short string, ask func(*niyanta.Client, context.Context, string) (niyanta.WorkerInfo, error),
) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " ID",
		Short:             short,
		Example:           fmt.Sprintf("  niyanta worker %s worker-1", verb),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorker(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			w, err := ask(cl, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printOne(c, cmd, workers, w)
		}),
	}
}

func removeCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "remove ID",
		Short:             "Remove a worker; its work is redistributed at once",
		Example:           `  niyanta worker remove worker-1`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeWorker(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			if err := cl.RemoveWorker(cmd.Context(), args[0]); err != nil {
				return err
			}
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "removed", args[0])
			return nil
		}),
	}
}
