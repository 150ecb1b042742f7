package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:generate go test -run TestPages_OfTheseCommands_AreCurrent -count=1 . -args -write-pages

var writePages = flag.Bool("write-pages", false, "write docs/cli instead of comparing it")

const pagesDir = "../../docs/cli"

// TestPages_OfTheseCommands_AreCurrent compares the committed pages with the commands' help.
func TestPages_OfTheseCommands_AreCurrent(t *testing.T) {
	pages := renderPages(rootCommand(context.Background()))
	for name, page := range pages {
		assert.NotRegexp(t, `\(default: [^)]*\)\s+\(default `, page, "%s: one of the two is not true", name)
	}
	if *writePages {
		require.NoError(t, os.RemoveAll(pagesDir))
		require.NoError(t, os.MkdirAll(pagesDir, 0o755)) //nolint:gosec // documents
		for name, page := range pages {
			//nolint:gosec // a document
			require.NoError(t, os.WriteFile(filepath.Join(pagesDir, name), []byte(page), 0o644))
		}
		return
	}
	committed, err := os.ReadDir(pagesDir)
	require.NoError(t, err)
	assert.Len(t, committed, len(pages), "run make generate")
	for name, page := range pages {
		b, err := os.ReadFile(filepath.Join(pagesDir, name))
		require.NoError(t, err, "run make generate")
		assert.Equal(t, string(b), page, "run make generate")
	}
}

// renderPages returns a page for each command with its subcommands, and a page that lists them.
func renderPages(root *cobra.Command) map[string]string {
	index := "# Commands\n\nWritten by `make generate` from the commands themselves. Formats, exit codes and contexts:\n" +
		"[command-line.md](../command-line.md).\n\n| command | |\n|---|---|\n"
	pages := map[string]string{}
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" || cmd.Name() == "completion" || cmd.Hidden {
			continue
		}
		name := cmd.Name() + ".md"
		index += fmt.Sprintf("| [%s](%s) | %s |\n", cmd.CommandPath(), name, cmd.Short)
		var page strings.Builder
		fmt.Fprintf(&page, "# %s\n", cmd.CommandPath())
		renderCommand(&page, cmd)
		pages[name] = page.String()
	}
	pages["README.md"] = index
	return pages
}

// flagsWidth is the widest line of a list of flags.
const flagsWidth = 100

func renderCommand(w *strings.Builder, cmd *cobra.Command) {
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	fmt.Fprintf(w, "\n%s\n", about)
	if cmd.Runnable() && !isGroup(cmd) {
		fmt.Fprintf(w, "\n```\n%s\n```\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		lines := strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n")
		fmt.Fprintf(w, "\nFor example:\n\n```\n%s\n```\n", lines)
	}
	cmd.InitDefaultHelpFlag()
	if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
		title := "Flags"
		if cmd.HasSubCommands() {
			title = "Flags, also of the subcommands"
		}
		fmt.Fprintf(w, "\n%s:\n\n```\n%s\n```\n", title, strings.TrimRight(flags.FlagUsagesWrapped(flagsWidth), "\n"))
	}
	for _, sub := range cmd.Commands() {
		if sub.Name() == "help" || sub.Hidden {
			continue
		}
		fmt.Fprintf(w, "\n## %s\n", sub.CommandPath())
		renderCommand(w, sub)
	}
}
