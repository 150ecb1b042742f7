package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/niyanta/niyanta/adapters/aws"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/scaleexport"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// exportReadyFor is for how many intervals an exporter counts as ready after its last good round.
const exportReadyFor = 3

// roundTimeout bounds a round, so that a request that hangs does not keep the next one from being
// tried.
const roundTimeout = time.Minute

// ScaleExporter tells a cloud's autoscaler how many workers a pool needs; see the package
// scaleexport.
type ScaleExporter struct {
	cfg      Config
	version  string
	fleet    *niyanta.Client
	group    ports.MachineGroup
	exporter *scaleexport.Exporter
	metrics  *telemetry.ExporterMetrics
	log      *slog.Logger
	began    time.Time
	addr     net.Addr // nil if it serves nothing

	mu   sync.Mutex
	good time.Time // the last round without a failure
	said string    // the last failure that was logged
}

// NewAWSScaleExporter returns an exporter for an EC2 Auto Scaling group.
func NewAWSScaleExporter(ctx context.Context, cfg Config, version string, log *slog.Logger) (*ScaleExporter, error) {
	group, err := aws.Open(ctx, aws.Options{
		Name: cfg.AWSGroup, Hook: cfg.AWSHook, Namespace: cfg.AWSNamespace, Pool: cfg.ScalerPool,
	})
	if err != nil {
		return nil, err
	}
	return newScaleExporter(cfg, version, group, log.With("group", cfg.AWSGroup, "pool", cfg.ScalerPool))
}

func newScaleExporter(cfg Config, version string, group ports.MachineGroup, log *slog.Logger) (*ScaleExporter, error) {
	// A round is repeated anyway. So a request is tried for as long as a coordinator takes to restart.
	files := niyanta.TLSFiles{CA: cfg.CoordinatorCA, Cert: cfg.CoordinatorCert, Key: cfg.CoordinatorKey}
	cl, err := niyanta.NewClient(cfg.CoordinatorURL, cfg.ScalerKey, niyanta.WithTLSFiles(files),
		niyanta.RetryFor(min(cfg.ScalerInterval/2, 5*time.Second)))
	if err != nil {
		return nil, fmt.Errorf("%sCOORDINATOR_URL: %w", Prefix, err)
	}
	var steps []string
	for _, s := range scaleexport.Steps() {
		steps = append(steps, string(s))
	}
	return &ScaleExporter{
		cfg: cfg, version: version, fleet: cl, group: group, metrics: telemetry.NewExporterMetrics(steps...), log: log,
		began: time.Now(),
		exporter: scaleexport.New(scaleexport.Deps{
			Group: group, Fleet: fleetReader{cl, cfg.ScalerPool}, Clock: system.Clock{}, Log: log,
		}, cfg.AWSHook != ""),
	}, nil
}

// Run looks at the coordinators and the group at each interval, until ctx ends, which ends a round
// under way. Nothing has to be undone then: protection stays, and another exporter goes on.
func (x *ScaleExporter) Run(ctx context.Context) error {
	defer x.fleet.Close()
	stop, err := x.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	x.log.Info("exporting what the pool needs", "interval", x.cfg.ScalerInterval.String())
	for {
		x.round(ctx)
		if system.Sleep(ctx, x.cfg.ScalerInterval) != nil {
			return nil
		}
	}
}

func (x *ScaleExporter) round(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	r := x.exporter.Round(bounded)
	if ctx.Err() != nil {
		return // what failed now failed because of that
	}
	err := r.Err()
	x.metrics.Round(err == nil)
	for step, failure := range r.Failed {
		x.metrics.Failed(string(step), reasonOf(step, failure))
	}
	if r.Failed[scaleexport.StepMachines] == nil {
		x.metrics.Group(r.Machines, r.Protected, len(r.Released))
	}
	if r.Figures != nil {
		x.metrics.Published(r.Figures.At)
	}
	x.note(err)
}

// reasonOf returns the reason of a failure for the metrics. Coordinators are no cloud: what they
// refuse is a matter of the key.
func reasonOf(step scaleexport.Step, err error) ports.CloudFailure {
	if step != scaleexport.StepFleet {
		return ports.FailureOf(err)
	}
	switch {
	case errors.Is(err, niyanta.ErrUnauthorized):
		return ports.CloudCredentials
	case errors.Is(err, niyanta.ErrForbidden):
		return ports.CloudDenied
	case errors.Is(err, errNoPool):
		return ports.CloudOther
	}
	return ports.CloudUnreachable
}

// note logs a failure when it begins or changes, and its end.
func (x *ScaleExporter) note(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	text := ""
	if err != nil {
		text = err.Error()
	} else {
		x.good = time.Now()
	}
	// Ids of requests differ each time.
	kind, _, _ := strings.Cut(text, "RequestID")
	switch {
	case err != nil && kind != x.said:
		x.log.Warn("the group is not informed, or not whole; trying on", "error", err)
	case err == nil && x.said != "":
		x.log.Info("the group is informed again")
	}
	x.said = kind
}

// ready reports whether a round has succeeded of late.
func (x *ScaleExporter) ready() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !x.good.IsZero() && time.Since(x.good) < exportReadyFor*x.cfg.ScalerInterval+roundTimeout
}

// Addr returns the address that probes and metrics are served at, or "".
func (x *ScaleExporter) Addr() string {
	if x.addr == nil {
		return ""
	}
	return x.addr.String()
}

// serve serves probes and metrics until stop is called.
func (x *ScaleExporter) serve(ctx context.Context) (stop func(), err error) {
	if x.cfg.ScalerHTTPAddr == "" {
		return func() {}, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", x.cfg.ScalerHTTPAddr)
	if err != nil {
		return nil, fmt.Errorf("%sSCALER_HTTP_ADDR: %w", Prefix, err)
	}
	x.addr = l.Addr()
	x.log.Info("serving health, readiness and metrics", "address", x.addr.String())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		writeStatus(w, http.StatusOK, map[string]any{
			"status": "healthy", "timestamp": time.Now().UTC(), "uptime_seconds": int(time.Since(x.began).Seconds()),
			"version": x.version,
		})
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if !x.ready() {
			writeStatus(w, http.StatusServiceUnavailable, map[string]any{"status": "unavailable"})
			return
		}
		writeStatus(w, http.StatusOK, map[string]any{"status": "ready"})
	})
	mux.Handle("GET /metrics", x.metrics.Handler())
	s := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(x.log.Handler(), slog.LevelDebug),
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			x.log.Error("serving health, readiness and metrics failed", "error", err)
		}
	})
	return func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if s.Shutdown(bounded) != nil {
			_ = s.Close() // the clients have had their time
		}
		serving.Wait()
	}, nil
}

func writeStatus(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

// fleetReader implements ports.FleetReader with a scaler's key.
type fleetReader struct {
	client *niyanta.Client
	pool   string
}

var errNoPool = errors.New("no such pool: the coordinators' NIYANTA_POOLS does not name it")

// View implements ports.FleetReader. The workers are read after the pool. So a machine whose worker
// got work in between is protected.
func (f fleetReader) View(ctx context.Context) (ports.FleetView, error) {
	scaling, err := f.client.Scaling(ctx)
	if err != nil {
		return ports.FleetView{}, err
	}
	p, known := scaling.Pools[f.pool]
	if !known {
		return ports.FleetView{}, fmt.Errorf("%s: %w", f.pool, errNoPool)
	}
	workers, err := niyanta.Collect(f.client.Workers(ctx))
	if err != nil {
		return ports.FleetView{}, err
	}
	v := ports.FleetView{
		Waiting: p.Waiting, Running: p.Running, Capacity: p.Capacity, Workers: p.Workers, Desired: p.DesiredWorkers,
		OldestWait: time.Duration(p.OldestWaitSeconds * float64(time.Second)),
	}
	for i := range workers {
		w := &workers[i]
		v.FleetWorkers = append(v.FleetWorkers, ports.FleetWorker{
			ID: w.WorkerID, Tags: w.Tags, Used: w.CapacityUsed, Dead: w.Status == niyanta.WorkerDead,
			Draining: w.Status == niyanta.WorkerDraining,
		})
	}
	return v, nil
}

// scaler asks what an exporter would ask: the coordinators with its key, and AWS for the group.
func (f *findings) scaler(ctx context.Context, cfg Config) {
	const advice = "set NIYANTA_SCALER_KEY to a scaler's key (niyanta key create --role scaler), and " +
		"NIYANTA_SCALER_POOL to a pool in the coordinators' NIYANTA_POOLS"
	x, err := NewAWSScaleExporter(ctx, cfg, "", slog.New(slog.DiscardHandler))
	if err != nil {
		f.problem("a scale exporter with these settings does not start", "%s", err)
		return
	}
	defer x.fleet.Close()
	if v, err := (fleetReader{x.fleet, cfg.ScalerPool}).View(ctx); err != nil {
		f.problem(advice, "%sSCALER_POOL and SCALER_KEY: %s", Prefix, err)
	} else {
		f.fine("%sSCALER_POOL: %s desires %d workers, and has %d", Prefix, cfg.ScalerPool, v.Desired, v.Workers)
	}
	if machines, err := x.group.Machines(ctx); err != nil {
		f.problem("correct the name, the region, the credentials and their rights; see docs/operations/scaling.md",
			"%sAWS_AUTOSCALING_GROUP: %s", Prefix, err)
	} else {
		f.fine("%sAWS_AUTOSCALING_GROUP: %s has %d machines", Prefix, cfg.AWSGroup, len(machines))
	}
}

// validateScaleExporter checks the settings of a scale exporter.
func (c Config) validateScaleExporter(wrong func(string, string, ...any)) {
	for _, s := range []struct{ name, value, what string }{
		{"COORDINATOR_URL", c.CoordinatorURL, "coordinators say there what the pool needs"},
		{"SCALER_KEY", c.ScalerKey, "make one with niyanta key create --role scaler --name aws"},
		{"SCALER_POOL", c.ScalerPool, "one of the pools in the coordinators' NIYANTA_POOLS"},
		{"AWS_AUTOSCALING_GROUP", c.AWSGroup, "the group whose machines run the pool's workers"},
		{"AWS_METRIC_NAMESPACE", c.AWSNamespace, "where CloudWatch keeps the metrics"},
	} {
		if s.value == "" {
			wrong(s.name, "is required: %s", s.what)
		}
	}
	if strings.HasPrefix(c.AWSNamespace, "AWS/") {
		wrong("AWS_METRIC_NAMESPACE", "must not begin with AWS/, which is Amazon's own")
	}
	if c.ScalerHTTPAddr != "" {
		if _, port, err := net.SplitHostPort(c.ScalerHTTPAddr); err != nil || port == "" {
			wrong("SCALER_HTTP_ADDR", "must look like :8082 or 127.0.0.1:8082, not %q", c.ScalerHTTPAddr)
		}
	}
}
