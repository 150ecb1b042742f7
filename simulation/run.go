package simulation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Mode says how a run ends.
type Mode string

// The modes.
const (
	// Safety runs end among faults.
	Safety Mode = "safety"
	// Liveness runs end all faults, after which every workload must finish.
	Liveness Mode = "liveness"
)

// Run takes a number of steps with faults and ends as the mode says. It returns the violations.
func (w *World) Run(steps int, mode Mode) []string {
	ctx := context.Background()
	w.welcome()
	for n := 0; n < steps && len(w.check.broken) == 0; n++ {
		w.step(ctx)
		if n%100 == 99 && !w.backend.Opaque {
			w.check.contents()
		}
	}
	if mode == Liveness {
		w.Heal()
	}
	w.Close()
	return w.check.broken
}

// Close checks what is stored, and ends all processes.
func (w *World) Close() {
	w.check.contents()
	for _, k := range w.workers {
		k.crash() // ends its routines
	}
	for _, c := range w.coordinators {
		c.Close()
	}
}

// step moves the clock, injects faults, and makes one random process or client do one thing.
func (w *World) step(ctx context.Context) {
	w.clock.now = w.clock.now.Add(time.Duration(w.rng.IntN(200)) * time.Millisecond)
	w.disturb()
	w.certify(ctx)
	w.renew(ctx)
	switch n := w.rng.IntN(20); {
	case n < 3:
		w.tick(ctx, loop(n))
	case n == 3 && w.deleting() && w.rng.IntN(2) == 0:
		w.tick(ctx, erase)
	case n < 5:
		w.net.deliver()
	case n == 5 && !w.healed:
		w.client(ctx)
	default:
		if k := w.workers[w.rng.IntN(len(w.workers))]; !w.stalled || k != w.actingK {
			k.step(ctx)
			k.deregister(ctx)
			if k.dead || k.finished() {
				w.replaceWorker(k, "end")
			}
		}
	}
}

// renew lets each coordinator acquire or renew leadership once a second after all faults have ended. A
// leader that is not disturbed renews its lease in time.
func (w *World) renew(ctx context.Context) {
	if !w.healed || w.Now().Sub(w.renewed) < time.Second {
		return
	}
	w.renewed = w.Now()
	for _, c := range w.coordinators {
		w.actAs(c, nil, func() { c.tick(ctx, lead) })
	}
}

// tick runs one round of a loop, in some coordinator.
func (w *World) tick(ctx context.Context, l loop) {
	if c := w.reachable(); c != nil {
		w.actAs(c, nil, func() { c.tick(ctx, l) })
	}
}

// disturb injects the faults of processes and of the bus.
func (w *World) disturb() {
	if w.stalled {
		return
	}
	switch k := w.workers[w.rng.IntN(len(w.workers))]; {
	case w.faulty(w.P.Crash):
		if w.rng.IntN(3) == 0 {
			w.moveWorker(k)
		} else {
			w.replaceWorker(k, "crash")
		}
	case w.faulty(w.P.Freeze):
		w.note("freeze of %s", k.id)
		k.frozenUntil = w.Now().Add(time.Duration(w.rng.IntN(60)) * time.Second)
	case w.faulty(w.P.Cut):
		w.note("%s is cut off", k.id)
		k.cutUntil = w.Now().Add(time.Duration(w.rng.IntN(60)) * time.Second)
	case w.faulty(w.P.Leave):
		w.leave(k)
	case w.faulty(w.P.Disconnect):
		w.note("the bus is disconnected")
		w.net.disconnectedUntil = w.Now().Add(time.Duration(w.rng.IntN(60)) * time.Second)
	}
	switch c := w.coordinators[w.rng.IntN(len(w.coordinators))]; {
	case w.faulty(w.P.Crash):
		w.replace(c)
	case w.faulty(w.P.Freeze):
		w.note("freeze of a coordinator")
		c.frozenUntil = w.Now().Add(time.Duration(w.rng.IntN(30)) * time.Second)
	}
}

// leave drains a worker by a signal or by an administrator, or has an administrator remove it.
func (w *World) leave(k *worker) {
	ctx, n := context.Background(), w.rng.IntN(3)
	if n == 0 {
		w.note("%s is told to end", k.id)
		k.end(ctx)
		return
	}
	if c := w.reachable(); c != nil {
		w.actAs(c, nil, func() {
			if n == 1 {
				w.note("%s is drained", k.id)
				_, _ = c.Plane.DrainWorker(ctx, k.id, operator)
				k.drained = true
			} else {
				w.note("%s is removed", k.id)
				_ = c.Plane.RemoveWorker(ctx, k.id, operator)
			}
		})
	}
}

// Heal ends all faults, and takes steps until every workload is final.
func (w *World) Heal() {
	ctx := context.Background()
	w.healed = true
	w.note("healed")
	for _, k := range w.workers {
		k.frozenUntil, k.cutUntil = time.Time{}, time.Time{}
	}
	for _, c := range w.coordinators {
		c.frozenUntil = time.Time{}
	}
	w.net.disconnectedUntil = time.Time{}
	for _, a := range w.accounts {
		w.setLimit(ctx, a, defaultLimit)
	}
	if w.rng.IntN(2) == 0 {
		w.actAs(w.coordinators[0], nil, func() { w.delete(ctx, w.coordinators[0], w.guest(), true) })
	}
	w.cancelUnplaceable(ctx)
	begin := w.Now()
	for w.Now().Before(begin.Add(healBound)) && len(w.check.broken) == 0 {
		for range 50 {
			w.step(ctx)
		}
		if w.unfinished(ctx) == 0 && !w.deleting() {
			w.checkIdle(ctx)
			return
		}
		if w.deleting() && w.Now().After(begin.Add(deletionBound)) {
			w.check.fail("I16", "the deletion of %s has not finished %s after the last fault", w.guest().id, deletionBound)
		}
	}
	for _, id := range w.stored(ctx) {
		if s := w.current(ctx, id); !s.Status.Final() {
			w.check.fail("I3", "%s is %s (%s) %s after the last fault", id, s.Status, s.Reason, healBound)
		}
	}
}

// cancelUnplaceable cancels the workloads that no worker can ever run, but leaves those of a customer
// that is being deleted to the deletion. Their submissions need not have been acknowledged.
func (w *World) cancelUnplaceable(ctx context.Context) {
	for _, a := range w.accounts {
		if a.deleting {
			continue
		}
		for _, wl := range w.listed(ctx, a) {
			if wl.Affinity.Hard.WorkerTags["tag"] == noWorkersTag && !wl.Status.Final() {
				c := w.coordinators[0]
				w.actAs(c, nil, func() { w.cancel(ctx, c, wl.ID) })
			}
		}
	}
}

// stored lists the workloads: those whose submission was acknowledged, in that order, then the
// others. The checker knows all commits, unless the backend is opaque: then the store is asked.
func (w *World) stored(ctx context.Context) []domain.WorkloadID {
	ids := slices.Clone(w.acknowledged)
	known := make(map[domain.WorkloadID]bool, len(ids))
	for _, id := range ids {
		known[id] = true
	}
	committed := w.check.admitted
	if w.backend.Opaque {
		for _, a := range w.accounts {
			for _, wl := range w.listed(ctx, a) {
				committed = append(committed, wl.ID)
			}
		}
	}
	for _, id := range committed {
		if !known[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// listed lists the workloads of a customer in the store, oldest first.
func (w *World) listed(ctx context.Context, a *account) []domain.Workload {
	page, err := w.stores.Workloads.List(ctx, ports.WorkloadQuery{Customer: a.id, Limit: 100_000, Ascending: true})
	if err != nil {
		w.check.fail("I3", "the workloads cannot be listed: %v", err)
	}
	for i := range page.Items {
		w.own(page.Items[i].ID, a)
	}
	return page.Items
}

// current returns the state of a workload. A workload that is missing counts as failed here: the
// comparison of contents reports it.
func (w *World) current(ctx context.Context, id domain.WorkloadID) domain.State {
	if !w.backend.Opaque {
		return w.check.state[id]
	}
	found, err := w.stores.Workloads.GetAny(ctx, id)
	if err != nil || len(found) == 0 {
		return domain.State{Status: domain.StatusFailed}
	}
	return found[0].State
}

// unfinished counts the workloads that are not final, those with a lost answer to their submission
// included. It resumes the paused ones, and cancels one that a worker runs now and then: without
// faults, a cancelled run must stop soon. A workload of a session that is over is not cancelled,
// because it must be taken back and finish. It leaves those of a customer that is being deleted
// alone.
func (w *World) unfinished(ctx context.Context) (left int) {
	for _, id := range w.stored(ctx) {
		s := w.current(ctx, id)
		if s.Status.Final() {
			continue
		}
		left++
		c := w.coordinators[0]
		switch {
		case w.owners[id].deleting:
		case s.Status == domain.StatusPaused:
			w.actAs(c, nil, func() { _, _ = c.Lifecycle.Resume(ctx, w.owners[id].id, id, user, "") })
		case s.Status == domain.StatusRunning && w.rng.IntN(40) == 0 && w.lives(s.SessionID):
			w.actAs(c, nil, func() { w.cancel(ctx, c, id) })
		}
	}
	return left
}

// lives reports whether a worker has the session.
func (w *World) lives(id domain.SessionID) bool {
	return slices.ContainsFunc(w.workers, func(k *worker) bool {
		ref, _, live := k.agent.Session()
		return live && !k.dead && ref.SessionID == id
	})
}

// checkIdle checks that finished workloads leave nothing behind (I14): no run, no routine, no
// occupied slot.
func (w *World) checkIdle(ctx context.Context) {
	busy := func(k *worker) bool { return !k.agent.Idle() || len(k.routines) > 0 }
	occupied := func() bool { // a slot becomes free with the worker's next heartbeat
		o, err := w.stores.Queue.Occupancy(ctx)
		return err != nil || len(o) > 0
	}
	for n := 0; n < 500 || n < 20_000 && (slices.ContainsFunc(w.workers, busy) || n%50 != 0 || occupied()); n++ {
		w.step(ctx)
	}
	for _, k := range w.workers {
		if busy(k) {
			w.check.fail("I14", "%s: idle %v, %d routines are left", k.id, k.agent.Idle(), len(k.routines))
		}
	}
	if occupied, err := w.stores.Queue.Occupancy(ctx); err != nil || len(occupied) > 0 {
		w.check.fail("I14", "%v is occupied though everything has finished (%v)", occupied, err)
	}
	for _, id := range []domain.CustomerID{tenant, stranger, w.guest().id} {
		if u, err := w.stores.Statistics.Usage(ctx, id); err != nil || u.Unfinished != (domain.Unfinished{}) {
			w.check.fail("I6", "%s uses %+v though everything has finished (%v)", id, u.Unfinished, err)
		}
	}
}

// Figures are the sizes of a run, or of several. Deletions are the customers that are gone.
type Figures struct{ Faults, Workloads, Transitions, Deletions int }

// Figures returns the figures of this run.
func (w *World) Figures() Figures {
	f := Figures{Faults: w.Faults, Workloads: len(w.acknowledged)}
	for _, n := range w.check.audited {
		f.Transitions += n
	}
	for _, a := range w.accounts {
		if a.gone {
			f.Deletions++
		}
	}
	return f
}

// Add adds the figures of another run.
func (f *Figures) Add(o Figures) {
	f.Faults, f.Workloads = f.Faults+o.Faults, f.Workloads+o.Workloads
	f.Transitions, f.Deletions = f.Transitions+o.Transitions, f.Deletions+o.Deletions
}

func (f Figures) String() string {
	return fmt.Sprintf("%d faults, %d workloads, %d transitions, %d deleted customers", f.Faults, f.Workloads,
		f.Transitions, f.Deletions)
}
