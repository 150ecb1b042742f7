package simulation

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// round lets time pass, and then everybody do once whatever they would do in it. Nothing in it is
// drawn.
func (w *World) round(d time.Duration) {
	ctx := context.Background()
	w.clock.now = w.clock.now.Add(d)
	for i := range w.coordinators {
		for l := range purge + 1 {
			c := w.coordinators[i] // the one before may have ended
			w.as(c, nil, func() { c.tick(ctx, l) })
		}
	}
	w.certify(ctx)
	w.net.deliverAll()
	for i := range w.workers {
		k := w.workers[i]
		k.round(ctx)
		k.deregister(ctx)
		if k.dead || k.left() {
			w.replaceWorker(k, "end")
		}
	}
}

func (w *World) rounds(n int) {
	for range n {
		w.round(time.Second)
	}
}

// wait lets time pass in which nothing is expected but heartbeats.
func (w *World) wait(d time.Duration) {
	for ; d > 0; d -= beat {
		w.round(min(d, beat))
	}
}

// round lets a worker do all that a second brings.
func (k *worker) round(ctx context.Context) {
	if k.w.Now().Before(k.frozenUntil) {
		return
	}
	k.agent.Tick()
	if _, _, live := k.agent.Session(); !live {
		_ = k.connect(ctx)
	}
	if _, _, live := k.agent.Session(); !live {
		return
	}
	if !k.w.Now().Before(k.nextBeat) {
		_ = k.beat(ctx)
	}
	k.poll(ctx)
	for _, r := range slices.Clone(k.routines) {
		if !k.dead && !k.w.Now().Before(r.wake) && !k.resume(r) {
			k.routines = slices.DeleteFunc(k.routines, func(o *routine) bool { return o == r })
		}
	}
	_ = k.agent.Flush(ctx)
}

// want submits until it is acknowledged, as a client does that has an idempotency key.
func (w *World) want(key string, in scriptInput, timeout time.Duration) domain.WorkloadID {
	req := lifecycle.SubmitRequest{Type: "t", Input: in.json(), IdempotencyKey: key}
	if timeout > 0 {
		req.Timeout = &timeout
	}
	return w.insist(req)
}

func (w *World) insist(req lifecycle.SubmitRequest) domain.WorkloadID {
	for range 5 {
		var id domain.WorkloadID
		c := w.coordinators[0]
		w.as(c, nil, func() { id = w.submit(context.Background(), c, req) })
		if id != "" {
			return id
		}
	}
	return ""
}

func (w *World) controlled(f func(ctx context.Context, c *process)) {
	c := w.coordinators[1]
	w.as(c, nil, func() { f(context.Background(), c) })
}

// runner is the worker that runs a workload, as soon as one does; some worker if none does soon.
func (w *World) runner(id domain.WorkloadID) *worker {
	for range 10 {
		found, err := w.stores.Workloads.GetAny(context.Background(), id)
		if err == nil && len(found) == 1 && found[0].Status == domain.StatusRunning {
			for _, k := range w.workers {
				if k.id == found[0].WorkerID {
					return k
				}
			}
		}
		w.round(time.Second)
	}
	return w.workers[0]
}

// Journey is a fixed course through everything that may happen to a workload, without any fault but
// those of the plan. Events tells which it met.
func (w *World) Journey() {
	w.rounds(2)
	w.want("plain", scriptInput{Steps: 2}, 0)
	w.want("plain", scriptInput{Steps: 2}, 0) // the same one
	w.want("fails", scriptInput{Steps: 1, Fails: 1}, 0)
	w.want("hangs", scriptInput{Steps: 1, Hangs: true}, 2*time.Second)
	w.want("deaf", scriptInput{Steps: 1, Deaf: true}, 6*time.Second)
	paused := w.want("paused", scriptInput{Steps: 12}, 0)
	w.rounds(3)
	w.controlled(func(ctx context.Context, c *process) { _, _, _ = c.Lifecycle.Pause(ctx, tenant, paused, user, "") })
	w.rounds(3)
	w.controlled(func(ctx context.Context, c *process) { _, _ = c.Lifecycle.Resume(ctx, tenant, paused, user, "") })
	cancelled := w.want("cancelled", scriptInput{Steps: 10}, 0)
	w.rounds(3)
	done := false
	for range 5 {
		if !done {
			w.controlled(func(ctx context.Context, c *process) { done = w.cancel(ctx, c, cancelled) })
		}
	}
	if !done {
		w.check.fail("I8", "the cancel of %s was not acknowledged, though it was repeated with its key", cancelled)
	}
	w.controlled(func(ctx context.Context, c *process) { w.again(ctx, c, cancelled, &domain.Restore{}) })
	w.runner(paused).end(context.Background()) // what it runs is released

	w.wait(20 * time.Second) // the leader ends what ignores its deadline

	// They refuse before anybody knows. Then an assignment is not taken: they send heartbeats for
	// longer than a lease, but no report that they have started it.
	for _, k := range w.workers {
		k.agent.Leave()
		k.nextBeat = w.Now().Add(beat)
	}
	w.want("declined", scriptInput{Steps: 1}, 0)
	w.rounds(2)
	for _, k := range slices.Clone(w.workers) {
		w.replaceWorker(k, "restart")
	}
	w.rounds(2)
	w.want("not taken", scriptInput{Steps: 1}, 0)
	for _, k := range w.workers {
		_ = k.beat(context.Background())
		k.frozenUntil = w.Now().Add(lease + 3*time.Second)
	}
	w.round(time.Second)
	w.round(lease / 2)
	for _, k := range w.workers {
		_ = k.beat(context.Background())
	}
	w.round(lease/2 + time.Second)
	w.rounds(3)

	// What nobody can run is marked, and cancelled.
	nobody := lifecycle.SubmitRequest{Type: "t", Input: scriptInput{Steps: 1}.json(), IdempotencyKey: "nobody's"}
	nobody.Affinity.Hard.WorkerTags = map[string]string{"tag": nobodys}
	stuck := w.insist(nobody)
	w.wait(20 * time.Second)
	w.controlled(func(ctx context.Context, c *process) { w.cancel(ctx, c, stuck) })

	// One is asked to make room, and continues later.
	modest := w.want("modest", scriptInput{Steps: 12}, 0)
	w.rounds(4)
	w.controlled(func(ctx context.Context, _ *process) { w.preempt(ctx, modest) })
	w.rounds(12)

	// One freezes for longer than its lease, and wakes up.
	lost := w.want("lost", scriptInput{Steps: 8}, 0)
	w.rounds(3)
	w.runner(lost).frozenUntil = w.Now().Add(30 * time.Second)
	w.wait(25 * time.Second)
}

// Finish ends all faults and goes on round by round until everything that is stored is final.
func (w *World) Finish() {
	w.healed = true
	ctx := context.Background()
	for _, k := range w.workers {
		k.frozenUntil = time.Time{}
	}
	for range 300 {
		w.giveUp(ctx)
		w.wait(3 * time.Second)
		if w.unfinished(ctx) == 0 {
			return
		}
	}
	for _, id := range w.stored(ctx) {
		if s := w.current(ctx, id); !s.Status.Final() {
			w.check.fail("I3", "%s is %s (%s) long after the last fault", id, s.Status, s.Reason)
		}
	}
}
