package bootstrap

import (
	"io"
	"log/slog"

	"github.com/niyanta/niyanta/adapters/telemetry"
)

// NewLogger returns the process's logger.
func NewLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	return telemetry.NewLogger(w, level, format)
}
