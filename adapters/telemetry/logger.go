package telemetry

import (
	"io"
	"log/slog"
	"os"
	"time"

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
// terminal, unless NO_COLOR is set.
func NewLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00" // the library has no other place for it
	terminal := isTerminal(w)
	if format == FormatConsole || format == FormatAuto && terminal {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !terminal || os.Getenv("NO_COLOR") != ""}
	}
	return slog.New(zerolog.NewSlogHandler(zerolog.New(w).Level(zerologLevel(level))))
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
