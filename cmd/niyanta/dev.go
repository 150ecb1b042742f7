package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/niyanta/niyanta/bootstrap"
	niyanta "github.com/niyanta/niyanta/sdk"
)

func devCommand(hard context.Context) *cobra.Command {
	var workers, slots int
	var addr string
	var fresh bool
	cmd := &cobra.Command{
		Use:         "dev",
		Annotations: map[string]string{server: "dev"},
		Short:       "Run everything in one process, in memory",
		Long: `Run everything in one process, in memory: a coordinator, one premium customer (cust_dev) and
workers. Prints its url and keys on standard output; logs go to standard error.
When it ends, its workloads are lost. Its keys are kept in $XDG_STATE_HOME/niyanta/dev.json
(~/.local/state/niyanta/dev.json), and stay valid after a restart.`,
		Example: `  niyanta dev
  niyanta dev --addr 127.0.0.1:8090 --workers 0 --fresh`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if workers < 0 || workers > 100 {
				return usage(fmt.Errorf("--workers must be 0 to 100, not %d", workers))
			}
			store, err := openDevKeys(os.Getenv, fresh)
			if err != nil {
				return err
			}
			cfg, err := load(bootstrap.RoleDev, func(c *bootstrap.Config) {
				c.HTTPAddr = cmp.Or(addr, os.Getenv("NIYANTA_HTTP_ADDR"), bootstrap.DevHTTPAddr)
				if cmd.Flags().Changed("slots") {
					c.WorkerSlots = slots
				}
				if os.Getenv("NIYANTA_WORKERS") == "" || cmd.Flags().Changed("workers") {
					c.Workers = workers
				}
				store.fill(c)
			})
			if err != nil {
				return err
			}
			log := logger(cfg, cmd.ErrOrStderr())
			if done, err := supervised(cmd, cfg, bootstrap.RoleDev, log); done {
				return err
			}
			stopTracing, err := bootstrap.StartTracing(cmd.Context(), cfg, bootstrap.RoleDev, version, log)
			if err != nil {
				return err
			}
			defer stopTracing()
			dev, err := bootstrap.NewDev(cmd.Context(), cfg, cfg.Workers, version, log)
			if err != nil {
				return taken(err)
			}
			if err := store.save(dev); err != nil {
				log.Warn("the keys are not kept: the next start makes new ones", "error", err)
			}
			printWelcome(cmd.OutOrStdout(), os.Args[0], dev, devConsole(cmd.Context(), dev, log))
			serving, stop := bootstrap.UntilOrphaned(cmd.Context(), log)
			defer stop()
			return until(serving, hard, dev.Failed(), dev.App.Failed(), dev.Close)
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&workers, "workers", 2, "workers in this process (or NIYANTA_WORKERS); 0: workers join over HTTP")
	fs.IntVar(&slots, "slots", 10, "workloads that each worker runs at once")
	fs.StringVar(&addr, "addr", "", "listen address (default: NIYANTA_HTTP_ADDR, or "+bootstrap.DevHTTPAddr+")")
	fs.BoolVar(&fresh, "fresh", false, "make new keys and keep those")
	for _, name := range []string{"workers", "slots", "addr"} {
		completeFlag(cmd, name, cobra.NoFileCompletions)
	}
	return cmd
}

// taken adds to the error what to do if another process listens on the address.
func taken(err error) error {
	if errors.Is(err, bootstrap.ErrAddressTaken) {
		return fmt.Errorf("%w, for example with --addr 127.0.0.1:8090", err)
	}
	return err
}

// printWelcome prints the address and the keys of the server. Scripts may parse the lines up to the
// first empty one. The lines that begin with "export" are there to be copied. The commands name the
// program by the path with which it was called, because it may not be in PATH.
func printWelcome(w io.Writer, program string, dev *bootstrap.Dev, console string) {
	_, _ = fmt.Fprintf(w, `%[1]scustomer key: %[2]s
admin key: %[3]s
worker key: %[4]s

In another terminal, as the customer:

export NIYANTA_URL=%[5]s NIYANTA_API_KEY=%[2]s
%[7]s workload submit sleep --input '{"duration_ms": 3000, "steps": 10}' --wait

As the admin:

export NIYANTA_URL=%[6]s NIYANTA_API_KEY=%[3]s
%[7]s worker list

Console, signed in as the admin, once and within a minute; later: niyanta ui
%[8]s

Every endpoint: %[5]s/docs   Ctrl-C ends the server.
`, addresses(dev.App), dev.CustomerKey, dev.AdminKey, dev.WorkerKey, dev.App.URL(), dev.App.AdminURL(),
		program, console)
}

// devConsole returns the address of the console, with a code that signs in there as the admin.
func devConsole(ctx context.Context, dev *bootstrap.Dev, log *slog.Logger) string {
	admin, err := niyanta.NewClient(dev.App.AdminURL(), dev.AdminKey)
	if err == nil {
		defer admin.Close()
		var link consoleLink
		if link, err = makeConsoleLink(ctx, admin, dev.App.AdminURL()); err == nil {
			return link.URL
		}
	}
	log.Warn("no link to the console: sign in with a key", "error", err)
	return dev.App.AdminURL()
}
