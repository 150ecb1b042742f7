package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/niyanta/niyanta/bootstrap"
)

func serverCommand(hard context.Context) *cobra.Command {
	var takeOver bool
	cmd := &cobra.Command{
		Use:         "server",
		Annotations: map[string]string{server: "server"},
		Short:       "Run a coordinator and workers in one process",
		Long: `Run a coordinator and workers in one process: the API, the scheduler, and the built-in types sleep,
http, and exec if NIYANTA_EXEC_ALLOW names programs. The environment configures it as it does a
coordinator and a worker; NIYANTA_ADMIN_KEY is required. Several servers on one PostgreSQL work
together: when one ends or dies, its work moves to the others. They need no bus; without one they
wake each other through the database.
The first SIGTERM drains its workers and releases the leader lease, the second ends it at once.`,
		Example: `  NIYANTA_STORE=postgres NIYANTA_POSTGRES_URL=postgres://… NIYANTA_ADMIN_KEY=… niyanta server
  NIYANTA_ADMIN_KEY=… NIYANTA_WORKER_SLOTS=50 niyanta server`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runServer(hard, cmd, takeOver) },
	}
	cmd.Flags().BoolVar(&takeOver, "take-over", false, "with NIYANTA_WORKER_ID: "+takeOverUsage)
	return cmd
}

// runServer runs a server until the first signal, then stops it in order. The second signal ends it
// at once.
func runServer(hard context.Context, cmd *cobra.Command, takeOver bool) error {
	cfg, err := load(bootstrap.RoleServer, nil)
	if err != nil {
		return err
	}
	cfg.TakeOver = takeOver
	log := logger(cfg, cmd.ErrOrStderr())
	if done, err := supervised(cmd, cfg, bootstrap.RoleServer, log); done {
		return err
	}
	stopTracing, err := bootstrap.StartTracing(cmd.Context(), cfg, bootstrap.RoleServer, version, log)
	if err != nil {
		return err
	}
	defer stopTracing()
	s, err := bootstrap.NewServer(cmd.Context(), cfg, version, log)
	if err != nil {
		return err
	}
	if err := s.Start(hard); err != nil {
		return err
	}
	_, _ = fmt.Fprint(cmd.OutOrStdout(), addresses(s.App))
	serving, stop := bootstrap.UntilOrphaned(cmd.Context(), log)
	defer stop()
	return until(serving, hard, s.Failed(), s.App.Failed(), s.Close)
}
