package simulation

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// round lets time pass, and then runs every loop of every process once. It draws nothing.
func (w *World) round(d time.Duration) {
	ctx := context.Background()
	w.clock.now = w.clock.now.Add(d)
	for i := range w.coordinators {
		loops := []loop{lead, schedule, heal, fold, purge}
		if w.deleting() { // otherwise the loop rests
			loops = append(loops, erase)
		}
		for _, l := range loops {
			c := w.coordinators[i] // read again: the process may have been replaced in the last tick
			w.actAs(c, nil, func() { c.tick(ctx, l) })
		}
	}
	w.certify(ctx)
	w.net.deliverAll()
	for i := range w.workers {
		k := w.workers[i]
		k.round(ctx)
		k.deregister(ctx)
		if k.dead || k.finished() {
			w.replaceWorker(k, "end")
		}
	}
}

// rounds runs n rounds of a second.
func (w *World) rounds(n int) {
	for range n {
		w.round(time.Second)
	}
}

// wait lets time pass in rounds as long as the heartbeat interval.
func (w *World) wait(d time.Duration) {
	for ; d > 0; d -= beat {
		w.round(min(d, beat))
	}
}

// round does all that is due in the worker, once.
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

// submitScript submits a script under an idempotency key until the submission is acknowledged. It
// reserves part of a device.
func (w *World) submitScript(key string, in scriptInput, timeout time.Duration) domain.WorkloadID {
	req := lifecycle.SubmitRequest{Type: "t", Input: in.json(), IdempotencyKey: key,
		Resources: &domain.Resources{GPUs: 300, Amounts: domain.Amounts{CPUCores: 500}}}
	if timeout > 0 {
		req.Timeout = &timeout
	}
	return w.submitUntilAcknowledged(w.tenant(), req)
}

// submitUntilAcknowledged submits a request up to five times. The request has an idempotency key,
// so that it makes at most one workload.
func (w *World) submitUntilAcknowledged(a *account, req lifecycle.SubmitRequest) domain.WorkloadID {
	for range 5 {
		var id domain.WorkloadID
		c := w.coordinators[0]
		w.actAs(c, nil, func() { id = w.submit(context.Background(), c, a, req) })
		if id != "" {
			return id
		}
	}
	return ""
}

// onSecond runs f on the second coordinator.
func (w *World) onSecond(f func(ctx context.Context, c *process)) {
	c := w.coordinators[1]
	w.actAs(c, nil, func() { f(context.Background(), c) })
}

// runner waits up to ten seconds for a workload to run, and returns its worker. If the workload
// does not run, runner returns the first worker.
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

// Journey runs a fixed sequence in which every event of the state machine happens. The only fault
// is the one of the plan. Afterwards, Events counts which events happened.
func (w *World) Journey() {
	w.rounds(2)
	w.submitScript("plain", scriptInput{Steps: 2}, 0)
	w.submitScript("plain", scriptInput{Steps: 2}, 0) // the same key: no second workload
	w.submitScript("fails", scriptInput{Steps: 1, Fails: 1}, 0)
	w.submitScript("hangs", scriptInput{Steps: 1, Hangs: true}, 2*time.Second)
	w.submitScript("ignores stop", scriptInput{Steps: 1, IgnoresStop: true}, 6*time.Second)
	paused := w.submitScript("paused", scriptInput{Steps: 12}, 0)
	w.rounds(3)
	w.onSecond(func(ctx context.Context, c *process) { _, _, _ = c.Lifecycle.Pause(ctx, tenant, paused, user, "") })
	w.rounds(3)
	w.onSecond(func(ctx context.Context, c *process) { _, _ = c.Lifecycle.Resume(ctx, tenant, paused, user, "") })
	cancelled := w.submitScript("cancelled", scriptInput{Steps: 10}, 0)
	w.rounds(3)
	done := false
	for range 5 {
		if !done {
			w.onSecond(func(ctx context.Context, c *process) { done = w.cancel(ctx, c, cancelled) })
		}
	}
	if !done {
		w.check.fail("I8", "the cancel of %s was not acknowledged, though it was repeated with its key", cancelled)
	}
	w.onSecond(func(ctx context.Context, c *process) { w.retry(ctx, c, cancelled, &domain.Restore{}) })
	w.runner(paused).end(context.Background()) // the worker releases its runs

	w.wait(20 * time.Second) // the leader times out the workload that ignores its deadline

	// The workers drain, but no coordinator knows it yet. They decline the next assignment.
	for _, k := range w.workers {
		k.agent.Leave()
		k.nextBeat = w.Now().Add(beat)
	}
	w.submitScript("declined", scriptInput{Steps: 1}, 0)
	w.rounds(2)
	for _, k := range slices.Clone(w.workers) {
		w.replaceWorker(k, "restart")
	}
	w.rounds(2)

	// The workers do not take the next assignment. They send heartbeats for longer than a lease,
	// but no report that the run has started.
	w.submitScript("not taken", scriptInput{Steps: 1}, 0)
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

	// A workload that no worker can run is marked as unplaceable. Then it is cancelled.
	unplaceable := lifecycle.SubmitRequest{
		Type: "t", Input: scriptInput{Steps: 1}.json(), IdempotencyKey: "unplaceable",
	}
	unplaceable.Affinity.Hard.WorkerTags = map[string]string{"tag": noWorkersTag}
	stuck := w.submitUntilAcknowledged(w.tenant(), unplaceable)
	w.wait(20 * time.Second)
	w.onSecond(func(ctx context.Context, c *process) { w.cancel(ctx, c, stuck) })

	// A workload is preempted, and continues later.
	victim := w.submitScript("preempted", scriptInput{Steps: 12}, 0)
	w.rounds(4)
	w.onSecond(func(ctx context.Context, _ *process) { w.preempt(ctx, victim) })
	w.rounds(12)

	// A worker freezes for longer than its lease, and wakes up.
	lost := w.submitScript("lost", scriptInput{Steps: 8}, 0)
	w.rounds(3)
	w.runner(lost).frozenUntil = w.Now().Add(30 * time.Second)
	w.wait(25 * time.Second)

	// The newest checkpoint of a workload is damaged, and its worker crashes.
	damaged := w.submitScript("damaged", scriptInput{Steps: 8}, 0)
	w.rounds(4)
	k := w.runner(damaged)
	if found, err := w.stores.Workloads.GetAny(context.Background(), damaged); err == nil && len(found) == 1 {
		w.damaged = map[domain.WorkloadID]int64{damaged: found[0].CheckpointSequence}
	}
	w.replaceWorker(k, "crash")
	w.rounds(8)

	w.deletion()
}

// deletion deletes a customer that has work in every state, some of which a worker runs.
func (w *World) deletion() {
	w.welcome()
	g := w.guest()
	submit := func(key string, steps int, change func(*lifecycle.SubmitRequest)) domain.WorkloadID {
		req := lifecycle.SubmitRequest{Type: "t", Input: scriptInput{Steps: steps}.json(), IdempotencyKey: key}
		if change != nil {
			change(&req)
		}
		return w.submitUntilAcknowledged(g, req)
	}
	submit("finished", 1, nil)
	paused := submit("paused", 12, nil)
	w.rounds(4)
	w.onSecond(func(ctx context.Context, c *process) { _, _, _ = c.Lifecycle.Pause(ctx, g.id, paused, user, "") })
	running := submit("running", 12, nil)
	submit("delayed", 1, func(r *lifecycle.SubmitRequest) { r.RunAt = w.Now().Add(time.Hour) })
	submit("queued", 1, func(r *lifecycle.SubmitRequest) {
		r.Affinity.Hard.WorkerTags = map[string]string{"tag": noWorkersTag}
	})
	w.rounds(3)
	w.runner(running)
	done := false
	for range 5 {
		if !done {
			w.onSecond(func(ctx context.Context, c *process) { done = w.delete(ctx, c, g, true) })
		}
	}
	if !done {
		w.check.fail("I16", "the deletion of %s was not acknowledged, though it was repeated", g.id)
	}
	for n := 0; n < 60 && w.deleting(); n++ {
		w.round(time.Second)
		w.learn(context.Background())
	}
}

// Finish ends all faults, and runs rounds until every workload is final.
func (w *World) Finish() {
	w.healed = true
	ctx := context.Background()
	for _, k := range w.workers {
		k.frozenUntil = time.Time{}
	}
	for range 300 {
		w.cancelUnplaceable(ctx)
		w.wait(3 * time.Second)
		if w.learn(ctx); w.unfinished(ctx) == 0 && !w.deleting() {
			return
		}
	}
	if w.deleting() {
		w.check.fail("I16", "the deletion of %s has not finished long after the last fault", w.guest().id)
	}
	for _, id := range w.stored(ctx) {
		if s := w.current(ctx, id); !s.Status.Final() {
			w.check.fail("I3", "%s is %s (%s) long after the last fault", id, s.Status, s.Reason)
		}
	}
}
