package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/niyanta/niyanta/adapters/blob"
	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/messaging"
	"github.com/niyanta/niyanta/adapters/nats"
	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/adapters/redis"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

// Backends are the adapters that a coordinator shares with others, as the configuration names them.
type Backends struct {
	Storage
	Hints
	Limiter Limiter
	Archive
	Checkpoints Checkpoints
	Identity    Identity
}

// Storage is the store ports on one storage, and what else it offers.
type Storage struct {
	ports.Stores
	// Present writes that a coordinator is there, which tells whether the storage takes writes;
	// PingReplica tells whether its replica answers; Maintain does what needs doing now and then.
	// Nil where there is nothing to do.
	Present               func(ctx context.Context, coordinator string) error
	PingReplica, Maintain func(ctx context.Context) error
	// OpenHints opens hints that the storage carries itself; local carries them within this
	// process. Nil where it cannot.
	OpenHints func(ctx context.Context, local postgres.LocalHints) (*postgres.Hints, error)
}

// Hints are how coordinators and workers hear of each other at once.
type Hints struct {
	Notifier ports.Notifier
	Listener ports.Listener
	// Bus is what workers are served over; nil in memory, where they join over HTTP or in this
	// process.
	Bus ports.Bus
	// Ping tells whether hints arrive from other processes; nil where none can.
	Ping func(ctx context.Context) error
}

// Limiter is the rate limiter. Ping tells whether what it counts in is there; nil in memory.
type Limiter struct {
	ports.RateLimiter
	Ping func(ctx context.Context) error
}

// Archive is where archived workloads are written before they are dropped. Without BlobStore they are
// written nowhere. Ping tells whether the storage answers; nil in memory.
type Archive struct {
	ports.BlobStore
	Ping func(ctx context.Context) error
}

// Checkpoints is where large checkpoints are kept. Without BlobStore there are none. Ping tells whether
// the storage answers; nil in memory.
type Checkpoints struct {
	ports.BlobStore
	Ping func(ctx context.Context) error
}

// openStorage opens the storage that the configuration names.
func openStorage(ctx context.Context, cfg Config, h coordinator.Host, m *telemetry.Metrics) (Storage, func(), error) {
	if cfg.Store == StoreMemory {
		return Storage{Stores: memory.NewStore(h.Clock).Stores()}, func() {}, nil
	}
	if err := prepareDatabase(ctx, cfg, h.Log); err != nil {
		return Storage{}, nil, err
	}
	s, err := postgres.Open(ctx, postgres.Options{
		URL: cfg.PostgresURL, ReplicaURL: cfg.PostgresReplicaURL, MaxConns: cfg.PostgresMaxConns,
		ReadConns: cfg.PostgresReadConns, Log: h.Log,
	})
	if err != nil {
		return Storage{}, nil, fmt.Errorf("%sPOSTGRES_URL: %w", Prefix, err)
	}
	for pool := range s.Stats() {
		m.Gauge(telemetry.PoolConnections, always(func() float64 { return float64(s.Stats()[pool].AcquiredConns()) }),
			pool, "used")
		m.Gauge(telemetry.PoolConnections, always(func() float64 { return float64(s.Stats()[pool].IdleConns()) }),
			pool, "idle")
		m.Gauge(telemetry.PoolWaits, always(func() float64 { return float64(s.Stats()[pool].EmptyAcquireCount()) }), pool)
	}
	measureCertificate(m, "database", s.CertificateExpiry)
	m.Gauge(telemetry.EventLag, always(func() float64 { return s.EventLag().Seconds() }))
	if s.PingReplica() != nil {
		m.Gauge(telemetry.ReplicaLag, func() (float64, bool) {
			lag, known := s.ReplicaLag()
			return lag.Seconds(), known
		})
	}
	storage := Storage{
		Stores: s.Stores(), Present: s.Present, PingReplica: s.PingReplica(), Maintain: s.Maintain,
		OpenHints: func(ctx context.Context, local postgres.LocalHints) (*postgres.Hints, error) {
			return s.OpenHints(ctx, postgres.HintOptions{
				Name: h.Name, URL: cfg.PostgresListenURL, Local: local, Observer: h.Observer, Log: h.Log,
			})
		},
	}
	if cfg.PostgresListenURL == "" && postgres.Pooled(cfg.PostgresURL) {
		storage.OpenHints = nil
	}
	return storage, s.Close, nil
}

// openedBus is a bus with what is not the port's: whether it is there, what it dropped, how it
// ends. Its Bus is nil for memory.
type openedBus struct {
	ports.Bus
	ping    func(context.Context) error
	dropped func() int64
	close   func()
	shown   *certificates.Source
}

// openRedis returns a client of Redis, and the certificates that it uses.
func openRedis(cfg Config, log *slog.Logger) (*goredis.Client, *certificates.Source, error) {
	shown, err := cfg.openCertificates(tlsRedis, log)
	if err != nil {
		return nil, nil, err
	}
	c, err := redis.Connect(cfg.RedisURL, clientTLS(shown))
	if err != nil {
		return nil, nil, fmt.Errorf("%sREDIS_URL: %w", Prefix, err)
	}
	return c, shown, nil
}

// openBus opens the bus that the configuration names.
func openBus(cfg Config, name string, ids ports.IDs, log *slog.Logger) (openedBus, error) {
	switch cfg.Bus {
	case BusNATS:
		log = log.With("setting", Prefix+"NATS_URL")
		shown, err := cfg.openCertificates(tlsNATS, log)
		if err != nil {
			return openedBus{}, err
		}
		b, err := nats.Connect(nats.Options{
			URL: cfg.NATSURL, Name: name, CredsFile: cfg.NATSCreds, TLS: clientTLS(shown), Log: log,
		})
		if err != nil {
			return openedBus{}, fmt.Errorf("%sNATS_URL: %w", Prefix, err)
		}
		return openedBus{b, func(context.Context) error {
			if !b.Connected() {
				return errors.New("the bus is disconnected")
			}
			return nil
		}, b.Dropped, func() { _ = b.Close() }, shown}, nil
	case BusRedis:
		log = log.With("setting", Prefix+"REDIS_URL")
		c, shown, err := openRedis(cfg, log)
		if err != nil {
			return openedBus{}, err
		}
		b := redis.NewBus(c, ids, log)
		return openedBus{b, b.Ping, b.Dropped, func() { _, _ = b.Close(), c.Close() }, shown}, nil
	}
	return openedBus{close: func() {}}, nil
}

// openHints opens what carries hints: the bus, the database if there is no bus, or this process
// alone.
func openHints(
	ctx context.Context, cfg Config, s Storage, h coordinator.Host, m *telemetry.Metrics,
) (Hints, func(), error) {
	bus, err := openBus(cfg, h.Name, h.IDs, h.Log)
	if err != nil {
		return Hints{}, nil, err
	}
	if bus.Bus == nil {
		return openLocalHints(ctx, cfg, s, h, m)
	}
	m.Gauge(telemetry.BusDropped, always(func() float64 { return float64(bus.dropped()) }))
	m.Gauge(telemetry.BusConnected, answering(bus.ping))
	measureCertificate(m, "bus", bus.shown.Expires)
	hints := messaging.NewHints(bus.Bus, memory.NewNotifier(), messaging.Party{ID: h.Name, Kind: "coordinator",
		Prefix: cfg.BusPrefix, Clock: h.Clock, IDs: h.IDs}, h.Observer, h.Log)
	return Hints{Notifier: hints, Listener: hints, Bus: bus.Bus, Ping: bus.ping}, bus.close, nil
}

// openLocalHints opens hints without a bus.
func openLocalHints(
	ctx context.Context, cfg Config, s Storage, h coordinator.Host, m *telemetry.Metrics,
) (Hints, func(), error) {
	local := memory.NewNotifier()
	if s.OpenHints == nil {
		if cfg.Store == StorePostgres {
			h.Log.Info("a pooler is in front of the database: other processes are heard of by polling",
				"setting", Prefix+"POSTGRES_LISTEN_URL")
		}
		return Hints{Notifier: local, Listener: local}, func() {}, nil
	}
	hints, err := s.OpenHints(ctx, local)
	if err != nil {
		return Hints{}, nil, fmt.Errorf("%sPOSTGRES_LISTEN_URL: %w", Prefix, err)
	}
	m.Gauge(telemetry.HintsConnected, answering(hints.Ping))
	return Hints{Notifier: hints, Listener: hints, Ping: hints.Ping}, hints.Close, nil
}

// openLimiter opens the rate limiter that the configuration names.
func openLimiter(cfg Config, h coordinator.Host, m *telemetry.Metrics) (Limiter, func(), error) {
	local := memory.NewRateLimiter(h.Clock)
	if cfg.RateLimiter == LimiterMemory {
		return Limiter{RateLimiter: local}, func() {}, nil
	}
	c, shown, err := openRedis(cfg, h.Log)
	if err != nil {
		return Limiter{}, nil, err
	}
	measureCertificate(m, "rate_limiter", shown.Expires)
	ping := func(ctx context.Context) error { return c.Ping(ctx).Err() }
	return Limiter{redis.NewRateLimiter(c, local, h.Clock, h.Log.With("setting", Prefix+"REDIS_URL")),
		ping}, func() { _ = c.Close() }, nil
}

// blobsInMemory is the URL of a storage of blobs that this process keeps.
const blobsInMemory = "mem://"

// blobsPingInterval is the time between two requests to a storage of blobs that answers. Object storages
// charge for each.
const blobsPingInterval = time.Minute

// openArchive opens the storage that archived workloads are written to. The result is empty if the
// configuration names none.
func openArchive(cfg Config, h coordinator.Host) (Archive, func(), error) {
	b, ping, closeIt, err := openBlobs("ARCHIVE_URL", cfg.ArchiveURL, h)
	return Archive{b, ping}, closeIt, err
}

// openCheckpoints opens the storage of large checkpoints, likewise.
func openCheckpoints(cfg Config, h coordinator.Host) (Checkpoints, func(), error) {
	b, ping, closeIt, err := openBlobs("CHECKPOINT_URL", cfg.CheckpointURL, h)
	return Checkpoints{b, ping}, closeIt, err
}

// openBlobs opens the storage that a setting names. The store and ping are nil if it names none.
func openBlobs(setting, location string, h coordinator.Host) (
	b ports.BlobStore, ping func(context.Context) error, closeIt func(), err error,
) {
	switch location {
	case "":
		return nil, nil, func() {}, nil
	case blobsInMemory:
		return memory.NewBlobs(h.Clock), nil, func() {}, nil
	}
	if b, closeIt, err = blob.Open(location); err != nil {
		return nil, nil, nil, fmt.Errorf("%s%s: %w", Prefix, setting, err)
	}
	list := func(ctx context.Context) error {
		_, err := b.List(ctx, "", "", 1)
		return err
	}
	return b, seldom(h.Clock, blobsPingInterval, list), closeIt, nil
}

// seldom returns a function that calls ping unless that has succeeded less than an interval ago. One
// goroutine at a time may call it.
func seldom(clock ports.Clock, interval time.Duration, ping func(context.Context) error) func(context.Context) error {
	var next time.Time
	return func(ctx context.Context) error {
		now := clock.Now()
		if now.Before(next) {
			return nil
		}
		err := ping(ctx)
		if err == nil {
			next = now.Add(interval)
		}
		return err
	}
}
