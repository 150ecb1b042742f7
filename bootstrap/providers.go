package bootstrap

import (
	"log/slog"

	"github.com/google/wire"
	"go.opentelemetry.io/otel"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/ports"
)

// hostSet provides what the process itself offers.
var hostSet = wire.NewSet(provideHost, telemetry.NewMetrics, wire.Struct(new(system.Clock)), wire.Struct(new(system.IDs)))

// memorySet provides every backend in this process.
var memorySet = wire.NewSet(provideMemoryStorage, provideMemorySignals, provideMemoryLimiter, backendSet)

// configuredSet provides the backends that the configuration names.
var configuredSet = wire.NewSet(openStorage, openSignals, openLimiter, backendSet)

// backendSet puts backends together.
var backendSet = wire.NewSet(zstd.New, wire.Bind(new(ports.Compressor), new(*zstd.Compressor)), wire.Struct(new(Backends), "*"))

// appSet provides the coordinator on top of backends.
var appSet = wire.NewSet(NewCore, NewApp)

// provideHost has transitions traced; without an exporter the process's tracer does nothing.
func provideHost(cfg Config, clock system.Clock, ids system.IDs, metrics *telemetry.Metrics, log *slog.Logger) Host {
	h := Host{Name: ids.New("coord_"), Clock: clock, IDs: ids, Observer: metrics, Log: log}
	if cfg.OTLPEndpoint != "" {
		h.Observer = telemetry.NewTracing(metrics, otel.GetTracerProvider())
	}
	return h
}

func provideMemoryStorage(h Host) Storage { return Storage{Stores: memory.NewStore(h.Clock).Stores()} }

func provideMemorySignals() Signals {
	n := memory.NewNotifier()
	return Signals{Notifier: n, Listener: n}
}

func provideMemoryLimiter(h Host) Limiter {
	return Limiter{RateLimiter: memory.NewRateLimiter(h.Clock)}
}
