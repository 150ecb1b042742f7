package telemetry

import (
	"io"
	"log/slog"
	"time"

	"github.com/rs/zerolog"
)

// NewLogger returns a logger that writes one JSON object per line, or text for people with format "console".
func NewLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00" // the library has no other place for it
	if format == "console" {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly}
	}
	return slog.New(zerolog.NewSlogHandler(zerolog.New(w).Level(zerologLevel(level))))
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
