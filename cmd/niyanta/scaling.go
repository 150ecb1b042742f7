package main

import (
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// pool is one row of the pools.
type pool struct {
	name string
	niyanta.PoolScale
}

var pools = view[pool]{
	columns: []column{
		{name: "POOL"}, {name: "WAITING"}, {name: "RUNNING"}, {name: "CAPACITY"}, {name: "WORKERS"}, {name: "DESIRED"},
		{name: "OLDEST WAITS"},
	},
	row: func(p *pool) []any {
		wait := "-"
		if p.Waiting > 0 {
			wait = time.Duration(p.OldestWaitSeconds * float64(time.Second)).Round(time.Second).String()
		}
		return []any{p.name, p.Waiting, p.Running, p.Capacity, p.Workers, p.DesiredWorkers, wait}
	},
}

func scalingCommand(c *cli) *cobra.Command {
	return c.flags(&cobra.Command{
		Use:   "scaling",
		Short: "Show how many workers each pool has and needs; with an admin's or a scaler's key",
		Long: `Show how many workers each pool has and needs. Pools are those of the coordinators' setting
NIYANTA_POOLS. Running and capacity count slots.`,
		Example: `  niyanta scaling
  niyanta scaling -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, _ []string) error {
			s, err := cl.Scaling(cmd.Context())
			if err != nil {
				return err
			}
			if c.output != formatTable {
				return printJSON(cmd.OutOrStdout(), s, c.output == formatJSON)
			}
			var rows []pool
			for _, name := range slices.Sorted(maps.Keys(s.Pools)) {
				rows = append(rows, pool{name, s.Pools[name]})
			}
			return printTable(cmd.OutOrStdout(), pools, rows)
		}),
	})
}
