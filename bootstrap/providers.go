package bootstrap

import (
	"log/slog"

	"github.com/google/wire"
	"go.opentelemetry.io/otel"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

//go:generate wire

// hostSet provides what the process itself offers.
var hostSet = wire.NewSet(provideHost, telemetry.NewMetrics, wire.Struct(new(system.Clock)),
	wire.Struct(new(system.IDs)))

// memorySet provides every backend in this process.
var memorySet = wire.NewSet(provideMemoryStorage, provideMemoryHints, provideMemoryLimiter, provideNoArchive,
	provideNoCheckpoints, backendSet)

// configuredSet provides the backends that the configuration names.
var configuredSet = wire.NewSet(openStorage, openHints, openLimiter, openArchive, openCheckpoints, backendSet)

// backendSet puts backends together.
var backendSet = wire.NewSet(openIdentity, wire.Struct(new(Backends), "*"))

// provideHost has changes of state measured, logged and, with an exporter, traced.
func provideHost(
	cfg Config, clock system.Clock, ids system.IDs, metrics *telemetry.Metrics, log *slog.Logger,
) (coordinator.Host, error) {
	z, err := zstd.New()
	if err != nil {
		return coordinator.Host{}, err
	}
	name := ids.New("coord_")
	log = log.With("coordinator_id", name)
	h := coordinator.Host{
		Name: name, Clock: clock, IDs: ids, Observer: telemetry.NewStateLog(metrics, log), Compressor: z, Log: log,
	}
	if cfg.OTLPEndpoint != "" {
		h.Observer = telemetry.NewTracing(h.Observer, otel.GetTracerProvider())
	}
	h.Observer = &keyWatch{Observer: h.Observer, clock: clock}
	return h, nil
}

func provideMemoryStorage(h coordinator.Host) Storage {
	return Storage{Stores: memory.NewStore(h.Clock).Stores()}
}

func provideMemoryHints() Hints {
	n := memory.NewNotifier()
	return Hints{Notifier: n, Listener: n}
}

func provideMemoryLimiter(h coordinator.Host) Limiter {
	return Limiter{RateLimiter: memory.NewRateLimiter(h.Clock)}
}

// provideNoArchive has a development server drop what is archived after its time.
func provideNoArchive() Archive { return Archive{} }

// provideNoCheckpoints has a development server take checkpoints of 10 MiB at most.
func provideNoCheckpoints() Checkpoints { return Checkpoints{} }

// newCoordinator puts a coordinator's services together on the backends.
func newCoordinator(cfg Config, b Backends, h coordinator.Host) *coordinator.Coordinator {
	h.Checkpoints = b.Checkpoints.BlobStore
	h.Archive, h.Tokens = b.Archive.BlobStore, b.Identity.tokens()
	pools, _ := ParsePools(cfg.Pools) // Validate has reported what is wrong
	roles, _ := cfg.roleNames()
	return coordinator.New(coordinator.Config{
		WorkerLease: cfg.WorkerLease, HeartbeatInterval: cfg.HeartbeatInterval, LeaderTTL: cfg.LeaderTTL,
		Retention: cfg.retention(),
		Policy:    cfg.SchedulerPolicy, Preemption: cfg.Preemption, AntiAcross: cfg.AntiAcross,
		RequireKnownTypes: cfg.RequireKnownTypes, Pools: pools, AdminKey: cfg.AdminKey, WorkerKeys: cfg.WorkerKeys,
		TokenRoles: roles, CheckpointThreshold: cfg.CheckpointThreshold << 20,
		MaxCheckpoint: int64(cfg.MaxCheckpoint) << 20,
	}, b.Stores, coordinator.Signals{Notifier: b.Notifier, Listener: b.Listener, Limiter: b.Limiter}, h)
}
