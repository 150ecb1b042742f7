package bootstrap

import (
	"context"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/adapters/telemetry"
)

// traceFlushTimeout is how long the end of a process waits for the export of the last spans.
const traceFlushTimeout = 5 * time.Second

// StartTracing exports spans if the configuration has an endpoint. The function that it returns
// exports the last ones.
func StartTracing(
	ctx context.Context, cfg Config, role Role, version string, log *slog.Logger,
) (stop func(), err error) {
	if cfg.OTLPEndpoint == "" {
		return func() {}, nil
	}
	p, err := telemetry.NewTracerProvider(ctx, cfg.OTLPEndpoint, string(role), version, log)
	if err != nil {
		return nil, err
	}
	return func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceFlushTimeout)
		defer cancel()
		if err := p.Shutdown(bounded); err != nil {
			log.Warn("the last spans were not exported", "error", err)
		}
	}, nil
}
