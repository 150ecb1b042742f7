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

	"github.com/jedib0t/go-pretty/v6/table"
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
	cmd.PersistentFlags().StringVar(&c.key, "api-key", "", "API key (default: NIYANTA_API_KEY, or the file that NIYANTA_API_KEY_FILE names)")
	c.outputFlag(cmd)
	return cmd
}

func (c *cli) outputFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&c.output, "output", "o", "table", "table or json")
}

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

func (c *cli) client() (*niyanta.Client, error) {
	if c.output != "table" && c.output != "json" {
		return nil, usage(fmt.Errorf("-o must be table or json, not %q", c.output))
	}
	url, key := c.address(), c.key
	if key == "" {
		var err error
		if key, err = bootstrap.SecretFromEnv("NIYANTA_API_KEY"); err != nil {
			return nil, usage(err)
		}
	}
	if key == "" {
		return nil, usage(errors.New("no API key: set NIYANTA_API_KEY, NIYANTA_API_KEY_FILE or --api-key"))
	}
	cl, err := niyanta.NewClient(url, key)
	if err != nil {
		return nil, usage(err)
	}
	return cl, nil
}

// show prints data on standard output: v as JSON, or rows as a table.
func (c *cli) show(cmd *cobra.Command, v any, header []any, rows [][]any) error {
	switch c.output {
	case "json":
		return printJSON(cmd.OutOrStdout(), v, true)
	case "table":
	default:
		return usage(fmt.Errorf("-o must be table or json, not %q", c.output))
	}
	t := table.NewWriter()
	t.SetOutputMirror(cmd.OutOrStdout())
	t.SetStyle(table.StyleDefault)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.Style().Box.PaddingLeft, t.Style().Box.PaddingRight = "", "  "
	if header != nil {
		t.AppendHeader(header)
	}
	for _, r := range rows {
		for i := range r {
			r[i] = printable(fmt.Sprint(r[i]))
		}
		t.AppendRow(r)
	}
	t.Render()
	return nil
}

// printable keeps control characters of names and messages from the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, s)
}

func printJSON(w io.Writer, v any, indent bool) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}

func or[T any](p *T, otherwise string) string {
	if p == nil {
		return otherwise
	}
	return fmt.Sprint(*p)
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// moment reads a flag that is a time.
func moment(flag, s string) (time.Time, error) {
	t, err := niyanta.ParseTime("--"+flag, s)
	var e *niyanta.Error
	if errors.As(err, &e) {
		return t, usage(fmt.Errorf("%s, not %q", e.Message, s))
	}
	return t, err
}

// patience checks a flag that bounds a wait: 0 is for ever, and nothing less is.
func patience(flag string, d time.Duration) error {
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
	if !json.Valid(b) {
		return nil, usage(fmt.Errorf("--%s is not JSON", flag))
	}
	return b, nil
}

// inputInto reads a JSON argument into v. A field that v doesn't have is an error, as it is to the API: left out, it would look as if it
// had been heeded.
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
