package execution

import (
	"context"
	"errors"

	"github.com/niyanta/niyanta/core/ports"
)

// checkpoint takes a checkpoint now. While one is being taken, another one follows it, however
// often it is asked for: what has changed since that one began is to be in it too.
func (a *Agent) checkpoint(r *run) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.pulling {
		r.pullAgain = true
		return
	}
	a.spawnPullLocked(r)
}

// spawnPullLocked takes a checkpoint beside the run; a.mu is held.
func (a *Agent) spawnPullLocked(r *run) {
	r.pulling = true
	a.deps.Spawn(func() {
		defer a.withLock(func() {
			r.pulling = false
			if r.pullAgain {
				r.pullAgain = false
				a.spawnPullLocked(r)
			}
		})
		_ = a.pull(r) // the last durable one stands
	})
}

// pull asks the workload for a checkpoint and saves it. Failing is not fatal: the last durable
// checkpoint stands. It returns ports.ErrNoCheckpoint when there is nothing to save now. A panic in
// the workload fails the run; see guard.
func (a *Agent) pull(r *run) error {
	a.mu.Lock()
	ready := r.initialised && !r.abandoned && r.state == ports.RunRunning
	percent, message := r.percent, r.message
	a.mu.Unlock()
	if !ready {
		return ports.ErrNoCheckpoint
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), a.cfg.StopGrace)
	defer cancel()
	data, err := r.snapshot(ctx)
	if err == nil {
		err = r.Checkpoint(ctx, data, &percent, message)
	}
	if err != nil && !errors.Is(err, ports.ErrNoCheckpoint) && !a.isAbandoned(r) {
		a.deps.Log.Warn("checkpoint failed", "workload_id", string(r.key.WorkloadID), "generation", r.key.Generation,
			"error", err)
	}
	return err
}

func (r *run) snapshot(ctx context.Context) (data []byte, err error) {
	if !r.guard("Checkpoint", func() { data, err = r.workload.Checkpoint(ctx) }) {
		return nil, r.fault()
	}
	return data, err
}
