package telemetry

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// failurePause is the time between two lines of the log about spans that were not exported.
	failurePause = time.Minute
	// failureText bounds what a line says: an error may hold the whole answer of a collector.
	failureText = 500
)

// failures logs the errors of the exporter. While the collector is away, there is one with each batch.
type failures struct {
	log *slog.Logger
	now func() time.Time
	// hide is the address that errors name, and shown is what may be told of it: the rest may hold a
	// token.
	hide, shown string

	mu      sync.Mutex
	logged  time.Time // the last line
	omitted int       // errors since then
}

// Handle implements otel.ErrorHandler.
func (f *failures) Handle(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if !f.logged.IsZero() && now.Sub(f.logged) < failurePause {
		f.omitted++
		return
	}
	text := strings.ReplaceAll(err.Error(), f.hide, f.shown)
	if len(text) > failureText {
		text = strings.ToValidUTF8(text[:failureText], "") + "…"
	}
	f.log.Warn("spans were not exported", "error", text, "omitted", f.omitted)
	f.logged, f.omitted = now, 0
}
