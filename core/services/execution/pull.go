package execution

import (
	"context"
	"errors"
	"io"

	"github.com/niyanta/niyanta/core/ports"
)

// checkpoint takes a checkpoint now. If one is being taken, exactly one more follows it, because
// the run may have changed since that one began.
func (a *Agent) checkpoint(r *run) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.pulling {
		r.pullAgain = true
		return
	}
	a.spawnPullLocked(r)
}

// spawnPullLocked takes a checkpoint concurrently with the run. The agent's mu is held.
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
		_ = a.pull(r) // if it fails, the last durable checkpoint remains
	})
}

// pull asks the workload for a checkpoint and saves it. If that fails, the last durable checkpoint
// remains. It returns ports.ErrNoCheckpoint if there is nothing to save now. A panic in the
// workload fails the run; see guard.
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
	err := r.saveSnapshot(ctx, &percent, message)
	if err != nil && !errors.Is(err, ports.ErrNoCheckpoint) && !a.isAbandoned(r) {
		r.log.Warn("checkpoint failed", "error", err)
	}
	return err
}

// saveSnapshot asks the workload for its state and saves it.
func (r *run) saveSnapshot(ctx context.Context, percent *float64, message string) error {
	if w, streams := r.workload.(ports.StreamWorkload); streams {
		return r.CheckpointStream(ctx, func(to io.Writer) (err error) {
			if !r.guard("CheckpointTo", func() { err = w.CheckpointTo(ctx, to) }) {
				return r.fault()
			}
			return err
		}, percent, message)
	}
	data, err := r.snapshot(ctx)
	if err != nil {
		return err
	}
	return r.Checkpoint(ctx, data, percent, message)
}

func (r *run) snapshot(ctx context.Context) (data []byte, err error) {
	if !r.guard("Checkpoint", func() { data, err = r.workload.Checkpoint(ctx) }) {
		return nil, r.fault()
	}
	return data, err
}
