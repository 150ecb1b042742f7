package bootstrap

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/adapters/console"
	httpapi "github.com/niyanta/niyanta/adapters/http"
	"github.com/niyanta/niyanta/adapters/messaging"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

// App is a running coordinator. Start it, and Close it once.
type App struct {
	// Version is what /health tells. Set it before Start.
	Version string

	cfg         Config
	coordinator *coordinator.Coordinator
	backends    Backends
	host        coordinator.Host
	metrics     *telemetry.Metrics
	log         *slog.Logger

	closeBackends func() // may be nil

	stopping  context.CancelFunc // ends long polls
	stop      context.CancelFunc // ends the loops
	loops     sync.WaitGroup
	closers   []func()
	endpoints []*endpoint
	// certificates are those of the endpoints; nil: they speak plain HTTP.
	certificates *certificates.Source
	busServer    *messaging.Server
	watcher      watcher
	failed       chan error
}

// NewApp returns a coordinator that is not running yet.
func NewApp(cfg Config, b Backends, host coordinator.Host, metrics *telemetry.Metrics) *App {
	c := newCoordinator(cfg, b, host)
	metrics.Gauge(telemetry.StreamsOpen, always(func() float64 { return float64(c.Live.Streams()) }))
	metrics.Leads(func() bool { _, leads := c.Leadership.Current(); return leads })
	metrics.ListCustomers(cfg.MetricsCustomers...)
	a := &App{
		cfg: cfg, coordinator: c, backends: b, host: host, metrics: metrics, log: host.Log, failed: make(chan error, 2),
	}
	if b.Checkpoints.Ping != nil {
		metrics.Gauge(telemetry.CheckpointStorageConnected, a.checkpointsConnected)
	}
	return a
}

// NewCoordinator returns a coordinator on the backends that the configuration names. With
// STORE=postgres it migrates the database first, unless told not to.
func NewCoordinator(ctx context.Context, cfg Config, log *slog.Logger) (*App, error) {
	app, closeBackends, err := newConfiguredApp(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	app.closeBackends = closeBackends
	return app, nil
}

// Start listens, serves and runs the loops. When it returns without error, the API answers. When it
// fails, what was opened is given back; it listens before it may lead, so that a port that is taken
// costs nobody a leader.
func (a *App) Start(ctx context.Context) (err error) {
	stopping, endPolls := context.WithCancel(context.WithoutCancel(ctx))
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stopping, a.stop = endPolls, stop
	defer func() {
		if err != nil {
			endPolls()
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
			defer cancel()
			err = errors.Join(err, a.shut(bounded), a.halt(bounded))
		}
	}()
	if err := a.open(ctx); err != nil {
		return err
	}
	if err := a.serveBus(ctx); err != nil {
		return err
	}
	if err := a.startLoops(loops); err != nil {
		return err
	}
	a.checkDependencies(ctx)
	a.loops.Go(func() { a.watchDependencies(loops) })
	a.loops.Go(func() { a.watchQueue(loops) })
	a.loops.Go(func() { a.watchIssuer(loops) })
	page, err := console.Files()
	if err != nil {
		return err
	}
	deps := httpapi.Deps{
		Lifecycle: a.coordinator.Lifecycle, Checkpoints: a.coordinator.Checkpoints, Live: a.coordinator.Live,
		Insight:    a.coordinator.Insight,
		Statistics: a.coordinator.Statistics, Scaling: a.coordinator.Scaling,
		Tenancy: a.coordinator.Tenancy, Plane: a.coordinator.Plane,
		Auditing: a.coordinator.Auditing, IDs: a.host.IDs, Observer: a.host.Observer,
		Log: a.log, Ready: a.ready, Metrics: a.metrics.Handler(), Stopping: stopping,
		Name: a.host.Name, Version: a.Version, CursorKey: cursorKey(a.cfg), StreamHeartbeat: a.cfg.StreamHeartbeat,
		SocketOrigins: a.cfg.SocketOrigins, WorkerCertificates: a.cfg.WorkerClientCA != "",
		Measure: a.metrics.Request, Throttled: a.metrics.Throttled, InFlight: httpapi.InFlight{
			Requests: a.cfg.MaxRequests, RequestsPerCustomer: a.cfg.MaxRequestsPerCustomer,
			Waits: a.cfg.MaxLongPolls, WaitsPerCustomer: a.cfg.MaxLongPollsPerCustomer,
			Streams: a.cfg.MaxStreams, StreamsPerKey: a.cfg.MaxStreamsPerKey,
			WorkerRequests: a.cfg.MaxWorkerRequests, WorkerPolls: a.cfg.MaxWorkerPolls,
		},
	}
	for _, s := range a.cfg.Settings() {
		deps.Settings = append(deps.Settings, httpapi.Setting(s))
	}
	if page != nil {
		deps.Console = page.Serve
	}
	return a.serve(deps)
}

// halt ends the loops, gives up leadership and releases everything else.
func (a *App) halt(ctx context.Context) error {
	var errs []error
	if a.busServer != nil {
		errs = append(errs, a.busServer.Close())
	}
	a.stop()
	a.loops.Wait()
	if err := a.coordinator.StepDown(ctx); err != nil {
		errs = append(errs, fmt.Errorf("step down: %w", err))
	}
	a.release()
	return errors.Join(errs...)
}

// release gives back what the App holds besides its loops.
func (a *App) release() {
	for _, closeIt := range a.closers {
		closeIt()
	}
	if a.closeBackends != nil {
		a.closeBackends()
	}
}

// Failed delivers an error that ends serving.
func (a *App) Failed() <-chan error { return a.failed }

func (a *App) serveBus(ctx context.Context) error {
	bus := a.backends.Bus
	if bus == nil {
		return nil
	}
	party := messaging.Party{
		ID: a.host.Name, Kind: "coordinator", Prefix: a.cfg.BusPrefix, Clock: a.host.Clock, IDs: a.host.IDs,
	}
	server := messaging.NewServer(bus, party, a.coordinator.Plane, a.host.Observer, a.log)
	if err := server.Start(ctx); err != nil {
		return fmt.Errorf("serve workers over the bus: %w", err)
	}
	a.busServer = server
	return nil
}

// cursorKey is the same in all coordinators of a fleet, so that a cursor of one is good at another.
func cursorKey(cfg Config) []byte {
	if cfg.AdminKey == "" {
		return nil
	}
	mac := hmac.New(sha256.New, []byte(cfg.AdminKey))
	_, _ = mac.Write([]byte("niyanta cursors")) // a hash never fails to write
	return mac.Sum(nil)
}

// shutdownTimeout bounds how long a stop waits for requests in flight.
const shutdownTimeout = 15 * time.Second

// Close stops in the order that loses nothing: no new requests, those in flight and the batch under
// way finish, leadership is given up, loops end.
func (a *App) Close(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	a.stopping()
	var errs []error
	errs = append(errs, a.shut(bounded))
	return errors.Join(append(errs, a.halt(bounded))...)
}
