package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/niyanta/niyanta/bootstrap"
	niyanta "github.com/niyanta/niyanta/sdk"
)

func contextCommand(c *cli) *cobra.Command {
	cmd := group("context", "Keep addresses and keys of coordinators under names",
		contextAddCommand(), contextUseCommand(), contextListCommand(c), contextRemoveCommand())
	cmd.Long = `Keep addresses and keys of coordinators under names. Client commands use the current context unless
--context names another one. NIYANTA_URL and NIYANTA_API_KEY take precedence over the current one.
Contexts are kept in $XDG_CONFIG_HOME/niyanta/contexts.json (~/.config/niyanta/contexts.json), which
only you may read.`
	return cmd
}

func contextAddCommand() *cobra.Command {
	var url, key string
	var replace bool
	var files niyanta.TLSFiles
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Keep an address and a key; the first context becomes the current one",
		Long: `Keep an address and a key; the first context becomes the current one. Without --api-key, the key is
NIYANTA_API_KEY or the content of the file that NIYANTA_API_KEY_FILE names; if neither is set, it is
asked for on the terminal.`,
		Example: `  niyanta context add dev --url http://127.0.0.1:8080
  niyanta context add prod --url https://a.example.com,https://b.example.com --api-key - <key.txt
  niyanta context add own --url https://niyanta.example:8080 --ca-file ca.crt`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if !contextName.MatchString(name) {
				return usage(fmt.Errorf("a name has up to 64 letters, digits, dots, dashes and underscores, unlike %q", name))
			}
			s, err := openContexts(os.Getenv)
			if err != nil {
				return err
			}
			if _, known := s.Contexts[name]; known && !replace {
				return usage(fmt.Errorf("there is a context %q already; say --replace to change it", name))
			}
			saved := savedContext{URL: url}
			if saved.APIKey, err = givenKey(cmd, key); err != nil {
				return err
			}
			t := target{url: saved.URL, key: saved.APIKey, tls: files}
			if _, err := t.client(); err != nil {
				return usage(err)
			}
			if err := saved.keepFiles(files); err != nil {
				return err
			}
			s.Contexts[name] = saved
			if s.Current == "" {
				s.Current = name
			}
			if err := s.save(); err != nil {
				return err
			}
			say(cmd, "added %s", name)
			sayCurrent(cmd, s)
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&url, "url", defaultURL, "the coordinator, or several separated by commas")
	fs.StringVar(&key, "api-key", "", "the API key; - reads it from standard input")
	fs.BoolVar(&replace, "replace", false, "replace an existing context")
	tlsFlags(cmd, cmd.PersistentFlags(), &files)
	completeFlag(cmd, "url", cobra.NoFileCompletions)
	completeFlag(cmd, "api-key", cobra.NoFileCompletions)
	return cmd
}

// keepFiles remembers the files by paths that hold in every working directory.
func (c *savedContext) keepFiles(f niyanta.TLSFiles) error {
	for _, file := range []struct {
		path string
		into *string
	}{{f.CA, &c.CAFile}, {f.Cert, &c.CertFile}, {f.Key, &c.KeyFile}} {
		if file.path == "" {
			continue
		}
		path, err := filepath.Abs(file.path)
		if err != nil {
			return err
		}
		*file.into = path
	}
	return nil
}

// givenKey returns the key for a new context, from the flag, standard input, the environment or the
// terminal.
func givenKey(cmd *cobra.Command, flag string) (string, error) {
	if flag != "" && flag != "-" {
		return flag, nil
	}
	if flag == "" {
		key, err := bootstrap.SecretFromEnv("NIYANTA_API_KEY")
		if err != nil {
			return "", usage(err)
		}
		if key != "" {
			return key, nil
		}
		in, ok := cmd.InOrStdin().(*os.File)
		if !ok || !term.IsTerminal(int(in.Fd())) { //nolint:gosec // a file descriptor fits
			return "", usage(errors.New("no API key: say --api-key, or --api-key - to read it from standard input"))
		}
		_, _ = fmt.Fprint(cmd.ErrOrStderr(), "API key (not shown): ")
		b, err := readPassword(cmd.Context(), int(in.Fd())) //nolint:gosec // a file descriptor fits
		_, _ = fmt.Fprintln(cmd.ErrOrStderr())
		return nonEmptyKey(b, err)
	}
	return nonEmptyKey(io.ReadAll(io.LimitReader(stdin(cmd), 64<<10)))
}

func nonEmptyKey(b []byte, err error) (string, error) {
	key := strings.TrimSpace(string(b))
	if err == nil && key == "" {
		err = errors.New("the API key is empty")
	}
	return key, err
}

func contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "Make a context the current one",
		Example:           `  niyanta context use prod`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContext,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := openContexts(os.Getenv)
			if err != nil {
				return err
			}
			if _, err := s.get(args[0]); err != nil {
				return err
			}
			s.Current = args[0]
			if err := s.save(); err != nil {
				return err
			}
			sayCurrent(cmd, s)
			return nil
		},
	}
}

// sayCurrent says which context is the current one, and whether a variable takes precedence over
// it.
func sayCurrent(cmd *cobra.Command, s *contextStore) {
	say(cmd, "the current context is %s: %s", s.Current, s.Contexts[s.Current].URL)
	if name := setInEnvironment(); name != "" {
		say(cmd, "but %s is set, which goes before it in this shell", name)
	}
}

func contextListCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List contexts, without their keys",
		Example:           `  niyanta context list`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := openContexts(os.Getenv)
			if err != nil {
				return err
			}
			var listed []listedContext
			for _, name := range s.names() {
				listed = append(listed, listedContext{Name: name, URL: s.Contexts[name].URL, Current: name == s.Current})
			}
			return printList(c, cmd, listedContexts, listed, nil)
		},
	}
	c.outputFlag(cmd)
	return cmd
}

// listedContext is a context without its key.
type listedContext struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Current bool   `json:"current"`
}

var listedContexts = view[listedContext]{
	collection: "contexts",
	columns:    []column{{name: "CURRENT"}, {name: "NAME"}, {name: "URL"}},
	row: func(l *listedContext) []any {
		mark := ""
		if l.Current {
			mark = "*"
		}
		return []any{mark, l.Name, l.URL}
	},
}

func contextRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Short:             "Remove a context; its key stays valid",
		Example:           `  niyanta context remove old`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContext,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := openContexts(os.Getenv)
			if err != nil {
				return err
			}
			if _, err := s.get(args[0]); err != nil {
				return err
			}
			delete(s.Contexts, args[0])
			wasCurrent := s.Current == args[0]
			if wasCurrent {
				s.Current = ""
			}
			if err := s.save(); err != nil {
				return err
			}
			say(cmd, "removed %s", args[0])
			if wasCurrent && len(s.Contexts) > 0 {
				say(cmd, "there is no current context now; niyanta context use makes one")
			}
			return nil
		},
	}
}

// completeContext completes the name of a context.
func completeContext(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	s, err := openContexts(os.Getenv)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, name := range s.names() {
		names = append(names, described(name, s.Contexts[name].URL))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// say prints a message for the user on standard error.
func say(cmd *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintln(cmd.ErrOrStderr(), printable(fmt.Sprintf(format, args...)))
}
