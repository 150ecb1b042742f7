package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// column is a column of a table. On a terminal that is too narrow for the table, text is truncated
// first. If that is not enough, columns are left out: first the empty ones, then those with the
// highest rank. A column without text and rank is always shown in full. Ids are in such columns,
// because people copy them.
type column struct {
	name string
	text bool // may be truncated
	rank int  // 0: never left out
}

const (
	// columnGap is the space between two columns.
	columnGap = "  "
	// minTextWidth is the least width of a text column.
	minTextWidth = 12
)

// writeTable writes rows below a header. width is that of the terminal. It is 0 if w is no
// terminal; then nothing is left out.
func writeTable(w io.Writer, columns []column, rows [][]string, width int) error {
	t := newTable()
	header := make(table.Row, len(columns))
	for i, c := range columns {
		header[i] = c.name
	}
	t.AppendHeader(header)
	for _, r := range rows {
		row := make(table.Row, len(r))
		for i, cell := range r {
			row[i] = strings.Join(strings.Fields(printable(cell)), " ")
			r[i] = fmt.Sprint(row[i])
		}
		t.AppendRow(row)
	}
	if width > 0 {
		t.SetColumnConfigs(fit(columns, rows, width))
	}
	return render(w, t)
}

// render writes a table. The package of tables drops the errors of what it writes to.
func render(w io.Writer, t table.Writer) error {
	s := t.Render()
	if s == "" {
		return nil
	}
	_, err := io.WriteString(w, s+"\n")
	return err
}

// fit decides which columns are left out and how wide text may be, so that no row is wider than the
// terminal.
func fit(columns []column, rows [][]string, width int) []table.ColumnConfig {
	natural, least := make([]int, len(columns)), make([]int, len(columns))
	ranks := make([]int, len(columns))
	for i, c := range columns {
		natural[i] = text.StringWidth(c.name)
		empty := true
		for _, r := range rows {
			natural[i] = max(natural[i], text.StringWidth(r[i]))
			empty = empty && (r[i] == "" || r[i] == "-")
		}
		if ranks[i] = c.rank; empty {
			ranks[i] = len(columns) + 1
		}
		least[i] = natural[i]
		if c.text {
			least[i] = min(natural[i], max(minTextWidth, text.StringWidth(c.name)))
		}
	}
	configs := make([]table.ColumnConfig, len(columns))
	needed := func() int {
		sum := -len(columnGap)
		for i := range columns {
			if !configs[i].Hidden {
				sum += least[i] + len(columnGap)
			}
		}
		return sum
	}
	for needed() > width {
		last := -1
		for i := range columns {
			if !configs[i].Hidden && ranks[i] > 0 && (last < 0 || ranks[i] > ranks[last]) {
				last = i
			}
		}
		if last < 0 {
			break
		}
		configs[last].Hidden = true
	}
	spare := max(width-needed(), 0)
	for i, c := range columns {
		configs[i].Number = i + 1
		if !c.text || configs[i].Hidden {
			continue
		}
		wider := min(spare, natural[i]-least[i])
		spare -= wider
		configs[i].WidthMax = least[i] + wider
		configs[i].WidthMaxEnforcer = func(s string, n int) string { return text.Snip(s, n, "…") }
	}
	return configs
}

// writeDetails writes a line with name and value for each row. On a terminal, long values continue
// on the next line, in their column.
func writeDetails(w io.Writer, rows [][2]string, width int) error {
	t := newTable()
	longest := 0
	for _, r := range rows {
		longest = max(longest, len(r[0]))
		t.AppendRow(table.Row{r[0], printable(r[1])})
	}
	if rest := width - longest - len(columnGap); rest > minTextWidth {
		t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, WidthMax: rest, WidthMaxEnforcer: text.WrapSoft}})
	}
	return render(w, t)
}

func newTable() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleDefault)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.Style().Box.PaddingLeft, t.Style().Box.PaddingRight = "", columnGap
	t.Style().Format.Header = text.FormatDefault
	t.SuppressTrailingSpaces()
	return t
}

// terminalWidth returns the width of the terminal w. It returns 0 if w is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd())) //nolint:gosec // a file descriptor fits
	if err != nil {
		return 0
	}
	return width
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a file descriptor fits
}

// printable replaces control characters, so that names and messages cannot control the terminal, and
// the marks that order text from right to left: with them a name could show what stands beside it in
// another order.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
