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
	supervised  bool // a supervisor certifies its death
	ending      bool // it was told to end, and ends when it holds no run any more
	drained     bool // an administrator has drained it; it is replaced when it holds no run any more
	nextBeat    time.Time
	frozenUntil time.Time
	cutUntil    time.Time
	routines    []*routine
	scripts     int // runs that it has started and not closed
	offer       domain.Offer
	holders     []*holder // of these runs, in the order in which they began
}

// routine stands for a goroutine of a worker. It runs until it sleeps, and then waits to be
// resumed.
type routine struct {
	next  func() (time.Duration, bool)
	stop  func()
	yield func(time.Duration) bool
	wake  time.Time
}

// newWorker starts a worker process. Every worker but w2, and those in its place, has a supervisor.
func (w *World) newWorker(id domain.WorkerID) *worker {
	ctx, kill := context.WithCancel(context.Background())
	w.processes++
	k := &worker{
		w: w, id: id, kill: kill, process: fmt.Sprint(domain.PrefixProcess, w.processes), supervised: home(id) != "w2",
		offer: w.offer(id),
	}
	k.plane = &plane{w, k}
	cfg := execution.Config{
		WorkerID: id, Slots: slots, Resources: k.offer, ProcessID: k.process, Tags: map[string]string{"tag": w.tagOf(id)},
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

// spawn starts a routine. It replaces the go statement in the agent.
func (k *worker) spawn(f func()) {
	r := &routine{wake: k.w.Now()}
	r.next, r.stop = iter.Pull(func(yield func(time.Duration) bool) {
		r.yield = yield
		f()
	})
	k.routines = append(k.routines, r)
}

// sleep suspends the routine that is running for d. It returns errGone when the process was killed,
// so that the routine ends.
func (k *worker) sleep(ctx context.Context, d time.Duration) error {
	if k.dead || !k.w.running.yield(d) {
		return errGone
	}
	return ctx.Err()
}

var errGone = errors.New("the process is gone")

// resume runs a routine until it sleeps or ends. It reports whether it has not ended.
func (k *worker) resume(r *routine) bool {
	k.w.running = r
	d, more := r.next()
	k.w.running = nil
	r.wake = k.w.Now().Add(d)
	return more
}

// dieIf marks the process as dead if died is true. It is called while code of the process is on the
// stack, so it only keeps that code from having further effects. The caller's step then crashes the
// process.
func (k *worker) dieIf(died bool) {
	if died {
		k.dead = true
		k.kill()
	}
}

// crash kills the process and all its routines.
func (k *worker) crash() {
	k.dead = true
	k.kill()
	for _, r := range k.routines {
		r.stop()
	}
	k.routines = nil
}

// end starts the drain of the process, as SIGTERM does. The process ends when it has drained.
func (k *worker) end(ctx context.Context) {
	k.ending = true
	k.agent.Leave()
	_ = k.beat(ctx)
	k.agent.Drain()
}

// deregister ends the session of a process that was told to end and has drained.
func (k *worker) deregister(ctx context.Context) {
	if k.ending && !k.dead && k.finished() {
		_ = k.agent.Deregister(ctx) // if this fails, the supervisor or the lease ends the session
	}
}

// finished reports whether a process that was told to end, or that an administrator has drained,
// holds no run any more.
func (k *worker) finished() bool {
	return (k.ending || k.drained && k.agent.Draining()) && k.agent.Idle() && len(k.routines) == 0
}

// step makes the worker do one thing at random.
func (k *worker) step(ctx context.Context) {
	now := k.w.Now()
	if now.Before(k.frozenUntil) {
		return
	}
	k.agent.CheckLease() // the engine does this every 50 ms
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

// connect registers the worker.
func (k *worker) connect(ctx context.Context) error {
	k.nextBeat = k.w.Now().Add(beat)
	return k.agent.Connect(ctx)
}

// beat sends a heartbeat. After an error the next one is due soon.
func (k *worker) beat(ctx context.Context) error {
	err := k.agent.Beat(ctx)
	k.nextBeat = k.w.Now().Add(beat)
	if err != nil {
		k.nextBeat = k.w.Now().Add(250 * time.Millisecond)
	}
	return err
}

// poll fetches commands and handles them.
func (k *worker) poll(ctx context.Context) {
	ref, _, _ := k.agent.Session()
	cs, _ := k.plane.Poll(ctx, ref, 0)
	for _, c := range cs {
		k.agent.Handle(c)
	}
}

// runSome draws one of the routines, and resumes it if it is due.
func (k *worker) runSome(now time.Time) {
	if len(k.routines) == 0 {
		return
	}
	i := k.w.rng.IntN(len(k.routines))
	if r := k.routines[i]; !now.Before(r.wake) && !k.resume(r) {
		k.routines = append(k.routines[:i], k.routines[i+1:]...)
	}
}
