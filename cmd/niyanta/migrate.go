package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/niyanta/niyanta/bootstrap"
)

func migrateCommand(c *cli) *cobra.Command {
	var yes bool
	up := &cobra.Command{
		Use: "up", Short: "Bring the database to the newest version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(bootstrap.RoleMigrate, nil)
			if err != nil {
				return err
			}
			n, err := bootstrap.MigrateUp(cmd.Context(), cfg, logger(cfg, cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			return c.show(cmd, map[string]int{"applied": n}, []any{"APPLIED"}, [][]any{{n}})
		},
	}
	down := &cobra.Command{
		Use: "down", Short: "Take back the newest migration, with the data it holds", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return usage(errors.New("migrate down deletes data: say --yes"))
			}
			cfg, err := load(bootstrap.RoleMigrate, nil)
			if err != nil {
				return err
			}
			version, err := bootstrap.MigrateDown(cmd.Context(), cfg, logger(cfg, cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if version == 0 {
				return errors.New("no migration is applied")
			}
			return c.show(cmd, map[string]int64{"taken_back": version}, []any{"TAKEN BACK"}, [][]any{{version}})
		},
	}
	down.Flags().BoolVar(&yes, "yes", false, "delete the data that the migration holds")
	status := &cobra.Command{
		Use: "status", Short: "List the migrations", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(bootstrap.RoleMigrate, nil)
			if err != nil {
				return err
			}
			found, err := bootstrap.MigrateStatus(cmd.Context(), cfg, logger(cfg, cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			rows := make([][]any, len(found))
			for i, m := range found {
				applied := "-"
				if !m.AppliedAt.IsZero() {
					applied = clock(m.AppliedAt)
				}
				rows[i] = []any{m.Version, m.Name, applied}
			}
			return c.show(cmd, found, []any{"VERSION", "NAME", "APPLIED"}, rows)
		},
	}
	cmd := group("migrate", "Migrate the database (NIYANTA_POSTGRES_URL); coordinators do it at their start unless told not to", up, down, status)
	c.outputFlag(cmd)
	return cmd
}
