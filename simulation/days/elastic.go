package days

import (
	"context"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Elastic has an autoscaler set the number of workers by what the scaling service says. It steps as
// an autoscaler of Kubernetes does with the settings of deploy/kubernetes.
type Elastic struct {
	Pool domain.Pool
	// Interval is the time between two looks at what is desired.
	Interval time.Duration
	// Start is the time until a new worker has registered.
	Start time.Duration
}

const (
	// growth is by which part of them the workers may become more in stepTime, shrinkage less. They
	// may always become atOnce more.
	growth, shrinkage = 0.5, 0.1
	atOnce            = 4
	stepTime          = time.Minute
	// window is how long fewer workers must be desired before there are fewer.
	window = 5 * time.Minute
)

// autoscaler is the state of an elastic fleet.
type autoscaler struct {
	Elastic
	desired []desire // of the last window, oldest first
	stepped time.Time
	named   int // workers that have been named
	// coming counts workers that have not registered yet.
	coming int
	// working and leaving are the workers that take new work, and those that drain, oldest first.
	working, leaving []domain.Registration
	held             map[domain.WorkerID]int // workloads
}

// desire is what was desired at a time.
type desire struct {
	at time.Time
	n  int
}

// scale plans the looks of the autoscaler.
func (w *world) scale(ctx context.Context) {
	w.timeline.plan(w.clock.now, func() error {
		if err := w.rescale(ctx); err != nil {
			return fmt.Errorf("scale: %w", err)
		}
		if next := w.clock.now.Add(w.fleet.Interval); !next.After(begin.Add(w.Length)) || w.result.runningNow > 0 {
			w.timeline.plan(next, func() error { w.scale(ctx); return nil })
		}
		return nil
	})
}

func (w *world) rescale(ctx context.Context) error {
	f := w.fleet
	pools, err := w.coordinator.Scaling.Pools(ctx)
	if err != nil {
		return err
	}
	w.result.fleet(len(f.working), pools[0].DesiredWorkers)
	f.desired = append(f.desired, desire{w.clock.now, pools[0].DesiredWorkers})
	for w.clock.now.Sub(f.desired[0].at) > window {
		f.desired = f.desired[1:]
	}
	if w.clock.now.Sub(f.stepped) < stepTime {
		return w.leave(ctx)
	}
	now, lately := len(f.working)+f.coming, 0
	for _, d := range f.desired {
		lately = max(lately, d.n)
	}
	switch desired := pools[0].DesiredWorkers; {
	case desired > now:
		f.stepped = w.clock.now
		for range min(desired-now, max(atOnce, int(growth*float64(now)))) {
			w.join(ctx)
		}
	case lately < now:
		f.stepped = w.clock.now
		if err := w.drain(ctx, min(now-lately, max(1, int(shrinkage*float64(now))))); err != nil {
			return err
		}
	}
	return w.leave(ctx)
}

// join starts a worker.
func (w *world) join(ctx context.Context) {
	f := w.fleet
	r := domain.Registration{
		WorkerID: domain.WorkerID(fmt.Sprint("worker-", f.named)), SessionID: domain.SessionID(w.newID("s_")),
		Capabilities: f.Pool.Types, Slots: f.Pool.Slots,
	}
	f.named++
	f.coming++
	w.timeline.plan(w.clock.now.Add(f.Start), func() error {
		f.coming--
		f.working = append(f.working, r)
		w.woken = true
		_, err := w.stores.Workers.Register(ctx, r, forever)
		return err
	})
}

// drain lets n workers drain, the newest first.
func (w *world) drain(ctx context.Context, n int) error {
	f := w.fleet
	for range min(n, len(f.working)) {
		last := len(f.working) - 1
		r := f.working[last]
		f.working, f.leaving = f.working[:last], append(f.leaving, r)
		if _, err := w.stores.Fleet.Drain(ctx, r.WorkerID, domain.Admin{KeyID: "key_operator"}); err != nil {
			return err
		}
	}
	return nil
}

// leave ends the draining workers that hold nothing any more.
func (w *world) leave(ctx context.Context) error {
	f := w.fleet
	var left []domain.Registration
	for _, r := range f.leaving {
		if f.held[r.WorkerID] > 0 {
			left = append(left, r)
			continue
		}
		end := domain.SessionEnd{WorkerID: r.WorkerID, SessionID: r.SessionID}
		if _, err := w.stores.Workers.End(ctx, end); err != nil {
			return err
		}
	}
	f.leaving = left
	return nil
}

// hold counts what a worker holds.
func (w *world) hold(worker domain.WorkerID, n int) {
	if w.fleet != nil {
		w.fleet.held[worker] += n
	}
}
