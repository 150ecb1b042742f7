package simulation

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// errInjected is the error of a call that failed through an injected fault.
var errInjected = domain.Unavailable(0, "injected fault")

// faulty reports whether a fault of probability p happens now. Once the world is healed, none does.
func (w *World) faulty(p float64) bool {
	if w.healed || w.rng.Float64() >= p {
		return false
	}
	w.Faults++
	return true
}

// withFaults calls f, a call of a store, with the faults of a store around it. It may fail before
// the commit, or report an error after the commit. It may stall, and the caller's process may end,
// before the commit and after it.
func withFaults[R any](w *World, f func() (R, error)) (R, error) {
	var none R
	w.stall()
	w.mayDie()
	if w.faulty(w.P.StoreBefore) {
		return none, errInjected
	}
	r, err := f()
	w.stall()
	w.mayDie()
	if err == nil && w.faulty(w.P.StoreAfter) {
		return none, errInjected
	}
	return r, err
}

// mayDie ends the process of the acting coordinator if a fault says so.
func (w *World) mayDie() {
	if !w.stalled && w.actingC != nil && w.faulty(w.P.Die) {
		w.die()
	}
}

// workloads is a WorkloadStore with faults. The checker sees what really commits.
type workloads struct {
	ports.WorkloadStore
	w *World
}

func (s workloads) Submit(ctx context.Context, batch []domain.Submission) ([]ports.SubmitResult, error) {
	return withFaults(s.w, func() ([]ports.SubmitResult, error) {
		rs, err := s.WorkloadStore.Submit(ctx, batch)
		if err == nil {
			s.w.check.submitted(batch, rs)
		}
		return rs, err
	})
}

func (s workloads) Apply(ctx context.Context, b domain.Batch) ([]domain.Result, error) {
	return withFaults(s.w, func() ([]domain.Result, error) {
		rs, err := s.WorkloadStore.Apply(ctx, b)
		if err == nil {
			s.w.check.applied(b, rs)
		}
		return rs, err
	})
}

func (s workloads) Get(ctx context.Context, c domain.CustomerID, ids ...domain.WorkloadID) ([]domain.Workload, error) {
	return withFaults(s.w, func() ([]domain.Workload, error) { return s.WorkloadStore.Get(ctx, c, ids...) })
}

func (s workloads) GetBrief(
	ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	return withFaults(s.w, func() ([]domain.Workload, error) { return s.WorkloadStore.GetBrief(ctx, customer, ids...) })
}

func (s workloads) GetAny(ctx context.Context, ids ...domain.WorkloadID) ([]domain.Workload, error) {
	return withFaults(s.w, func() ([]domain.Workload, error) { return s.WorkloadStore.GetAny(ctx, ids...) })
}

// checkpoints is a CheckpointStore with faults. The checker sees what really commits.
type checkpoints struct {
	ports.CheckpointStore
	w *World
}

func (s checkpoints) Save(
	ctx context.Context, t domain.Transition, c domain.Checkpoint, data []byte,
) (domain.Result, error) {
	return withFaults(s.w, func() (domain.Result, error) {
		r, err := s.CheckpointStore.Save(ctx, t, c, data)
		if err == nil {
			s.w.check.applied(domain.Batch{Transitions: []domain.Transition{t}}, []domain.Result{r})
		}
		return r, err
	})
}

func (s checkpoints) Workload(ctx context.Context, id domain.WorkloadID) (domain.Workload, error) {
	return withFaults(s.w, func() (domain.Workload, error) { return s.CheckpointStore.Workload(ctx, id) })
}

// decaying is a CheckpointStore on a disk that damages checkpoints.
type decaying struct {
	ports.CheckpointStore
	w *World
}

// Load returns other bytes in place of those of a damaged checkpoint.
func (s decaying) Load(
	ctx context.Context, id domain.WorkloadID, sequence int64,
) (domain.Checkpoint, []byte, error) {
	c, data, err := s.CheckpointStore.Load(ctx, id, sequence)
	if err == nil && sequence == s.w.damaged[id] {
		data = append([]byte("damaged "), data...)
	}
	return c, data, err
}

// queue is a QueueStore with faults.
type queue struct {
	ports.QueueStore
	w *World
}

func (s queue) Heads(ctx context.Context, q domain.HeadsQuery) (domain.QueueHeads, error) {
	return withFaults(s.w, func() (domain.QueueHeads, error) { return s.QueueStore.Heads(ctx, q) })
}

func (s queue) Orphans(ctx context.Context, after domain.WorkloadID, limit int) ([]ports.Orphan, error) {
	return withFaults(s.w, func() ([]ports.Orphan, error) { return s.QueueStore.Orphans(ctx, after, limit) })
}

// workers is a WorkerStore with faults.
type workers struct {
	ports.WorkerStore
	w *World
}

func (s workers) Register(ctx context.Context, r domain.Registration, lease time.Duration) (domain.Worker, error) {
	return withFaults(s.w, func() (domain.Worker, error) {
		wk, err := s.WorkerStore.Register(ctx, r, lease)
		if err == nil {
			s.w.check.registered(r)
		}
		return wk, err
	})
}

func (s workers) Heartbeat(ctx context.Context, beats []ports.Beat, lease time.Duration) ([]ports.BeatResult, error) {
	return withFaults(s.w, func() ([]ports.BeatResult, error) { return s.WorkerStore.Heartbeat(ctx, beats, lease) })
}

func (s workers) End(ctx context.Context, e domain.SessionEnd) ([]domain.Worker, error) {
	return withFaults(s.w, func() ([]domain.Worker, error) { return s.WorkerStore.End(ctx, e) })
}

func (s workers) Expire(ctx context.Context, epoch int64, limit int) ([]domain.Worker, error) {
	return withFaults(s.w, func() ([]domain.Worker, error) { return s.WorkerStore.Expire(ctx, epoch, limit) })
}

// leases is a LeaderLease with faults.
type leases struct {
	ports.LeaderLease
	w *World
}

func (s leases) Acquire(
	ctx context.Context, holder string, ttl time.Duration,
) (l ports.Leadership, held bool, err error) {
	l, err = withFaults(s.w, func() (l ports.Leadership, err error) {
		l, held, err = s.LeaderLease.Acquire(ctx, holder, ttl)
		if held {
			s.w.check.elected(holder, l.Epoch)
		}
		return l, err
	})
	return l, held && err == nil, err
}

func (s leases) Renew(ctx context.Context, holder string, epoch int64, ttl time.Duration) error {
	_, err := withFaults(s.w, func() (struct{}, error) { return struct{}{}, s.LeaderLease.Renew(ctx, holder, epoch, ttl) })
	return err
}
