package simulation

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

// process is one coordinator process.
type process struct {
	*coordinator.Coordinator
	loops       []coordinator.Loop
	frozenUntil time.Time
}

// newCoordinator starts a coordinator process on the run's storage and network.
func (w *World) newCoordinator() (*process, error) {
	s, err := w.backend.Open(w)
	if err != nil {
		return nil, err
	}
	s.Erasure, s.Checkpoints = inSmallBatches{s.Erasure}, decaying{s.Checkpoints, w}
	if !w.backend.Opaque {
		s = w.faultyStores(s)
	}
	c := coordinator.New(coordinator.Config{
		WorkerLease: lease, HeartbeatInterval: beat, LeaderTTL: ttl, Policy: w.policy,
		Retention:  domain.Retention{DeadWorkers: keepDead},
		Preemption: w.preemption, PauseWait: time.Nanosecond,
	}, s, coordinator.Signals{Notifier: w.net, Listener: w.net}, coordinator.Host{
		Name: w.ids.New("c"), Clock: w.skewed(), IDs: w.ids, Observer: observer{w}, Compressor: w.zip, Log: w.log,
	})
	return &process{Coordinator: c, loops: c.Loops()}, nil
}

// faultyStores wraps a coordinator's stores so that the run's faults hit its calls.
func (w *World) faultyStores(s ports.Stores) ports.Stores {
	s.Workloads, s.Queue, s.Workers = workloads{s.Workloads, w}, queue{s.Queue, w}, workers{s.Workers, w}
	s.Checkpoints, s.Leader = checkpoints{s.Checkpoints, w}, leases{s.Leader, w}
	s.Customers, s.Erasure = customers{s.Customers, w}, erasures{s.Erasure, w}
	return s
}

// loop is one of a coordinator's loops, by its place in coordinator.Coordinator.Loops.
type loop int

const (
	lead loop = iota
	schedule
	heal
	fold
	purge
	_ // live updates, which nobody follows here
	erase
)

// tick runs one round of a loop. Its errors come from injected faults, so they are ignored.
func (c *process) tick(ctx context.Context, l loop) { _, _ = c.loops[l].Tick(ctx) }
