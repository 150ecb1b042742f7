package conformance

import (
	"fmt"
	"slices"
	"time"
)

func checkpointCases() []Case {
	return []Case{
		{Name: "saves checkpoints in sequence", Level: Must,
			Rule: "Checkpoints count on by one, from the first report that was answered.",
			play: func(s *script) {
				s.begin()
				w := s.assign(countInput{To: 35, StepMS: 20})
				s.completed(w)
				s.require("it saved fewer than three checkpoints of 35 numbers", func() bool { return w.sequence >= 3 })
				if at, err := w.at(1); err != nil || at != 10 {
					panic(violation(fmt.Sprintf("the first checkpoint is at %d and must be at 10: %v", at, err)))
				}
			}},
		{Name: "repeats a save without an answer", Level: Must,
			Rule: "A save whose answer got lost is repeated with the same sequence and bytes.",
			play: func(s *script) {
				s.begin()
				s.locked(func() { s.fault = doing(lost, 2, is(onSave)) })
				w := s.assign(countInput{To: 25, StepMS: 20})
				s.await(soon, "the save is not repeated", func() bool { return len(s.sent(onSave)) >= 3 })
				s.completed(w)
			}},
		{Name: "settles a save before a pause", Level: Must,
			Rule: "A pause saves no other bytes under the sequence of a save without an answer: that is repeated first.",
			play: func(s *script) {
				s.begin()
				w := s.running(countInput{To: 1_000_000, StepMS: 100})
				s.locked(func() { s.fault = doing(lost, 3, is(onSave)) })
				s.send(s.about("workload.checkpoint", w))
				s.await(soon, "no checkpoint is saved", func() bool { return len(s.sent(onSave)) > 0 })
				s.send(s.about("workload.pause", w))
				s.await(3*soon, "the run is not paused", func() bool { return w.last == "paused" })
			}},
		{Name: "saves when asked", Level: Must,
			Rule: "workload.checkpoint makes a run save, and go on.", play: func(s *script) {
				s.begin()
				w := s.running(countInput{To: 1_000_000, StepMS: 1000})
				s.send(s.about("workload.checkpoint", w))
				s.await(soon-2*time.Second, "no checkpoint is saved", func() bool { return w.sequence == 1 })
				s.never(time.Second, "the run has ended", func() bool { return w.stage == over })
			}},
		{Name: "continues from a checkpoint", Level: Must,
			Rule: "It loads the checkpoint that its assignment names, and counts its own on from it.",
			play: func(s *script) {
				s.begin()
				w := s.assign(countInput{To: 115, StepMS: 50}, restoredAt(4, 105))
				s.completed(w)
				s.require("the checkpoint was not loaded", func() bool { return w.loads > 0 })
				s.continued(w, 105)
			}},
		{Name: "continues from an older checkpoint", Level: Must,
			Rule: "If an older checkpoint is answered, its own still count on from the one that was asked for.",
			play: func(s *script) {
				s.begin()
				w := s.assign(countInput{To: 115, StepMS: 50}, restoredAt(2, 101))
				s.completed(w)
				s.continued(w, 101)
			}},
		{Name: "begins anew without a checkpoint", Level: Must,
			Rule: "If no checkpoint is left, it begins from the start.", play: func(s *script) {
				s.begin()
				w := s.assign(countInput{To: 15, StepMS: 20}, func(w *workload) { w.sequence = 4 })
				s.completed(w)
				s.require("the checkpoint was not asked for", func() bool { return w.loads > 0 })
			}},
		{Name: "takes only a coordinator's answers", Level: Must,
			Rule: "A 404 without an error of the API is no answer: no checkpoint is given up, and no run fails.",
			play: func(s *script) {
				s.begin()
				load, save, tell := doing(foreign, 2, is(onLoad)), doing(foreign, 2, is(onSave)), doing(foreign, 1, is(onReport))
				s.locked(func() {
					s.fault = func(kind string, body any) fault { return max(load(kind, body), save(kind, body), tell(kind, body)) }
				})
				w := s.assign(countInput{To: 115, StepMS: 50}, restoredAt(4, 105))
				s.completed(w)
				s.continued(w, 105)
			}},
		{Name: "follows no redirect", Level: Must,
			Rule: "A redirect is no answer, and the key is not sent where it leads.",
			play: func(s *script) {
				s.begin()
				load, tell := doing(moved, 1, is(onLoad)), doing(moved, 1, is(onReport))
				s.locked(func() { s.fault = func(kind string, body any) fault { return max(load(kind, body), tell(kind, body)) } })
				w := s.assign(countInput{To: 115, StepMS: 50}, restoredAt(4, 105))
				s.completed(w)
				s.continued(w, 105)
			}},
		{Name: "saves large checkpoints over a slow network", Level: Must,
			lease: 5 * time.Second, interval: 500 * time.Millisecond,
			Rule: "A save of some MiB that takes longer than the lease delays no heartbeat, and counts.", play: func(s *script) {
				registered := s.begin()
				s.locked(func() { s.slowly = true })
				w := s.assign(countInput{To: 10, StepMS: 20, Bytes: 6 << 20})
				s.await(4*soon, "the workload does not complete", func() bool { return w.last == "complete" })
				s.require("the session ended meanwhile", func() bool { return s.currentLocked() == registered })
				s.require("the checkpoint is not as large as its state", func() bool { return len(w.saved[1]) > 6<<20 })
			}},
	}
}

// restoredAt gives a workload four checkpoints. The one that is answered is found, with the number at.
func restoredAt(found int64, at int) func(*workload) {
	return func(w *workload) {
		w.sequence, w.restored = 4, found
		w.saved[found] = fmt.Appendf(nil, `{"at": %d}`, at)
	}
}

// continued requires that the next checkpoint of such a workload was saved, with a number above one.
func (s *script) continued(w *workload, above int) {
	const next = 5
	s.require("checkpoint 5 was not saved", func() bool { return w.saved[next] != nil })
	if at, err := w.at(next); err != nil || at <= above {
		panic(violation(fmt.Sprintf("checkpoint 5 is at %d, so the run did not continue from %d: %v", at, above, err)))
	}
}

func stopCases() []Case {
	return []Case{
		{Name: "stops a cancelled run", Level: Must,
			Rule: "A cancelled run is gone within 5 s, and nothing of it follows.",
			play: func(s *script) {
				s.begin()
				w := s.running(long())
				s.cancel(w)
				s.left(w, 5*time.Second+2*s.interval, "the run is not gone within 5 s")
				since := time.Now()
				s.send(s.about("workload.cancel", w), s.about("workload.drop", w))
				s.never(time.Second, "something of the run followed", func() bool { return len(s.after(since, w)) > 0 })
				s.running(long())
			}},
		{Name: "gives back a cancelled run", Level: Should,
			Rule: "It reports release for a cancelled run, which frees its slot at once.",
			play: func(s *script) {
				s.begin()
				w := s.running(long())
				s.cancel(w)
				s.await(soon, "no release is reported", func() bool { return len(s.told(w, "release")) > 0 })
			}},
		{Name: "pauses", Level: Must,
			Rule: "workload.pause saves a checkpoint, then reports paused.", play: func(s *script) {
				s.begin()
				w := s.running(countInput{To: 1_000_000, StepMS: 100})
				s.send(s.about("workload.pause", w))
				s.await(soon, "the run is not paused", func() bool { return w.last == "paused" })
				s.savedBefore(w, "paused")
				s.left(w, soon, "a paused run stays in the inventory")
			}},
		{Name: "pauses without a checkpoint", Level: Must,
			Rule: "If the checkpoint of a pause can't be saved for long, the run stops all the same, or it is saved later.",
			play: func(s *script) {
				s.begin()
				w := s.running(countInput{To: 1_000_000, StepMS: 100})
				s.locked(func() { s.fault = doing(unavailable, 3, is(onSave)) })
				s.send(s.about("workload.pause", w))
				s.await(2*soon, "the run is not paused", func() bool { return w.last == "paused" })
			}},
		{Name: "makes room when preempted", Level: Must,
			Rule: "workload.preempt saves a checkpoint, then reports release with retry_after_ms.",
			play: func(s *script) {
				s.begin()
				w := s.running(countInput{To: 1_000_000, StepMS: 100})
				s.send(s.about("workload.preempt", w))
				s.await(soon, "the run is not released", func() bool { return w.last == "release" })
				s.savedBefore(w, "release")
				s.require("the release has no retry_after_ms", func() bool { return w.ended.RetryAfterMS > 0 })
			}},
		{Name: "drains", Level: Must,
			Rule: "worker.drain saves and releases each run and declines new ones, beating on; worker.undrain ends it.",
			play: func(s *script) {
				registered := s.begin()
				w := s.running(countInput{To: 1_000_000, StepMS: 100})
				s.send(command{Kind: "worker.drain"})
				s.await(soon, "the run is not released", func() bool { return w.last == "release" })
				s.savedBefore(w, "release")
				drained := func() bool { return registered.beats[len(registered.beats)-1].Drained }
				s.await(soon, "the heartbeats do not say drained", drained)
				refused := s.assign(long())
				s.await(soon, "a new assignment is not declined", func() bool { return refused.last == "decline" })
				s.send(command{Kind: "worker.undrain"})
				s.await(soon, "the heartbeats still say drained", func() bool { return !drained() })
				s.running(long())
			}},
		{Name: "leaves on SIGTERM", Level: Must,
			Rule: "It says that it drains, saves and releases each run, ends its session, and exits with 0.",
			play: func(s *script) {
				registered := s.begin()
				w := s.running(countInput{To: 1_000_000, StepMS: 100})
				s.signal(s.worker.terminate())
				s.await(soon, "the run is not released", func() bool { return w.last == "release" })
				s.savedBefore(w, "release")
				s.require("the release came before a heartbeat said that it drains", func() bool {
					return slices.ContainsFunc(registered.beats, func(b heartbeat) bool { return b.Draining })
				})
				s.exits(registered)
			}},
		{Name: "leaves at once when idle", Level: Must,
			Rule: "Without runs, SIGTERM ends the session, and the process exits with 0.", play: func(s *script) {
				registered := s.begin()
				s.signal(s.worker.terminate())
				s.exits(registered)
			}},
	}
}

func (s *script) signal(err error) {
	if err != nil {
		panic(violation("the signal can't be sent: " + err.Error()))
	}
}

// exits waits for the end of the session and of the process.
func (s *script) exits(registered *session) {
	s.await(soon, "the session is not ended", func() bool { return registered.ended })
	s.await(soon, "the process does not exit", s.gone)
	if s.worker.err != nil {
		panic(violation("the process exits with an error: " + s.worker.err.Error()))
	}
}

// savedBefore requires that a checkpoint was saved just before the run ended.
func (s *script) savedBefore(w *workload, event string) {
	s.require(fmt.Sprintf("no checkpoint was saved before %q", event), func() bool {
		return slices.Contains(w.events[:len(w.events)-1], onSave)
	})
}
