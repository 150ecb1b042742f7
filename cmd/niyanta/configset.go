package main

import (
	"fmt"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func configSetCommand(c *cli) *cobra.Command {
	return c.flags(group("config-set", "Your defaults per workload type",
		configSetWrite(c, "create", "Create a config", 0),
		configSetWrite(c, "update ID", "Replace a config", 1),
		configSetList(c), configSetGet(c), configSetDelete(c),
	))
}

// configSetWrite creates a config, or with one argument replaces it.
func configSetWrite(c *cli, use, short string, args int) *cobra.Command {
	var body string
	cmd := &cobra.Command{
		Use:     use,
		Short:   short,
		Example: `  niyanta config-set create --body '{"workload_type": "exec", "max_retries": 5, "timeout_seconds": 600}'`,
		Args:    cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			var in niyanta.ConfigInput
			if err := inputInto(cmd, "body", body, &in); err != nil {
				return err
			}
			var cfg niyanta.WorkloadConfig
			if len(args) == 1 {
				cfg, err = cl.UpdateConfig(cmd.Context(), args[0], in)
			} else {
				cfg, err = cl.CreateConfig(cmd.Context(), in)
			}
			if err != nil {
				return err
			}
			return c.showConfigs(cmd, cfg, []niyanta.WorkloadConfig{cfg})
		},
	}
	cmd.Flags().StringVar(&body, "body", "", "the config: JSON, @file, or - for standard input")
	_ = cmd.MarkFlagRequired("body") // the flag exists
	return cmd
}

func configSetList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List configs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			cs, err := cl.Configs(cmd.Context())
			if err != nil {
				return err
			}
			return c.showConfigs(cmd, cs, cs)
		},
	}
}

func configSetGet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "get ID",
		Short: "Show a config",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			cfg, err := cl.Config(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.showConfigs(cmd, cfg, []niyanta.WorkloadConfig{cfg})
		},
	}
}

func configSetDelete(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a config that no unfinished workload uses",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			return cl.DeleteConfig(cmd.Context(), args[0])
		},
	}
}

func (c *cli) showConfigs(cmd *cobra.Command, v any, cs []niyanta.WorkloadConfig) error {
	rows := make([][]any, len(cs))
	for i, x := range cs {
		rows[i] = []any{x.ConfigID, x.WorkloadType, x.MaxRetries, backoff(x.RetryBackoff), x.TimeoutSeconds, x.CheckpointIntervalSec, x.Description}
	}
	return c.show(cmd, v, []any{"CONFIG", "TYPE", "RETRIES", "BACKOFF S", "TIMEOUT S", "CHECKPOINT S", "DESCRIPTION"}, rows)
}

// backoff is a backoff for people: first wait, factor, longest wait.
func backoff(b niyanta.RetryBackoff) string {
	return fmt.Sprintf("%s x %s, at most %s", or(b.InitialSeconds, "-"), or(b.Factor, "-"), or(b.MaxSeconds, "-"))
}
