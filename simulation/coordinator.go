package simulation

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/services/checkpointing"
	"github.com/niyanta/niyanta/core/services/controlplane"
	"github.com/niyanta/niyanta/core/services/health"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/lifecycle"
	"github.com/niyanta/niyanta/core/services/scheduling"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// coordinator is one coordinator process.
type coordinator struct {
	w           *World
	leader      *leadership.Service
	scheduler   *scheduling.Service
	health      *health.Service
	plane       *controlplane.Service
	lifecycle   *lifecycle.Service
	frozenUntil time.Time
}

func (w *World) newCoordinator() (*coordinator, error) {
	name := w.ids.New("c")
	s, err := w.backend.Open(w)
	if err != nil {
		return nil, err
	}
	clock := w.skewed()
	if !w.backend.Opaque {
		s.Workloads, s.Queue, s.Workers = workloads{s.Workloads, w}, queue{s.Queue, w}, workers{s.Workers, w}
		s.Checkpoints, s.Leader = checkpoints{s.Checkpoints, w}, leases{s.Leader, w}
	}
	applier := transitions.New(s.Workloads, w.net, observer{w})
	leader := leadership.New(leadership.Config{Holder: name, TTL: ttl, Renew: ttl * 5 / 16, Margin: ttl / 8}, s.Leader, clock, observer{w}, w.log)
	c := &coordinator{w: w, leader: leader}
	c.scheduler = scheduling.New(scheduling.Deps{
		Queue: s.Queue, Insight: s.Insight, Workers: s.Workers, Workloads: s.Workloads, Customers: s.Customers, Applier: applier, Notifier: w.net,
		Observer: observer{w}, Clock: clock, IDs: w.ids, Leader: leader, Log: w.log, Holder: name, Policy: w.policy, Preemption: w.preemption,
	})
	c.health = health.New(health.Config{Lease: lease, Resend: health.DefaultResend, Unassign: health.DefaultUnassign, TimeoutGrace: health.DefaultTimeoutGrace, KeepDead: health.DefaultKeepDead, Holder: name},
		health.Deps{Queue: s.Queue, Workers: s.Workers, Fleet: s.Fleet, Applier: applier, Sender: c.scheduler, Observer: observer{w}, Clock: clock, IDs: w.ids, Leader: leader, Log: w.log})
	c.plane = controlplane.New(controlplane.Config{Lease: lease, HeartbeatInterval: beat, Holder: name}, controlplane.Deps{
		Workers: s.Workers, Fleet: s.Fleet, Queue: s.Queue, Workloads: s.Workloads, Checkpoints: checkpointing.New(s.Checkpoints, w.zip, applier, observer{w}, w.log),
		Applier: applier, Notifier: w.net, Listener: w.net, Observer: observer{w}, Clock: clock, IDs: w.ids, Log: w.log,
	})
	c.lifecycle = lifecycle.New(lifecycle.Deps{
		Workloads: s.Workloads, Customers: s.Customers, Configs: s.Configs, Workers: s.Workers, Checkpoints: s.Checkpoints,
		Logs: s.Logs, Audit: s.Audit, Applier: applier, Notifier: w.net, Listener: w.net, Observer: observer{w},
		Clock: clock, IDs: w.ids, PauseWait: time.Nanosecond,
	})
	return c, nil
}

func (c *coordinator) close() { c.plane.Close() }

// loop is one of a coordinator's loops.
type loop int

const (
	lead loop = iota
	schedule
	heal
)

// tick lets one loop run once; errors are what faults make of it.
func (c *coordinator) tick(ctx context.Context, l loop) {
	switch l {
	case lead:
		_, _ = c.leader.Tick(ctx)
	case schedule:
		_, _ = c.scheduler.Tick(ctx)
	case heal:
		_ = c.health.Tick(ctx)
	}
}
