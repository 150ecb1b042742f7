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

	"github.com/niyanta/niyanta/bootstrap"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// cli is what client commands share.
type cli struct {
	url, key, output string
}

// flags adds the flags of client commands.
func (c *cli) flags(cmd *cobra.Command) *cobra.Command {
	cmd.PersistentFlags().StringVar(&c.url, "url", "", "coordinator (default: NIYANTA_URL, or http://127.0.0.1:8080)")
	cmd.PersistentFlags().StringVar(&c.key, "api-key", "",
		"API key (default: NIYANTA_API_KEY, or the file that NIYANTA_API_KEY_FILE names)")
	_ = cmd.RegisterFlagCompletionFunc("url", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("api-key", cobra.NoFileCompletions)
	c.outputFlag(cmd)
	return cmd
}

func (c *cli) outputFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&c.output, "output", "o", formatTable, "table, json, or jsonl (a line for each item)")
	_ = cmd.RegisterFlagCompletionFunc("output", oneOf(formats...))
}

// retryFor is how long a command goes on trying: through a restart, but not so long that somebody
// who forgot to start a coordinator wonders.
const retryFor = 3 * time.Second

// address is where the coordinator is.
func (c *cli) address() string {
	if c.url != "" {
		return c.url
	}
	if url := os.Getenv("NIYANTA_URL"); url != "" {
		return url
	}
	return "http://127.0.0.1:8080"
}

// command is what cobra runs; clientCommand is one that also needs a client of the API.
type (
	command       = func(cmd *cobra.Command, args []string) error
	clientCommand = func(cmd *cobra.Command, cl *niyanta.Client, args []string) error
)

// call makes a command of one that needs a client of the API.
func (c *cli) call(f clientCommand) command {
	return func(cmd *cobra.Command, args []string) error {
		cl, err := c.client()
		if err != nil {
			return err
		}
		return c.explainError(f(cmd, cl, args))
	}
}

func (c *cli) client() (*niyanta.Client, error) {
	url, key := c.address(), c.key
	if key == "" {
		var err error
		if key, err = bootstrap.SecretFromEnv("NIYANTA_API_KEY"); err != nil {
			return nil, usage(err)
		}
	}
	if key == "" {
		return nil, usage(errors.New("no API key: set NIYANTA_API_KEY or NIYANTA_API_KEY_FILE, or say --api-key; " +
			"niyanta dev prints one"))
	}
	cl, err := niyanta.NewClient(url, key, niyanta.RetryFor(retryFor))
	if err != nil {
		return nil, usage(fmt.Errorf("%w, not %q; --url or NIYANTA_URL says it", err, url))
	}
	return cl, nil
}

// moment reads a flag that is a time.
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
		b, err = io.ReadAll(cmd.InOrStdin())
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

// inputInto reads a JSON argument into v. A field that v does not have is an error, as it is to the
// API: dropped silently, it would look as if it had taken effect.
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
