package bootstrap

import (
	"log/slog"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/checkpointing"
	"github.com/niyanta/niyanta/core/services/controlplane"
	"github.com/niyanta/niyanta/core/services/health"
	"github.com/niyanta/niyanta/core/services/insight"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/lifecycle"
	"github.com/niyanta/niyanta/core/services/scheduling"
	"github.com/niyanta/niyanta/core/services/tenancy"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// Backends are the adapters behind the ports of a coordinator.
type Backends struct {
	Storage
	Signals
	Limiter    Limiter
	Compressor ports.Compressor
}

// Host is what the process itself provides.
type Host struct {
	// Name is what the coordinator is called everywhere: as leader, in the audit trail, on the bus, in logs.
	Name     string
	Clock    ports.Clock
	IDs      ports.IDs
	Observer ports.Observer
	Log      *slog.Logger
}

// Core holds the services of a coordinator.
type Core struct {
	Lifecycle  *lifecycle.Service
	Insight    *insight.Service
	Tenancy    *tenancy.Service
	Plane      *controlplane.Service
	Leadership *leadership.Service
	Scheduler  *scheduling.Service
	Health     *health.Service
	Listener   ports.Listener
	Notifier   ports.Notifier
	Log        *slog.Logger
	// Holder names this coordinator.
	Holder   string
	backends Backends
}

// NewCore puts the services of a coordinator together.
func NewCore(cfg Config, b Backends, h Host) *Core {
	holder := h.Name
	log := h.Log.With("coordinator_id", holder)
	applier := transitions.New(b.Workloads, b.Notifier, h.Observer)
	checkpoints := checkpointing.New(b.Checkpoints, b.Compressor, applier, h.Observer, log)
	leader := leadership.New(leadership.Config{
		Holder: holder, TTL: cfg.LeaderTTL, Renew: cfg.LeaderTTL * 3 / 10, Margin: cfg.LeaderTTL / 8,
	}, b.Leader, h.Clock, h.Observer, log)
	scheduler := scheduling.New(scheduling.Deps{
		Queue: b.Queue, Insight: b.Insight, Workers: b.Workers, Workloads: b.Workloads, Customers: b.Customers, Applier: applier,
		Notifier: b.Notifier, Observer: h.Observer, Clock: h.Clock, IDs: h.IDs, Leader: leader, Log: log, Holder: holder,
		Policy: cfg.SchedulerPolicy, Preemption: cfg.Preemption, AntiAcross: cfg.AntiAcross,
	})
	return &Core{
		Lifecycle: lifecycle.New(lifecycle.Deps{
			Workloads: b.Workloads, Customers: b.Customers, Configs: b.Configs, Workers: b.Workers,
			Checkpoints: b.Checkpoints, Logs: b.Logs, Audit: b.Audit, Applier: applier, Notifier: b.Notifier,
			Listener: b.Listener, Observer: h.Observer, Clock: h.Clock, IDs: h.IDs, RequireKnownTypes: cfg.RequireKnownTypes,
		}),
		Insight: insight.New(insight.Deps{
			Queue: b.Queue, Insight: b.Insight, Workers: b.Workers, Workloads: b.Workloads, Customers: b.Customers, Clock: h.Clock,
			Policy: cfg.SchedulerPolicy, AntiAcross: cfg.AntiAcross,
		}),
		Tenancy: tenancy.New(tenancy.Deps{
			Customers: b.Customers, Configs: b.Configs, Keys: b.Keys, Workloads: b.Workloads, Limiter: b.Limiter.RateLimiter,
			Notifier: b.Notifier,
			Clock:    h.Clock, IDs: h.IDs, AdminKey: cfg.AdminKey, WorkerKeys: cfg.WorkerKeys,
		}),
		Plane: controlplane.New(controlplane.Config{
			Lease: cfg.WorkerLease, HeartbeatInterval: cfg.HeartbeatInterval, Holder: holder,
		}, controlplane.Deps{
			Workers: b.Workers, Fleet: b.Fleet, Queue: b.Queue, Workloads: b.Workloads, Checkpoints: checkpoints,
			Applier: applier, Notifier: b.Notifier, Listener: b.Listener, Observer: h.Observer,
			Clock: h.Clock, IDs: h.IDs, Log: log,
		}),
		Leadership: leader,
		Scheduler:  scheduler,
		Health: health.New(health.Config{
			Lease: cfg.WorkerLease, Resend: health.DefaultResend, Unassign: health.DefaultUnassign,
			TimeoutGrace: health.DefaultTimeoutGrace, KeepDead: health.DefaultKeepDead, Holder: holder,
		}, health.Deps{
			Queue: b.Queue, Workers: b.Workers, Fleet: b.Fleet, Applier: applier, Sender: scheduler, Observer: h.Observer,
			Clock: h.Clock, IDs: h.IDs, Leader: leader, Log: log,
		}),
		Listener: b.Listener, Notifier: b.Notifier, Log: log, Holder: holder, backends: b,
	}
}

// DevCustomer is the one customer of the development server.
const DevCustomer = domain.CustomerID("cust_dev")
