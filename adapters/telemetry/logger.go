package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// The formats of logs.
const (
	FormatAuto    = "auto"    // console on a terminal, JSON elsewhere
	FormatConsole = "console" // text for people
	FormatJSON    = "json"    // one JSON object per line
)

// NewLogger returns a logger that writes to w in one of the formats. Text is coloured on a
// terminal, unless NO_COLOR is set. Whatever a record holds, it is one line.
func NewLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00" // the library has no other place for it
	terminal := isTerminal(w)
	if format == FormatConsole || format == FormatAuto && terminal {
		w = zerolog.ConsoleWriter{
			Out: w, TimeFormat: time.TimeOnly, NoColor: !terminal || os.Getenv("NO_COLOR") != "",
			FormatPrepare: quoteNames,
		}
	}
	return slog.New(newSampling(zerolog.NewSlogHandler(zerolog.New(w).Level(zerologLevel(level))), time.Now))
}

// quoteNames quotes what the library writes as it is if it could look like something else: a newline
// would begin another line, and an escape sequence could change what is on the terminal. The library
// quotes attributes that are texts itself.
func quoteNames(line map[string]any) error {
	for name, value := range line {
		switch v := value.(type) {
		case string:
			if name == zerolog.MessageFieldName && !printable(v) {
				value = strconv.Quote(v)
			}
		case []any, map[string]any:
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			value = json.RawMessage(escaped(b))
		}
		if printable(name) {
			line[name] = value
			continue
		}
		delete(line, name)
		line[strconv.Quote(name)] = value
	}
	return nil
}

// escaped returns JSON in which what cannot be printed is escaped.
func escaped(text []byte) string {
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	return b.String()
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a file descriptor fits
}

func zerologLevel(l slog.Level) zerolog.Level {
	switch {
	case l < slog.LevelInfo:
		return zerolog.DebugLevel
	case l < slog.LevelWarn:
		return zerolog.InfoLevel
	case l < slog.LevelError:
		return zerolog.WarnLevel
	}
	return zerolog.ErrorLevel
}
