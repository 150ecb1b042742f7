package coordinator

import (
	"context"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/archiving"
	"github.com/niyanta/niyanta/core/services/auditing"
	"github.com/niyanta/niyanta/core/services/checkpointing"
	"github.com/niyanta/niyanta/core/services/controlplane"
	"github.com/niyanta/niyanta/core/services/erasure"
	"github.com/niyanta/niyanta/core/services/health"
	"github.com/niyanta/niyanta/core/services/insight"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/lifecycle"
	"github.com/niyanta/niyanta/core/services/live"
	"github.com/niyanta/niyanta/core/services/retention"
	"github.com/niyanta/niyanta/core/services/scaling"
	"github.com/niyanta/niyanta/core/services/scheduling"
	"github.com/niyanta/niyanta/core/services/statistics"
	"github.com/niyanta/niyanta/core/services/tenancy"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// Config is what an operator sets. All coordinators of an installation share it.
type Config struct {
	// WorkerLease is the lease of a worker's session. HeartbeatInterval is the time between two of
	// its renewals.
	WorkerLease, HeartbeatInterval time.Duration
	// LeaderTTL is the lease of the leader.
	LeaderTTL time.Duration
	// Retention is how long what is kept for a time is kept.
	Retention domain.Retention
	// Policy orders the queue.
	Policy domain.Policy
	// Preemption lets a waiting workload ask one of a lower tier to checkpoint and make room.
	Preemption bool
	// AntiAcross are the types whose anti rules bind every customer's work.
	AntiAcross []string
	// RequireKnownTypes refuses types that the customer has no config for and that no live worker
	// offers.
	RequireKnownTypes bool
	// Pools are what is scaled together.
	Pools []domain.Pool
	// PauseWait is how long a pause request waits for the worker's confirmation; 0 means
	// lifecycle.DefaultPauseWait.
	PauseWait time.Duration
	// CheckpointThreshold is the largest checkpoint that is kept in the storage if Host.Checkpoints is
	// set, MaxCheckpoint then the largest one at all.
	CheckpointThreshold int
	MaxCheckpoint       int64
	// AdminKey authenticates administrators, WorkerKeys workers. Empty ones match nothing.
	AdminKey   string
	WorkerKeys []string
	// TokenRoles are the names by which tokens carry roles.
	TokenRoles domain.RoleNames
}

// timeoutGrace is how far behind a deadline the leader ends a run whose worker has not: the worker
// is given that long to stop it and to say so.
const timeoutGrace = 15 * time.Second

// Signals are what coordinators share besides the storage.
type Signals struct {
	Notifier ports.Notifier
	Listener ports.Listener
	Limiter  ports.RateLimiter
}

// Host is what the process itself provides.
type Host struct {
	// Name is what the coordinator is called everywhere: as leader, in the audit trail, on the bus,
	// in logs.
	Name       string
	Clock      ports.Clock
	IDs        ports.IDs
	Observer   ports.Observer
	Compressor ports.Compressor
	// Tokens verifies the tokens of an identity provider; nil: none is accepted.
	Tokens ports.TokenVerifier
	// Archive is where archived workloads are written before the archive drops them; nil: nowhere.
	Archive ports.BlobStore
	// Checkpoints is where large checkpoints are kept; nil: there are none.
	Checkpoints ports.BlobStore
	Log         *slog.Logger
}

// Coordinator holds the services of a coordinator.
type Coordinator struct {
	Lifecycle   *lifecycle.Service
	Checkpoints *checkpointing.Service
	Live        *live.Service
	Insight     *insight.Service
	Tenancy     *tenancy.Service
	Plane       *controlplane.Service
	Leadership  *leadership.Service
	Scheduler   *scheduling.Service
	Health      *health.Service
	Statistics  *statistics.Service
	Scaling     *scaling.Service
	Retention   *retention.Service
	Auditing    *auditing.Service
	Erasure     *erasure.Service

	notifier ports.Notifier
	clock    ports.Clock
	large    bool // there may be large checkpoints
}

// New puts the services of a coordinator together. Close it once.
func New(cfg Config, s ports.Stores, sig Signals, h Host) *Coordinator {
	applier := transitions.New(transitions.Deps{Workloads: s.Workloads, Notifier: sig.Notifier, Observer: h.Observer,
		Clock: h.Clock})
	checkpoints := checkpointing.New(checkpointing.Deps{
		Checkpoints: s.Checkpoints, Compressor: h.Compressor, Applier: applier, Observer: h.Observer, Clock: h.Clock,
		Log: h.Log, Blobs: h.Checkpoints, Uploads: s.Uploads, IDs: h.IDs,
		Customers: s.Customers, Threshold: cfg.CheckpointThreshold, Max: cfg.MaxCheckpoint,
	})
	leader := leadership.New(leadership.Config{
		Holder: h.Name, TTL: cfg.LeaderTTL, Renew: cfg.LeaderTTL * 3 / 10, Margin: cfg.LeaderTTL / 8,
	}, leadership.Deps{Lease: s.Leader, Clock: h.Clock, Observer: h.Observer, Log: h.Log})
	scheduler := scheduling.New(scheduling.Config{
		Name: h.Name, Policy: cfg.Policy, Preemption: cfg.Preemption, AntiAcross: cfg.AntiAcross,
	}, scheduling.Deps{
		Queue: s.Queue, Insight: s.Insight, Statistics: s.Statistics, Workers: s.Workers, Workloads: s.Workloads,
		Customers: s.Customers, Applier: applier, Notifier: sig.Notifier, Observer: h.Observer, Clock: h.Clock,
		Leader: leader, Log: h.Log,
	})
	life := lifecycle.New(lifecycle.Config{
		PauseWait: cfg.PauseWait, RequireKnownTypes: cfg.RequireKnownTypes, KeepArchive: cfg.Retention.Archive,
	}, lifecycle.Deps{
		Workloads: s.Workloads, Customers: s.Customers, Configs: s.Configs, Workers: s.Workers, Insight: s.Insight,
		Checkpoints: s.Checkpoints, Logs: s.Logs, Audit: s.Audit, Answers: s.Answers, Retention: s.Retention,
		Applier: applier, Notifier: sig.Notifier, Listener: sig.Listener, Observer: h.Observer, Clock: h.Clock,
		IDs: h.IDs,
	})
	archive := archiving.New(archiving.Deps{
		Blobs: h.Archive, Retention: s.Retention, Customers: s.Customers, Compressor: h.Compressor, Observer: h.Observer,
	})
	counts := statistics.New(statistics.Deps{
		Statistics: s.Statistics, Customers: s.Customers, Leader: leader, Clock: h.Clock,
	})
	return &Coordinator{
		Lifecycle:   life,
		Checkpoints: checkpoints,
		Live: live.New(live.Deps{
			Events: s.Events, Workloads: life, Listener: sig.Listener, Clock: h.Clock, Observer: h.Observer,
		}),
		Insight: insight.New(insight.Config{Policy: cfg.Policy, AntiAcross: cfg.AntiAcross}, insight.Deps{
			Queue: s.Queue, Insight: s.Insight, Workers: s.Workers, Workloads: life,
			Customers: s.Customers, Clock: h.Clock,
		}),
		Tenancy: tenancy.New(tenancy.Config{
			AdminKey: cfg.AdminKey, WorkerKeys: cfg.WorkerKeys, Roles: cfg.TokenRoles,
			Keyless: keyless(h),
		}, tenancy.Deps{
			Customers: s.Customers, Configs: s.Configs, Keys: s.Keys, Tickets: s.Tickets, Erasure: s.Erasure,
			Limiter: sig.Limiter, Tokens: h.Tokens,
			Notifier: sig.Notifier, Clock: h.Clock, IDs: h.IDs,
		}),
		Plane: controlplane.New(controlplane.Config{
			Lease: cfg.WorkerLease, HeartbeatInterval: cfg.HeartbeatInterval, Name: h.Name,
		}, controlplane.Deps{
			Workers: s.Workers, Fleet: s.Fleet, Audit: s.Audit, Queue: s.Queue, Workloads: s.Workloads, Checkpoints: checkpoints,
			Applier: applier, Notifier: sig.Notifier, Listener: sig.Listener, Observer: h.Observer,
			Clock: h.Clock, IDs: h.IDs, Log: h.Log,
		}),
		Erasure: erasure.New(h.Name, erasure.Deps{
			Erasure: s.Erasure, Audit: s.AdminAudit, Archive: archive, Applier: applier,
			Clock: h.Clock, Leader: leader, Log: h.Log,
		}),
		Auditing:   auditing.New(auditing.Deps{AdminAudit: s.AdminAudit, Clock: h.Clock}),
		Leadership: leader,
		Scheduler:  scheduler,
		Health: health.New(health.Config{
			Lease: cfg.WorkerLease, Resend: 2 * cfg.HeartbeatInterval, Unassign: cfg.WorkerLease,
			TimeoutGrace: timeoutGrace, Name: h.Name,
		}, health.Deps{
			Queue: s.Queue, Workers: s.Workers, Applier: applier,
			Sender: scheduler, Observer: h.Observer, Clock: h.Clock, IDs: h.IDs, Leader: leader, Log: h.Log,
		}),
		Statistics: counts,
		Scaling: scaling.New(scaling.Config{Pools: cfg.Pools}, scaling.Deps{
			Statistics: counts, Workers: s.Workers,
		}),
		Retention: retention.New(cfg.Retention, retention.Deps{
			Retention: s.Retention, Archive: archive, Observer: h.Observer, Clock: h.Clock, Leader: leader,
		}),

		notifier: sig.Notifier, clock: h.Clock, large: h.Checkpoints != nil,
	}
}

// keyless says why values of customers cannot be encrypted with keys. It is empty if they can be.
func keyless(h Host) string {
	switch {
	case h.Checkpoints == nil && h.Archive == nil:
		return "nothing would be encrypted with it: this coordinator has neither a storage of large checkpoints " +
			"nor one of the archive"
	case h.Checkpoints != nil && !h.Checkpoints.Encrypts():
		return "the storage of large checkpoints does not encrypt with keys"
	case h.Archive != nil && !h.Archive.Encrypts():
		return "the storage of the archive does not encrypt with keys"
	}
	return ""
}

// StepDown gives leadership away and wakes the other coordinators, one of which takes it at once. A
// coordinator that does not lead has nothing to give, but wakes them all the same.
func (c *Coordinator) StepDown(ctx context.Context) error {
	err := c.Leadership.StepDown(ctx)
	c.notifier.Wake(ctx, ports.WakeSteppedDown)
	return err
}

// Close ends what the coordinator listens to. Its loops must have ended.
func (c *Coordinator) Close() { c.Plane.Close() }
