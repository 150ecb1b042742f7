package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// The formats of -o.
const (
	formatTable = "table"
	formatJSON  = "json"  // one document
	formatLines = "jsonl" // one line of JSON for each item
)

var formats = []string{formatTable, formatJSON, formatLines}

// check checks what all commands have in common: arguments, and -o if the command has it.
func (c *cli) check(cmd *cobra.Command, args []string) error {
	if err := refuseEmpty(cmd, args); err != nil {
		return usage(seeHelp(cmd, err))
	}
	if cmd.Flags().Lookup("output") != nil && !slices.Contains(formats, c.output) {
		return usage(fmt.Errorf("-o must be table, json or jsonl, not %q", c.output))
	}
	return nil
}

// view describes how items of one kind are printed as a table. collection is the name of their list
// in the API.
type view[T any] struct {
	collection string
	columns    []column
	row        func(*T) []any
}

// printList prints a list on standard output. pagination is the one of the API's answer, or nil for
// a complete list.
func printList[T any](c *cli, cmd *cobra.Command, v view[T], items []T, pagination any) error {
	switch w := cmd.OutOrStdout(); c.output {
	case formatJSON:
		if items == nil {
			items = []T{}
		}
		list := map[string]any{v.collection: items}
		if pagination != nil {
			list["pagination"] = pagination
		}
		return printJSON(w, list, true)
	case formatLines:
		for i := range items {
			if err := printJSON(w, &items[i], false); err != nil {
				return err
			}
		}
	default:
		return printTable(w, v, items)
	}
	return nil
}

// printOne prints one item as a table of one row.
func printOne[T any](c *cli, cmd *cobra.Command, v view[T], item T) error {
	w := cmd.OutOrStdout()
	if c.output != formatTable {
		return printJSON(w, item, c.output == formatJSON)
	}
	return printTable(w, v, []T{item})
}

func printTable[T any](w io.Writer, v view[T], items []T) error {
	rows := make([][]string, len(items))
	for i := range items {
		for _, cell := range v.row(&items[i]) {
			rows[i] = append(rows[i], fmt.Sprint(cell))
		}
	}
	return writeTable(w, v.columns, rows, terminalWidth(w))
}

// printDetails prints one item, with a line for each detail.
func (c *cli) printDetails(cmd *cobra.Command, item any, rows [][2]string) error {
	w := cmd.OutOrStdout()
	if c.output != formatTable {
		return printJSON(w, item, c.output == formatJSON)
	}
	return writeDetails(w, rows, terminalWidth(w))
}

// or returns what p points to as text, or otherwise if p is nil.
func or[T any](p *T, otherwise string) string {
	if p == nil {
		return otherwise
	}
	return fmt.Sprint(*p)
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// clockOr returns a time as text, or otherwise if there is none.
func clockOr(t *time.Time, otherwise string) string {
	if t == nil {
		return otherwise
	}
	return clock(*t)
}

// counted is a number of things as text.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
