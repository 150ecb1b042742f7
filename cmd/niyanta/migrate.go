package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/niyanta/niyanta/bootstrap"
)

func migrateCommand(c *cli) *cobra.Command {
	var yes bool
	up := &cobra.Command{
		Use: "up", Short: "Bring the database to the newest version", Args: cobra.NoArgs,
		Example: `  NIYANTA_POSTGRES_URL=postgres://niyanta:…@db:5432/niyanta niyanta migrate up`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(bootstrap.RoleMigrate, nil)
			if err != nil {
				return err
			}
			n, err := bootstrap.MigrateUp(cmd.Context(), cfg, logger(cfg, cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			return c.printDetails(cmd, map[string]int{"applied": n}, [][2]string{{"applied", fmt.Sprint(n)}})
		},
	}
	down := &cobra.Command{
		Use: "down", Short: "Revert the newest migration, and delete its data", Args: cobra.NoArgs,
		Example: `  NIYANTA_POSTGRES_URL=postgres://niyanta:…@db:5432/niyanta niyanta migrate down --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return usage(errors.New("migrate down deletes data; say --yes to do it"))
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
			return c.printDetails(cmd, map[string]int64{"taken_back": version}, [][2]string{{"taken back", fmt.Sprint(version)}})
		},
	}
	down.Flags().BoolVar(&yes, "yes", false, "delete the data that the migration holds")
	status := &cobra.Command{
		Use: "status", Short: "List the migrations", Args: cobra.NoArgs,
		Example: `  NIYANTA_POSTGRES_URL=postgres://niyanta:…@db:5432/niyanta niyanta migrate status`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(bootstrap.RoleMigrate, nil)
			if err != nil {
				return err
			}
			found, err := bootstrap.MigrateStatus(cmd.Context(), cfg, logger(cfg, cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			return printList(c, cmd, migrations, found, nil)
		},
	}
	cmd := group("migrate", "Migrate the database, as coordinators do at their start", up, down, status)
	c.outputFlag(cmd)
	return cmd
}

var migrations = view[bootstrap.Migration]{
	collection: "migrations",
	columns:    []column{{name: "VERSION"}, {name: "NAME", text: true}, {name: "APPLIED"}},
	row: func(m *bootstrap.Migration) []any {
		if m.AppliedAt.IsZero() {
			return []any{m.Version, m.Name, "-"}
		}
		return []any{m.Version, m.Name, clock(m.AppliedAt)}
	},
}
