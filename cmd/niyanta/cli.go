package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// cli holds what client commands share.
type cli struct {
	url, key, context, output string
	tls                       niyanta.TLSFiles
	retryFor                  time.Duration
}

// flags adds the flags of client commands.
func (c *cli) flags(cmd *cobra.Command) *cobra.Command {
	c.outputFlag(cmd)
	return c.connectionFlags(cmd)
}

// connectionFlags adds the flags that say where requests go.
func (c *cli) connectionFlags(cmd *cobra.Command) *cobra.Command {
	fs := cmd.PersistentFlags()
	fs.StringVar(&c.url, "url", "",
		"coordinator, or several separated by commas (default: NIYANTA_URL, the current context's, or "+defaultURL+")")
	fs.StringVar(&c.key, "api-key", "",
		"API key (default: NIYANTA_API_KEY, the file that NIYANTA_API_KEY_FILE names, or the current context's)")
	fs.StringVar(&c.context, "context", "", "use this context; see niyanta context")
	tlsFlags(cmd, fs, &c.tls)
	fs.DurationVar(&c.retryFor, "retry-for", defaultRetryFor,
		"how long to go on trying while no coordinator answers, or while one asks to wait")
	completeFlag(cmd, "url", cobra.NoFileCompletions)
	completeFlag(cmd, "api-key", cobra.NoFileCompletions)
	completeFlag(cmd, "context", completeContext)
	completeFlag(cmd, "retry-for", cobra.NoFileCompletions)
	return cmd
}

// tlsFlags adds the flags that name the files of TLS connections.
func tlsFlags(cmd *cobra.Command, fs *pflag.FlagSet, f *niyanta.TLSFiles) {
	fs.StringVar(&f.CA, "ca-file", "",
		"certificates that sign the coordinators' own (default: NIYANTA_CA_FILE, or the system's)")
	fs.StringVar(&f.Cert, "cert-file", "", "client certificate, if a proxy asks for one (default: NIYANTA_CERT_FILE)")
	fs.StringVar(&f.Key, "key-file", "", "key of the client certificate (default: NIYANTA_KEY_FILE)")
	for _, name := range []string{"ca-file", "cert-file", "key-file"} {
		_ = cmd.MarkPersistentFlagFilename(name) // only for completion
	}
}

func (c *cli) outputFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&c.output, "output", "o", formatTable, "table, json, or jsonl (a line for each item)")
	_ = cmd.RegisterFlagCompletionFunc("output", oneOf(formats...))
}

// defaultRetryFor is how long a command goes on trying. It outlasts the restart of a coordinator.
// It is short enough for a user who forgot to start one.
const defaultRetryFor = 3 * time.Second

// address returns the address of the coordinator.
func (c *cli) address() string {
	t, _ := c.target() // an error was reported before
	return t.url
}

// command is the function that cobra runs. clientCommand also needs a client of the API.
type (
	command       = func(cmd *cobra.Command, args []string) error
	clientCommand = func(cmd *cobra.Command, cl *niyanta.Client, args []string) error
)

// call returns a command that makes a client of the API and runs f with it.
func (c *cli) call(f clientCommand) command {
	return func(cmd *cobra.Command, args []string) error {
		if err := notNegative("retry-for", c.retryFor); err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		if c.retryFor > defaultRetryFor {
			cl = cl.With(sayConnection(func(format string, args ...any) { say(cmd, format, args...) }))
		}
		return c.explainError(f(cmd, cl, args))
	}
}

func (c *cli) client() (*niyanta.Client, error) {
	t, err := c.target()
	if err != nil {
		return nil, err
	}
	if t.key == "" {
		return nil, t.errNoKey()
	}
	cl, err := t.client(niyanta.RetryFor(c.retryFor))
	if err != nil {
		return nil, usage(
			fmt.Errorf("%w; the url %q comes from %s, the key from %s", err, t.url, t.urlSource, t.keySource))
	}
	return cl, nil
}

// clientWith returns a client with another key.
func (c *cli) clientWith(key string) (*niyanta.Client, error) {
	t, err := c.target()
	if err != nil {
		return nil, err
	}
	t.key = key
	return t.client()
}

// moment parses the value of a flag that is a time.
func moment(flag, s string) (time.Time, error) {
	t, err := niyanta.ParseTime("--"+flag, s)
	var e *niyanta.Error
	if errors.As(err, &e) {
		return t, usage(fmt.Errorf("%s, not %q", e.Message, s))
	}
	return t, err
}

// notNegative checks a flag that is a duration.
func notNegative(flag string, d time.Duration) error {
	if d < 0 {
		return usage(fmt.Errorf("--%s must not be negative", flag))
	}
	return nil
}

// pairs reads repeated k=v flags.
func pairs(flag string, list []string) (map[string]string, error) {
	out := make(map[string]string, len(list))
	for _, s := range list {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, usage(fmt.Errorf("--%s must look like key=value, not %q", flag, s))
		}
		out[k] = v
	}
	return out, nil
}

// input reads a JSON argument: the text itself, @file, or - for standard input.
func input(cmd *cobra.Command, flag, s string) (json.RawMessage, error) {
	b := []byte(s)
	var err error
	switch {
	case s == "-":
		if b, err = io.ReadAll(stdin(cmd)); cmd.Context().Err() != nil {
			return nil, cmd.Context().Err()
		}
	case strings.HasPrefix(s, "@"):
		b, err = os.ReadFile(s[1:])
	}
	if err != nil {
		return nil, usage(fmt.Errorf("--%s: %w", flag, err))
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, usage(fmt.Errorf("--%s is not JSON: %w; say the text itself, @FILE, or - for standard input",
			flag, err))
	}
	return b, nil
}

// inputInto reads a JSON argument into v. A field that v does not have is an error, as in the API.
// If it were dropped silently, it would seem to have taken effect.
func inputInto(cmd *cobra.Command, flag, s string, v any) error {
	b, err := input(cmd, flag, s)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return usage(fmt.Errorf("--%s: %s", flag, strings.TrimPrefix(err.Error(), "json: ")))
	}
	return nil
}
