package bootstrap

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"regexp"

	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/adapters/hardware"
	"github.com/niyanta/niyanta/adapters/http/workerserver"
	"github.com/niyanta/niyanta/adapters/process"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/workloads"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

// Worker is a worker with the built-in types.
type Worker struct {
	engine *execution.Engine
	server *workerserver.Server // nil in a server
	// preempted is nil where nobody watches for a notice.
	preempted *preemptible
	cfg       Config
	close     func()
}

// NewWorker returns a worker that reaches its coordinators over the configured bus, over HTTP, or
// both. It offers the built-in types, and more. It answers probes from now on. ctx bounds its runs;
// see execution.New.
func NewWorker(
	ctx context.Context, cfg Config, version string, log *slog.Logger, more ...map[string]ports.WorkloadFactory,
) (*Worker, error) {
	id := domain.WorkerID(cfg.WorkerID)
	if id == "" {
		id = generatedWorkerID(system.IDs{})
	}
	plane, err := newWorkerPlane(cfg, string(id), log)
	if err != nil {
		return nil, err
	}
	has, err := cfg.offer(ctx, log)
	if err != nil {
		return nil, err
	}
	w, err := newWorker(ctx, cfg, id, has, version, plane.ControlPlane, plane.close, log, more...)
	if err != nil {
		return nil, err
	}
	if w.preempted, err = newPreemptible(cfg, log.With("worker_id", string(id))); err != nil {
		w.close()
		return nil, err
	}
	shown, err := cfg.openCertificates(tlsServing, log)
	if err == nil {
		plane.shown["probes"] = shown
		w.server, err = workerserver.Start(ctx, cfg.WorkerHTTPAddr, shown.Server(), workerserver.Worker{
			Version: version, Stats: w.engine.Stats, Certificates: certificates.Expiries(plane.shown),
		}, log.With("worker_id", string(id)))
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// offer returns what a worker of this configuration has.
func (c Config) offer(ctx context.Context, log *slog.Logger) (domain.Offer, error) {
	return hardware.Offer(ctx, hardware.Settings{
		CPU: c.WorkerCPU, MemoryMB: c.WorkerMemoryMB, DiskMB: c.WorkerDiskMB, Devices: c.WorkerDevices,
		Custom: c.WorkerResources,
	}, log)
}

func newWorker(
	ctx context.Context, cfg Config, id domain.WorkerID, has domain.Offer, version string, plane ports.ControlPlane,
	done func(), log *slog.Logger, more ...map[string]ports.WorkloadFactory,
) (*Worker, error) {
	tags, err := ParseTags(cfg.WorkerTags)
	if err != nil {
		return nil, err
	}
	life, err := process.Supervised()
	if err != nil {
		return nil, err
	}
	if life == nil {
		life = &process.Supervision{} // nobody certifies its death
	}
	offer, err := workloads.New(workloads.Options{
		ExecAllow: cfg.ExecAllow, ExecEnv: cfg.ExecEnv, ExecUsers: cfg.ExecUIDs, ExecLimits: cfg.ExecLimits,
		ExecNamespaces:   cfg.ExecNamespaces,
		Slots:            cfg.WorkerSlots,
		Dumpable:         process.InForce() == process.ProtectionNone,
		OnlyPrograms:     process.HasShed(), // a server, which starts nothing else
		HTTPAllowPrivate: cfg.HTTPTypeAllowPrivate,
	}, log.With("worker_id", string(id)))
	if err != nil {
		return nil, err
	}
	if offer.Isolation != "" {
		tags = maps.Clone(tags)
		if tags == nil {
			tags = map[string]string{}
		}
		tags[isolationTag], tags[limitsTag] = string(offer.Isolation), string(offer.Limits)
		tags[namespacesTag] = string(offer.Namespaces)
	}
	for _, m := range more {
		maps.Copy(offer.Types, m)
	}
	closeAll := func() {
		done()
		if err := offer.Close(); err != nil {
			log.Warn("removing scratch directories failed", "worker_id", string(id), "error", err)
		}
	}
	engine, err := execution.New(ctx, execution.Config{
		WorkerID: id, Slots: cfg.WorkerSlots, Resources: has, Tags: tags, Version: version, Types: offer.Types,
		Capabilities: offer.Capabilities, ProcessID: life.ProcessID, CertificateDigest: life.Digest,
		TakeOver: cfg.TakeOver,
	}, execution.Deps{
		Plane: plane, Clock: system.Clock{}, IDs: system.IDs{}, Log: log, Sleep: system.Sleep,
		Spool: system.Spool{},
	})
	if err != nil {
		return nil, errors.Join(err, offer.Close())
	}
	return &Worker{engine: engine, cfg: cfg, close: closeAll}, nil
}

// isolationTag tells what keeps a worker's programs apart; see workloads.Isolation.
const isolationTag = "exec.isolation"

// namespacesTag tells whether a worker's programs have namespaces of their own; see
// workloads.Namespaces.
const namespacesTag = "exec.namespaces"

// limitsTag tells how a worker's programs are held to their limits; see workloads.Enforcement.
const limitsTag = "exec.limits"

// Run works until ctx ends, or until the machine will be taken away, then drains. See
// execution.Engine.
func (w *Worker) Run(ctx context.Context) error {
	defer w.close()
	defer w.server.Close() // a worker that drains still says so
	return w.preempted.run(ctx, func(ctx context.Context) error { return w.engine.Run(ctx, w.cfg.DrainTimeout) })
}

var notInWorkerID = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// generatedWorkerID starts with the host's name, so that people recognise it.
func generatedWorkerID(ids ports.IDs) domain.WorkerID {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "worker"
	}
	host = notInWorkerID.ReplaceAllString(host, "-")
	return domain.WorkerID(ids.New(host[:min(len(host), 60)] + "-"))
}
