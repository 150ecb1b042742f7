package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/niyanta/niyanta/bootstrap"
)

// load reads and validates the configuration of a role. Its error lists every mistake.
func load(role bootstrap.Role, change func(*bootstrap.Config)) (bootstrap.Config, error) {
	cfg, err := bootstrap.Load(os.Environ())
	if change != nil {
		change(&cfg)
	}
	if err := errors.Join(err, cfg.Validate(role)); err != nil {
		return cfg, invalid(err)
	}
	return cfg, nil
}

// invalid returns an error that lists the mistakes of the configuration, one a line.
func invalid(err error) error {
	return usage(fmt.Errorf("the configuration is not valid:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  ")))
}

func logger(cfg bootstrap.Config, w io.Writer) *slog.Logger {
	return bootstrap.NewLogger(w, cfg.LogLevel, cfg.LogFormat)
}

// addresses returns lines with the URL of the API and the addresses that it listens on. ":8080"
// means all interfaces of the machine.
func addresses(app *bootstrap.App) string {
	admin := ""
	if app.AdminURL() != app.URL() {
		admin = fmt.Sprintf("admin url: %s\n", app.AdminURL())
	}
	return fmt.Sprintf("url: %s\n%slistening on: %s\n", app.URL(), admin, strings.Join(app.Addrs(), ", "))
}

// until waits until soft ends or something fails, and then closes. When hard ends, it does not wait
// for the close any longer.
func until(soft, hard context.Context, failed, alsoFailed <-chan error, closeAll func(context.Context) error) error {
	var err error
	select {
	case err = <-failed:
	case err = <-alsoFailed:
	case <-soft.Done():
	}
	closed := make(chan error, 1)
	go func() { closed <- closeAll(hard) }()
	select {
	case cerr := <-closed:
		return errors.Join(err, cerr)
	case <-hard.Done():
		return errors.Join(err, errors.New("stopped by a second signal"))
	}
}

func coordinatorCommand() *cobra.Command {
	return &cobra.Command{
		Use:         "coordinator",
		Annotations: map[string]string{server: "coordinator"},
		Short:       "Run a coordinator: API, worker protocol, scheduler",
		Long: `Run a coordinator: API, worker protocol, scheduler. The environment configures it; "niyanta config"
prints every variable. NIYANTA_ADMIN_KEY is required; onboard the first customer with it.`,
		Example: `  NIYANTA_ADMIN_KEY=… NIYANTA_WORKER_KEY=… niyanta coordinator
  NIYANTA_STORE=postgres NIYANTA_POSTGRES_URL=postgres://… NIYANTA_ADMIN_KEY=… niyanta coordinator`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(bootstrap.RoleCoordinator, nil)
			if err != nil {
				return err
			}
			log := logger(cfg, cmd.ErrOrStderr())
			if done, err := supervised(cmd, cfg, bootstrap.RoleCoordinator, log); done {
				return err
			}
			stopTracing, err := bootstrap.StartTracing(cmd.Context(), cfg, bootstrap.RoleCoordinator, version, log)
			if err != nil {
				return err
			}
			defer stopTracing()
			app, err := bootstrap.NewCoordinator(cmd.Context(), cfg, log)
			if err != nil {
				return err
			}
			app.Version = version
			if err := app.Start(cmd.Context()); err != nil {
				return err
			}
			_, _ = fmt.Fprint(cmd.OutOrStdout(), addresses(app))
			serving, stop := bootstrap.UntilOrphaned(cmd.Context(), log)
			defer stop()
			return until(serving, context.WithoutCancel(serving), app.Failed(), nil, app.Close)
		},
	}
}

// supervised runs the command as a supervised child, if the command has a supervisor. done is false
// if this process must run the command itself.
func supervised(
	cmd *cobra.Command, cfg bootstrap.Config, role bootstrap.Role, log *slog.Logger,
) (done bool, err error) {
	status, done, err := bootstrap.Supervise(cmd.Context(), cfg, role, log)
	if err != nil {
		return true, err
	}
	if status != 0 {
		err = &exit{code: status} // the child has printed its error
	}
	return done, err
}

// runWorker runs a worker with the built-in types. The first signal drains it, and the second ends
// it at once.
func runWorker(hard context.Context, cmd *cobra.Command, takeOver bool) error {
	cfg, err := load(bootstrap.RoleWorker, nil)
	if err != nil {
		return err
	}
	cfg.TakeOver = takeOver
	log := logger(cfg, cmd.ErrOrStderr())
	if done, err := supervised(cmd, cfg, bootstrap.RoleWorker, log); done {
		return err
	}
	w, err := bootstrap.NewWorker(hard, cfg, version, log)
	if err != nil {
		return err
	}
	working, stop := bootstrap.UntilOrphaned(cmd.Context(), log)
	defer stop()
	return w.Run(working)
}

func configCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Print the effective configuration, secrets masked",
		Example: `  NIYANTA_STORE=postgres niyanta config`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := bootstrap.Load(os.Environ())
			if err != nil {
				return invalid(err)
			}
			settings := cfg.Settings()
			if c.output == formatTable {
				return printTable(cmd.OutOrStdout(), settingsView, settings)
			}
			values := map[string]string{}
			for _, s := range settings {
				values[s.Variable] = s.Value
			}
			return printJSON(cmd.OutOrStdout(), values, c.output == formatJSON)
		},
	}
	c.outputFlag(cmd)
	return cmd
}

var settingsView = view[bootstrap.Setting]{
	columns: []column{{name: "VARIABLE"}, {name: "VALUE", text: true}},
	row:     func(s *bootstrap.Setting) []any { return []any{s.Variable, s.Value} },
}
