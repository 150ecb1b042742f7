package bootstrap

import (
	"log/slog"

	"github.com/google/wire"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/ports"
)

// hostSet provides what the process itself offers.
var hostSet = wire.NewSet(provideHost, telemetry.NewMetrics, wire.Struct(new(system.Clock)), wire.Struct(new(system.IDs)))

// memorySet provides every backend in this process.
var memorySet = wire.NewSet(
	provideMemoryStore, memory.NewNotifier, provideMemoryLimiter, zstd.New, provideMemoryBackends,
)

// appSet provides the coordinator on top of backends.
var appSet = wire.NewSet(NewCore, NewApp)

func provideHost(clock system.Clock, ids system.IDs, metrics *telemetry.Metrics, log *slog.Logger) Host {
	return Host{Clock: clock, IDs: ids, Observer: metrics, Log: log}
}

func provideMemoryStore(clock system.Clock) *memory.Store { return memory.NewStore(clock) }

func provideMemoryLimiter(clock system.Clock) ports.RateLimiter { return memory.NewRateLimiter(clock) }

func provideMemoryBackends(s *memory.Store, n *memory.Notifier, l ports.RateLimiter, z *zstd.Compressor) Backends {
	return Backends{
		Workloads: s.Workloads(), Queue: s.Queue(), Workers: s.Workers(), Checkpoints: s.Checkpoints(),
		Customers: s.Customers(), Configs: s.Configs(), Keys: s.Keys(), Audit: s.Audit(), Logs: s.Logs(),
		Lease: s.Leader(), Notifier: n, Listener: n, Limiter: l, Compressor: z,
	}
}
