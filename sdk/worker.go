package niyanta

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/adapters/failover"
	"github.com/niyanta/niyanta/adapters/http/workerclient"
	"github.com/niyanta/niyanta/adapters/http/workerserver"
	"github.com/niyanta/niyanta/adapters/process"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

// WorkerOptions describe a worker.
type WorkerOptions struct {
	// URL is the coordinator's, or those of several separated by commas: a worker goes on with the
	// one that answers. Key is a worker key.
	URL, Key string
	// ID names the worker across restarts; empty: generated.
	ID string
	// Slots is how many workloads run at once; 0: 10.
	Slots int
	// Tags are what affinity rules look at.
	Tags map[string]string
	// Resources are what the worker has. nil: what the variables NIYANTA_WORKER_CPU and so on say, as
	// of "niyanta worker", and where they say nothing, what the machine has.
	Resources *WorkerResources
	// DrainTimeout bounds a graceful end; 0: 5 minutes.
	DrainTimeout time.Duration
	// HTTPAddr is where the worker serves /health, /ready and /metrics. Empty: the address in the
	// variable NIYANTA_WORKER_HTTP_ADDR, and :8081 if that is not set. If that variable is set to
	// nothing, or HTTPAddr is HTTPOff, nothing is served. While another process listens on :8081, the
	// worker works without it and tries again; any other address that is taken is an error of Run.
	HTTPAddr string
	// TLS are the files for connections to coordinators. nil: those in the variables
	// NIYANTA_COORDINATOR_CA_FILE, NIYANTA_COORDINATOR_CERT_FILE and NIYANTA_COORDINATOR_KEY_FILE.
	TLS *TLSFiles
	// HTTPTLS has the certificate and the key of the server at HTTPAddr, which then speaks TLS 1.3
	// only. nil: those in the variables NIYANTA_TLS_CERT_FILE and NIYANTA_TLS_KEY_FILE.
	HTTPTLS *TLSFiles
	// Version is shown to operators.
	Version string
	// TakeOver ends the session of another process that holds ID, although its lease still runs.
	TakeOver bool
	// Log receives the worker's log; nil: slog.Default().
	Log *slog.Logger
}

// HTTPOff as WorkerOptions.HTTPAddr serves nothing.
const HTTPOff = "off"

// httpAddr returns the address that the worker listens on. It is empty if there is none.
func (o *WorkerOptions) httpAddr() string {
	switch o.HTTPAddr {
	case HTTPOff:
		return ""
	case "":
		if addr, set := os.LookupEnv(workerserver.Variable); set {
			return addr
		}
		return workerserver.DefaultAddr
	}
	return o.HTTPAddr
}

// Worker runs workloads of the types that were registered with it. It needs nothing but HTTP to its
// coordinator.
type Worker struct {
	opts  WorkerOptions
	types map[string]ports.WorkloadFactory
}

// NewWorker returns a worker; register types with Definition.Handle, then Run it.
func NewWorker(o WorkerOptions) *Worker {
	if o.Slots == 0 {
		o.Slots = 10
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 5 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.ID == "" {
		o.ID = system.IDs{}.New(domain.PrefixWorker)
	}
	return &Worker{opts: o, types: map[string]ports.WorkloadFactory{}}
}

// RegisterType implements Registrar.
func (w *Worker) RegisterType(name string, f ports.WorkloadFactory) {
	if err := domain.ValidateType("name", name); err != nil {
		panic(fmt.Sprintf("niyanta: type %q: %v", name, err))
	}
	if w.types[name] != nil {
		panic(fmt.Sprintf("niyanta: type %q is registered twice", name))
	}
	w.types[name] = f
}

// RunUntilSignal is Run until ctx ends or this process gets SIGINT or SIGTERM. A second signal
// skips the rest of the drain: runs are stopped without a checkpoint, and RunUntilSignal returns an
// error. What was not given back moves when the process is gone.
func (w *Worker) RunUntilSignal(ctx context.Context) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	working, drain := context.WithCancel(ctx)
	defer drain()
	hard, skip := context.WithCancel(context.WithoutCancel(ctx))
	defer skip()
	go func() {
		for _, end := range []context.CancelFunc{drain, skip} {
			select {
			case <-signals:
				end()
			case <-hard.Done():
				return
			}
		}
	}()
	return w.run(working, hard)
}

// Run works until ctx ends, then drains: every run may checkpoint and is given back. It returns an
// error when another process uses the worker's id, when the key is refused, or when draining took
// longer than WorkerOptions.DrainTimeout.
func (w *Worker) Run(ctx context.Context) error { return w.run(ctx, context.WithoutCancel(ctx)) }

// run is Run; when hard ends, runs are stopped at once.
func (w *Worker) run(ctx, hard context.Context) error {
	if len(w.types) == 0 {
		return errors.New("niyanta: a worker needs at least one type")
	}
	shown, err := w.opts.coordinatorTLS(w.opts.Log)
	if err != nil {
		return err
	}
	clients, err := workerclient.NewAll(w.opts.URL, w.opts.Key, shown.Equip)
	if err != nil {
		return err
	}
	var routes []failover.Route
	for _, c := range clients {
		defer c.Close()
		routes = append(routes, c)
	}
	plane := failover.New(nil, routes, w.opts.Log)
	defer plane.Close()
	life, err := process.Supervised()
	if err != nil {
		return err
	}
	identity := process.Supervision{} // without a supervisor nobody certifies its death
	if life != nil {
		identity = *life
	}
	offer, err := w.opts.offer(ctx, w.opts.Log)
	if err != nil {
		return err
	}
	engine, err := execution.New(hard, execution.Config{
		ProcessID: identity.ProcessID, CertificateDigest: identity.Digest, TakeOver: w.opts.TakeOver,
		WorkerID: domain.WorkerID(w.opts.ID), Slots: w.opts.Slots, Tags: w.opts.Tags, Version: w.opts.Version,
		Types: w.types, Resources: offer,
	}, execution.Deps{
		Plane: plane, Clock: system.Clock{}, IDs: system.IDs{}, Log: w.opts.Log, Sleep: system.Sleep,
		Spool: system.Spool{},
	})
	if err != nil {
		return err
	}
	own, err := w.opts.httpTLS(w.opts.Log)
	if err != nil {
		return err
	}
	server, err := workerserver.Start(ctx, w.opts.httpAddr(), own.Server(), workerserver.Worker{
		Version: w.opts.Version, Stats: engine.Stats,
		Certificates: certificates.Expiries(map[string]*certificates.Source{"coordinator": shown, "probes": own}),
	}, w.opts.Log.With("worker_id", w.opts.ID))
	if err != nil {
		return err
	}
	defer server.Close() // a worker that drains still says so
	working, stop := untilOrphaned(ctx, life)
	defer stop()
	return engine.Run(working, w.opts.DrainTimeout)
}
