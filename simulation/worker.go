package simulation

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

// worker is one worker process: its agent, and the routines that the agent has spawned.
type worker struct {
	w           *World
	id          domain.WorkerID
	agent       *execution.Agent
	plane       *plane
	kill        context.CancelFunc
	dead        bool
	process     string
	supervised  bool // its death is certified
	ending      bool // its process ends when nothing is left to release
	drained     bool // an administrator drained it: whoever runs it replaces it in time
	nextBeat    time.Time
	frozenUntil time.Time
	cutUntil    time.Time
	routines    []*routine
	scripts     int // in its hands
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
	// The workers called w2 have no supervisor.
	w.processes++
	k := &worker{
		w: w, id: id, kill: kill, process: fmt.Sprint(domain.PrefixProcess, w.processes), supervised: id != "w2",
	}
	k.plane = &plane{w, k}
	cfg := execution.Config{
		WorkerID: id, Slots: slots, ProcessID: k.process, Tags: map[string]string{"tag": w.tagOf(id)},
		Types: map[string]ports.WorkloadFactory{"t": func() ports.Workload { return &script{k: k} }},
	}
	if k.supervised {
		cfg.CertificateDigest = domain.CertificateDigest(secretOf(k.process))
	}
	deps := execution.Deps{
		Plane: k.plane, Clock: w.skewed(), IDs: w.ids, Log: w.log, Sleep: k.sleep, Spawn: k.spawn,
	}
	var err error
	if k.agent, err = execution.NewAgent(ctx, cfg, deps); err != nil {
		panic(err) // a mistake in this package
	}
	return k
}

func (k *worker) spawn(f func()) {
	r := &routine{wake: k.w.Now()}
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
	r.wake = k.w.Now().Add(d)
	return more
}

// die marks the process as ended while something of it is on the stack: it has no effect any more,
// and is crashed right after.
func (k *worker) die(died bool) {
	if died {
		k.dead = true
		k.kill()
	}
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

// end has the process drain and then end, as a signal does.
func (k *worker) end(ctx context.Context) {
	k.ending = true
	k.agent.Leave()
	_ = k.beat(ctx)
	k.agent.Drain()
}

// deregister has a process that was told to end, and has nothing left to do, say that it leaves.
func (k *worker) deregister(ctx context.Context) {
	if k.ending && !k.dead && k.left() {
		_ = k.agent.Deregister(ctx) // its supervisor, or its lease, says the same
	}
}

// left reports whether a process that was told to end, or that an administrator has drained, has
// nothing left to do.
func (k *worker) left() bool {
	return (k.ending || k.drained && k.agent.Draining()) && k.agent.Idle() && len(k.routines) == 0
}

// step lets one thing happen in the worker.
func (k *worker) step(ctx context.Context) {
	now := k.w.Now()
	if now.Before(k.frozenUntil) {
		return
	}
	k.agent.CheckLease() // as the engine does every 50 ms
	_, _, live := k.agent.Session()
	switch n := k.w.rng.IntN(6); {
	case !live:
		_ = k.connect(ctx)
	case !now.Before(k.nextBeat):
		_ = k.beat(ctx)
	case n == 0:
		_ = k.agent.Flush(ctx)
	case n == 1:
		k.agent.Tick()
	case n == 2:
		k.poll(ctx)
	default:
		k.runSome(now)
	}
}

func (k *worker) connect(ctx context.Context) error {
	k.nextBeat = k.w.Now().Add(beat)
	return k.agent.Connect(ctx)
}

func (k *worker) beat(ctx context.Context) error {
	err := k.agent.Beat(ctx)
	k.nextBeat = k.w.Now().Add(beat)
	if err != nil {
		k.nextBeat = k.w.Now().Add(250 * time.Millisecond)
	}
	return err
}

func (k *worker) poll(ctx context.Context) {
	ref, _, _ := k.agent.Session()
	cs, _ := k.plane.Poll(ctx, ref, 0)
	for _, c := range cs {
		k.agent.Handle(c)
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
