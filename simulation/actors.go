package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/checkpointing"
	"github.com/niyanta/niyanta/core/services/controlplane"
	"github.com/niyanta/niyanta/core/services/execution"
	"github.com/niyanta/niyanta/core/services/health"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/lifecycle"
	"github.com/niyanta/niyanta/core/services/scheduling"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// coordinator is one coordinator process.
type coordinator struct {
	leader      *leadership.Service
	scheduler   *scheduling.Service
	health      *health.Service
	plane       *controlplane.Service
	lifecycle   *lifecycle.Service
	frozenUntil time.Time
}

func (w *World) newCoordinator() *coordinator {
	name := w.ids.New("c")
	s := w.store
	wl, q, wk := workloads{s.Workloads(), w}, queue{s.Queue(), w}, workers{s.Workers(), w}
	applier := transitions.New(wl, w.net, observer{})
	leader := leadership.New(leadership.Config{Holder: name, TTL: ttl, Renew: ttl * 5 / 16, Margin: ttl / 8}, leases{s.Leader(), w}, w.clock, observer{}, w.log)
	c := &coordinator{leader: leader}
	c.scheduler = scheduling.New(scheduling.Deps{
		Queue: q, Workers: wk, Workloads: wl, Customers: s.Customers(), Applier: applier, Notifier: w.net, Observer: observer{},
		Clock: w.clock, IDs: w.ids, Leader: leader, Log: w.log, Holder: name,
	})
	c.health = health.New(health.Config{Lease: lease, Resend: health.DefaultResend, Unassign: health.DefaultUnassign, TimeoutGrace: health.DefaultTimeoutGrace, Holder: name},
		health.Deps{Queue: q, Workers: wk, Applier: applier, Sender: c.scheduler, Observer: observer{}, Clock: w.clock, IDs: w.ids, Leader: leader, Log: w.log})
	c.plane = controlplane.New(controlplane.Config{Lease: lease, HeartbeatInterval: beat, Holder: name}, controlplane.Deps{
		Workers: wk, Queue: q, Workloads: wl, Logs: s.Logs(), Checkpoints: checkpointing.New(checkpoints{s.Checkpoints(), w}, w.zip, applier, observer{}, w.log),
		Applier: applier, Notifier: w.net, Listener: w.net, Observer: observer{}, Clock: w.clock, IDs: w.ids, Log: w.log,
	})
	c.lifecycle = lifecycle.New(lifecycle.Deps{
		Workloads: wl, Customers: s.Customers(), Configs: s.Configs(), Workers: wk, Checkpoints: checkpoints{s.Checkpoints(), w},
		Logs: s.Logs(), Audit: s.Audit(), Applier: applier, Notifier: w.net, Listener: w.net, Observer: observer{},
		Clock: w.clock, IDs: w.ids, Policy: domain.PolicyPriority, PauseWait: time.Nanosecond,
	})
	return c
}

// tick lets one of the coordinator's loops run once; errors are what faults make of it.
func (c *coordinator) tick(ctx context.Context, loop int) {
	switch loop {
	case 0:
		_, _ = c.leader.Tick(ctx)
	case 1:
		_, _ = c.scheduler.Tick(ctx)
	default:
		_ = c.health.Tick(ctx)
	}
}

// worker is one worker process: its agent, and the routines that the agent has spawned.
type worker struct {
	w           *World
	id          domain.WorkerID
	agent       *execution.Agent
	kill        context.CancelFunc
	dead        bool
	nextBeat    time.Time
	frozenUntil time.Time
	cutUntil    time.Time
	routines    []*routine
}

// routine is code of a worker that runs until it sleeps.
type routine struct {
	next  func() (time.Duration, bool)
	stop  func()
	yield func(time.Duration) bool
	wake  time.Time
}

func (w *World) newWorker(id domain.WorkerID) *worker {
	ctx, kill := context.WithCancel(context.Background())
	k := &worker{w: w, id: id, kill: kill}
	cfg := execution.Config{
		WorkerID: id, Slots: slots, Tags: map[string]string{"tag": w.tagOf(id)}, Spawn: k.spawn, Sleep: k.sleep,
		Types: map[string]ports.WorkloadFactory{"t": func() ports.Workload { return &script{k: k} }},
	}
	var err error
	if k.agent, err = execution.NewAgent(ctx, cfg, &plane{w, k}, w.clock, w.ids, w.log); err != nil {
		panic(err) // a mistake in this package
	}
	return k
}

func (k *worker) spawn(f func()) {
	r := &routine{wake: k.w.now()}
	r.next, r.stop = iter.Pull(func(yield func(time.Duration) bool) {
		r.yield = yield
		f()
	})
	k.routines = append(k.routines, r)
}

// sleep suspends the routine that runs; one of a killed process only wakes to end.
func (k *worker) sleep(ctx context.Context, d time.Duration) error {
	if k.dead || !k.w.running.yield(d) {
		return errGone
	}
	return ctx.Err()
}

var errGone = errors.New("the process is gone")

// resume runs a routine until it sleeps or ends; it reports whether there is more of it.
func (k *worker) resume(r *routine) bool {
	k.w.running = r
	d, more := r.next()
	k.w.running = nil
	r.wake = k.w.now().Add(d)
	return more
}

// crash kills the process: nothing of it runs or is heard any more.
func (k *worker) crash() {
	k.dead = true
	k.kill()
	for _, r := range k.routines {
		r.stop()
	}
	k.routines = nil
}

// step lets one thing happen in the worker.
func (k *worker) step(ctx context.Context) {
	now := k.w.now()
	if now.Before(k.frozenUntil) {
		return
	}
	k.agent.CheckLease() // as the engine does every 50 ms
	_, _, live := k.agent.Session()
	switch n := k.w.rng.IntN(6); {
	case !live:
		_ = k.agent.Connect(ctx)
		k.nextBeat = now.Add(beat)
	case !now.Before(k.nextBeat):
		if k.agent.Beat(ctx) == nil {
			k.nextBeat = now.Add(beat)
		} else {
			k.nextBeat = now.Add(250 * time.Millisecond)
		}
	case n == 0:
		_ = k.agent.Flush(ctx)
	case n == 1:
		k.agent.Tick()
	case n == 2:
		ref, _, _ := k.agent.Session()
		cs, _ := (&plane{k.w, k}).Poll(ctx, ref, 0)
		for _, c := range cs {
			k.agent.Handle(c)
		}
	default:
		k.runSome(now)
	}
}

// runSome resumes a routine that is due, if there is one.
func (k *worker) runSome(now time.Time) {
	if len(k.routines) == 0 {
		return
	}
	i := k.w.rng.IntN(len(k.routines))
	if r := k.routines[i]; !now.Before(r.wake) && !k.resume(r) {
		k.routines = append(k.routines[:i], k.routines[i+1:]...)
	}
}

// script is a workload of a few steps, each saved; its input says how it ends.
type script struct {
	k    *worker
	in   scriptInput
	id   domain.WorkloadID
	gen  int64
	step int
}

type scriptInput struct {
	Steps int `json:"steps"`
	Fails int `json:"fails"` // so many attempts fail before one succeeds
}

func (s *script) Init(_ context.Context, t ports.Task) error {
	s.id, s.gen = t.WorkloadID, t.Generation
	if err := json.Unmarshal([]byte(t.Input), &s.in); err != nil {
		return err
	}
	if t.Checkpoint != nil {
		if err := json.Unmarshal(t.Checkpoint, &s.step); err != nil {
			return err
		}
	}
	s.k.w.check.restored(s.id, s.gen, s.step)
	if t.Attempt < s.in.Fails {
		return fmt.Errorf("attempt %d fails", t.Attempt)
	}
	return nil
}

func (s *script) Execute(ctx context.Context, p ports.Progress) (domain.JSON, error) {
	for s.step < s.in.Steps {
		if err := s.k.sleep(ctx, time.Duration(1+s.k.w.rng.IntN(4))*time.Second); err != nil {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			return "", err
		}
		s.k.w.check.effect(s.id, s.gen)
		data, err := json.Marshal(s.step + 1)
		if err != nil {
			return "", err
		}
		percent := 100 * float64(s.step+1) / float64(s.in.Steps)
		if err := p.Checkpoint(ctx, data, &percent, ""); err != nil {
			return "", err
		}
		s.step++
	}
	return `{"done":true}`, nil
}

func (s *script) Checkpoint(context.Context) ([]byte, error) { return nil, ports.ErrNoCheckpoint }
func (s *script) Close() error                               { return nil }
