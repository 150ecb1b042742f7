package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func configSetCommand(c *cli) *cobra.Command {
	return c.flags(group("config-set", "Your defaults for each workload type",
		configSetWrite(c, "create", "Create a config", 0),
		configSetWrite(c, "update ID", "Change a config; fields that the body leaves out stay", 1),
		configSetList(c), configSetGet(c), configSetDelete(c),
	))
}

// configSetWrite creates a config, or with one argument changes it.
func configSetWrite(c *cli, use, short string, args int) *cobra.Command {
	var body string
	id := ""
	if args == 1 {
		id = " wlcfg_06h1hucrapuaf1fk2067as4l30"
	}
	verb, _, _ := strings.Cut(use, " ")
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Example: fmt.Sprintf(
			`  niyanta config-set %s%s --body '{"workload_type": "exec", "max_retries": 5, "timeout_seconds": 600}'`, verb, id),
		Args:              cobra.ExactArgs(args),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			if body == "" {
				return usage(errors.New("--body is missing: the config as JSON, @FILE, or - for standard input"))
			}
			var cfg niyanta.WorkloadConfig
			var err error
			if len(args) == 1 {
				var in niyanta.ConfigChange
				if err = inputInto(cmd, "body", body, &in); err == nil {
					cfg, err = cl.UpdateConfig(cmd.Context(), args[0], in)
				}
			} else {
				var in niyanta.ConfigInput
				if err = inputInto(cmd, "body", body, &in); err == nil {
					cfg, err = cl.CreateConfig(cmd.Context(), in)
				}
			}
			if err != nil {
				return err
			}
			return printOne(c, cmd, configs, cfg)
		}),
	}
	if args == 1 {
		cmd.ValidArgsFunction = c.completeConfig()
	}
	cmd.Flags().StringVar(&body, "body", "", "the config: JSON, @FILE, or - for standard input")
	return cmd
}

func configSetList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List configs",
		Example: `  niyanta config-set list -o jsonl`,
		Args:    cobra.NoArgs,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, _ []string) error {
			cs, err := niyanta.Collect(cl.Configs(cmd.Context()))
			if err != nil {
				return err
			}
			return printList(c, cmd, configs, cs, nil)
		}),
	}
}

func configSetGet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "get ID",
		Short:             "Show a config",
		Example:           `  niyanta config-set get wlcfg_06h1hucrapuaf1fk2067as4l30 -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeConfig(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			cfg, err := cl.Config(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printOne(c, cmd, configs, cfg)
		}),
	}
}

func configSetDelete(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "delete ID",
		Short:             "Delete a config that no unfinished workload uses",
		Example:           `  niyanta config-set delete wlcfg_06h1hucrapuaf1fk2067as4l30`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeConfig(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			if err := cl.DeleteConfig(cmd.Context(), args[0]); err != nil {
				return err
			}
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "deleted", args[0])
			return nil
		}),
	}
}

var configs = view[niyanta.WorkloadConfig]{
	collection: "configs",
	columns: []column{
		{name: "CONFIG"}, {name: "TYPE", text: true}, {name: "RETRIES", rank: 1}, {name: "BACKOFF", rank: 4},
		{name: "TIMEOUT", rank: 2}, {name: "CHECKPOINT", rank: 3}, {name: "DESCRIPTION", text: true, rank: 5},
	},
	row: func(x *niyanta.WorkloadConfig) []any {
		return []any{
			x.ConfigID, x.WorkloadType, x.MaxRetries, backoff(x.RetryBackoff),
			seconds(x.TimeoutSeconds), seconds(x.CheckpointIntervalSec), x.Description,
		}
	},
}

// backoff is a backoff for people: first pause, factor, longest pause.
func backoff(b niyanta.RetryBackoff) string {
	return fmt.Sprintf("%ss x %s up to %ss", or(b.InitialSeconds, "-"), or(b.Factor, "-"), or(b.MaxSeconds, "-"))
}

func seconds(n int) string { return fmt.Sprintf("%ds", n) }
