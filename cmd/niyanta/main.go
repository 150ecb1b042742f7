// Command niyanta holds the servers (dev, server, coordinator, worker) and the client commands.
// Client commands use only the HTTP API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/niyanta/niyanta/bootstrap"
)

// version is set by the build.
var version = "dev"

func main() {
	if serves(os.Args[1:]) {
		if err := bootstrap.Prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "niyanta:", err)
			os.Exit(exitError)
		}
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// server is the annotation of commands that hold secrets for as long as they run.
const server = "server"

// serves reports whether a command line starts a server. Main calls it first, because a server must
// call bootstrap.Prepare before anything else.
func serves(args []string) bool {
	cmd, _, err := rootCommand(context.Background()).Find(args)
	return err == nil && cmd.Annotations[server] != ""
}

// Exit codes.
const (
	exitDone      = 0
	exitError     = 1
	exitUsage     = 2
	exitFailed    = 3 // the workload failed
	exitCancelled = 4 // the workload was cancelled
	exitTimeout   = 5 // waiting took too long

	// exitSignal is added to the number of the signal that interrupted a command.
	exitSignal = 128
)

// exit carries an exit code; an empty message prints nothing.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func usage(err error) error { return &exit{exitUsage, err} }

// run executes one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	serving := serves(args)
	soft, hard, stop := signals(context.Background(), serving)
	defer stop()
	root := rootCommand(hard)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(soft)
	if err == nil {
		return exitDone
	}
	msg := err.Error()
	if errors.Is(err, context.Canceled) && msg == context.Canceled.Error() {
		msg = "interrupted"
	}
	if msg != "" {
		_, _ = fmt.Fprintln(stderr, "niyanta:", printable(msg))
	}
	code := exitError
	var e *exit
	if errors.As(err, &e) {
		code = e.code
	}
	var s signalled
	if code == exitError && !serving && errors.As(context.Cause(soft), &s) {
		code = exitSignal + int(s.Signal)
	}
	return code
}

// signalled is the cause of a context that a signal ended.
type signalled struct{ syscall.Signal }

func (s signalled) Error() string { return s.String() }

// signals returns a context that ends with the first SIGINT or SIGTERM, and one that ends with the
// second. If twice is false, the second ends the process: what waits for something that cannot be
// interrupted ends by it too.
func signals(ctx context.Context, twice bool) (soft, hard context.Context, stop func()) {
	soft, endSoft := context.WithCancelCause(ctx)
	hard, endHard := context.WithCancel(ctx)
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case s := <-c:
			if !twice {
				signal.Stop(c)
			}
			number, _ := s.(syscall.Signal)
			endSoft(signalled{number})
		case <-hard.Done():
			return
		}
		select {
		case <-c:
			endHard()
		case <-hard.Done():
		}
	}()
	return soft, hard, func() { signal.Stop(c); endSoft(nil); endHard() }
}

func rootCommand(hard context.Context) *cobra.Command {
	c := &cli{}
	root := &cobra.Command{
		Use:   "niyanta",
		Short: "Run long-running workloads across a fleet of workers and lose none of them",
		Long: `Run long-running workloads across a fleet of workers and lose none of them.

Servers: dev has everything in one process, in memory; server has it on any store, alone or several
together; coordinator and worker are the parts of a fleet.
Clients: all others speak the HTTP API of the coordinator at NIYANTA_URL (default:
http://127.0.0.1:8080) with the key in NIYANTA_API_KEY, or those of the current context: see
"niyanta context --help".
Exit codes: 0 done, 1 error, 2 wrong usage or configuration, and for commands that wait for a
workload: 3 it failed, 4 it was cancelled, 5 the timeout passed. A command that a signal interrupted
exits with 128 and the signal's number: 130 after Ctrl-C. A second signal ends it at once.`,
		Example: `  niyanta dev
  niyanta workload submit sleep --input '{"duration_ms": 3000, "steps": 10}' --wait`,
		Version:           version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              cobra.NoArgs,
		PersistentPreRunE: c.check,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(seeHelp(cmd, err)) })
	root.AddCommand(
		devCommand(hard), serverCommand(hard), coordinatorCommand(), workerCommand(hard, c), configCommand(c),
		migrateCommand(c),
		contextCommand(c),
		workloadCommand(c), batchCommand(c), checkpointCommand(c), configSetCommand(c), customerCommand(c),
		keyCommand(c), statsCommand(c), scalingCommand(c), eventsCommand(c), uiCommand(c), benchCommand(c), doctorCommand(c),
		conformanceCommand(), scaleExporterCommand(),
		adminAuditCommand(c),
	)
	usageErrors(root)
	return root
}

// usageErrors makes commands with wrong arguments exit with exitUsage, and say which arguments they
// take.
func usageErrors(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			switch {
			case err == nil:
				return nil
			case !cmd.HasSubCommands():
				err = fmt.Errorf("want %q, got %d arguments", cmd.CommandPath()+arguments(cmd), len(args))
			default:
				if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
					err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
				}
			}
			return usage(seeHelp(cmd, err))
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

// arguments returns the arguments of a command as its usage line shows them.
func arguments(cmd *cobra.Command) string { return strings.TrimPrefix(cmd.Use, cmd.Name()) }

func seeHelp(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w; see %q", err, cmd.CommandPath()+" --help")
}

// group is a command that only holds others.
func group(use, short string, sub ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		cmd.SetOut(cmd.ErrOrStderr()) // help is not a result
		_ = cmd.Help()                // printing help does not fail
		return usage(fmt.Errorf("%s needs a subcommand", cmd.CommandPath()))
	}}
	cmd.AddCommand(sub...)
	return cmd
}
