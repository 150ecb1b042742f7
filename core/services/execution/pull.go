package execution

import (
	"bytes"
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

// pullTries bounds how often a state is taken because the handler saves one of its own meanwhile.
const pullTries = 3

// errOvertaken says that the handler began to save a checkpoint after the state was taken. That one
// may be newer, so the state must not be saved after it.
var errOvertaken = errors.New("the handler saves a checkpoint of its own")

// pull asks the workload for a checkpoint and saves it. If that fails, the last durable checkpoint
// remains. It returns ports.ErrNoCheckpoint if there is nothing to save now, or if the handler has
// kept saving newer ones. A panic in the workload fails the run; see guard.
func (a *Agent) pull(r *run) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), a.cfg.StopGrace)
	defer cancel()
	for range pullTries {
		a.mu.Lock()
		ready := r.initialised && !r.abandoned && r.state == ports.RunRunning
		s := &saving{run: r, ctx: ctx, begun: r.begun, pulls: true}
		a.mu.Unlock()
		if !ready {
			return ports.ErrNoCheckpoint
		}
		err := r.saveSnapshot(ctx, s)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil && !errors.Is(err, ports.ErrNoCheckpoint) && !a.isAbandoned(r) {
			r.log.Warn("checkpoint failed", "error", err)
		}
		return err
	}
	return ports.ErrNoCheckpoint
}

// saveSnapshot asks the workload for its state and saves it.
func (r *run) saveSnapshot(ctx context.Context, s *saving) error {
	defer s.close()
	if w, streams := r.workload.(ports.StreamWorkload); streams {
		return r.agent.saveStream(s, func(to io.Writer) (err error) {
			if !r.guard("CheckpointTo", func() { err = w.CheckpointTo(ctx, to) }) {
				return r.fault()
			}
			return err
		}, nil, "")
	}
	data, err := r.snapshot(ctx)
	if err != nil {
		return err
	}
	return r.agent.save(s, ports.CheckpointUpload{Data: bytes.Clone(data)}, nil, "") // the run may change data now
}

func (r *run) snapshot(ctx context.Context) (data []byte, err error) {
	if !r.guard("Checkpoint", func() { data, err = r.workload.Checkpoint(ctx) }) {
		return nil, r.fault()
	}
	return data, err
}
