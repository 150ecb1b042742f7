package conformance

import (
	"fmt"
	"slices"
	"time"
)

// Cases returns all cases, in the order of the protocol's page.
func Cases() []Case {
	return slices.Concat(sessionCases(), commandCases(), reportCases(), checkpointCases(), stopCases(), faultCases())
}

func sessionCases() []Case {
	return []Case{
		{Name: "registers", Level: Must, Rule: "It registers a session with the type that it offers and its slots.",
			play: func(s *script) {
				s.start()
				registered := s.registered()
				s.require("the registration has no worker_id", func() bool { return registered.WorkerID != "" })
				s.require("the registration does not offer the type count",
					func() bool { return slices.Contains(registered.Capabilities, "count") })
				s.require("the registration has no slots", func() bool { return registered.Slots > 0 })
				s.require("the worker takes an id over without being told to", func() bool { return !registered.TakeOver })
			}},
		{Name: "names its process", Level: Should, Rule: "It names its process, and takes its id from the environment.",
			play: func(s *script) {
				registered := s.begin()
				s.require("the registration has no process_id", func() bool { return registered.ProcessID != "" })
				s.require("the worker does not use NIYANTA_WORKER_ID",
					func() bool { return registered.WorkerID == "conformance-1" })
			}},
		{Name: "sends heartbeats in time", Level: Must, lease: 6 * time.Second, interval: 500 * time.Millisecond,
			Rule: "It sends a heartbeat each interval, and numbers them.", play: func(s *script) {
				registered := s.begin()
				s.never(5*time.Second, "the session has ended, for want of heartbeats",
					func() bool { return s.currentLocked() != registered || time.Now().After(registered.until) })
				s.locked(func() {
					n, first, last := len(registered.beats), registered.beats[0], registered.beats[len(registered.beats)-1]
					if n < 5 {
						panic(violation(fmt.Sprintf("%d heartbeats in 5 s; the interval is %s", n, s.interval)))
					}
					if last.Number-first.Number != int64(n-1) {
						panic(violation("the numbers of the heartbeats do not grow by one"))
					}
				})
			}},
		{Name: "tells what it holds", Level: Must,
			Rule: "Its heartbeats tell each run in its hands, and the free slots.",
			play: func(s *script) {
				registered := s.begin()
				w := s.running(long())
				s.await(soon, "free_slots does not count the run", func() bool {
					last := registered.beats[len(registered.beats)-1]
					return last.FreeSlots == registered.Slots-1
				})
				s.locked(func() { w.fenced = true })
				s.send(s.about("workload.drop", w))
				s.left(w, soon, "a run that was dropped stays in the inventory")
			}},
		{Name: "waits for its id", Level: Must, lease: 2 * time.Second, interval: 400 * time.Millisecond,
			Rule: "If another process has its id, it tries again each interval, and ends with an error after a lease.",
			play: func(s *script) {
				s.locked(func() { s.refusing = true })
				s.start()
				s.await(startup, "the worker does not try again", func() bool { return len(s.sent(onRegister)) >= 3 })
				s.await(soon+3*s.lease, "the worker does not end", s.gone)
				if s.worker.err == nil {
					panic(violation("the worker ends without an error"))
				}
			}},
		{Name: "comes back under its id", Level: Must,
			Rule: "A new process with the same id is a new session of a new process.",
			play: func(s *script) {
				first := s.begin()
				s.stop()
				s.locked(func() { s.refusing = true })
				s.start()
				s.await(startup, "the new process does not register", func() bool { return len(s.sent(onRegister)) >= 2 })
				s.locked(func() { s.refusing = false })
				s.await(soon, "the new process does not register when the id is free", func() bool {
					current := s.currentLocked()
					return current != nil && current.SessionID != first.SessionID
				})
				s.require("the new process has the process_id of the old one", func() bool {
					return first.ProcessID == "" || s.currentLocked().ProcessID != first.ProcessID
				})
			}},
		{Name: "certifies its death", Level: May,
			Rule: "Whoever sees its process die says so, with the secret of the registration.",
			play: func(s *script) {
				registered := s.begin()
				s.require("the registration has no certificate_digest",
					func() bool { return len(registered.CertificateDigest) == 64 })
			}},
	}
}

func commandCases() []Case {
	return []Case{
		{Name: "runs an assignment", Level: Must, Rule: "It starts what is assigned, runs it, and reports the result.",
			play: func(s *script) {
				s.begin()
				w := s.assign(countInput{To: 12, StepMS: 20})
				s.completed(w)
				s.left(w, soon, "a run that has completed stays in the inventory")
				s.require("the start was not reported first", func() bool { return w.events[0] == "start" })
			}},
		{Name: "runs as many as it has slots", Level: Must,
			Rule: "It runs as many workloads at once as it has slots, and declines what comes on top.",
			play: func(s *script) {
				registered := s.begin()
				var held []*workload
				for range registered.Slots {
					held = append(held, s.running(long()))
				}
				w := s.assign(long())
				s.await(soon, "an assignment without a free slot is not declined", func() bool { return w.last == "decline" })
				s.require("a declined assignment stopped another run",
					func() bool { return held[0].stage == running })
				s.cancel(held[0])
				s.left(held[0], soon, "a run that was cancelled stays in the inventory")
				s.running(long())
			}},
		{Name: "declines an unknown type", Level: Must, Rule: "It declines a type that it does not offer.",
			play: func(s *script) {
				s.begin()
				w := s.assign(long(), func(w *workload) { w.kind = "knitting" })
				s.await(soon, "the assignment is not declined", func() bool { return w.last == "decline" })
			}},
		{Name: "takes an assignment once", Level: Must,
			Rule: "The same assignment again changes nothing, by poll or by heartbeat, while it runs or after.",
			play: func(s *script) {
				s.begin()
				w := s.assign(countInput{To: 30, StepMS: 50})
				s.send(s.assignment(w))
				s.sendOnBeat(s.assignment(w))
				s.await(soon, "an assignment is not started", func() bool { return w.stage == running })
				s.send(s.assignment(w))
				s.completed(w)
				s.left(w, soon, "a run that has completed stays in the inventory")
				s.send(s.assignment(w))
				s.sendOnBeat(s.assignment(w))
				s.never(2*time.Second, "a run that has ended began again", func() bool {
					return len(s.told(w, "start")) > 1 || s.stateLocked(w) == "running" || len(s.told(w, "decline")) > 0
				})
			}},
		{Name: "ignores what is not meant for it", Level: Must,
			Rule: "A command for another session, generation or workload changes nothing.", play: func(s *script) {
				s.begin()
				w := s.running(long())
				other, older, unknown := s.about("workload.cancel", w), s.about("workload.drop", w), s.about("workload.cancel", w)
				other.SessionID, older.Generation, unknown.WorkloadID = "sess_of_another", 7, "wl_unknown"
				s.send(other, older, unknown)
				s.never(2*time.Second, "the command stopped a run", func() bool { return s.stateLocked(w) != "running" })
			}},
		{Name: "ignores what it does not know", Level: Must,
			Rule: "Unknown commands, and unknown fields of answers and commands, change nothing.", play: func(s *script) {
				s.begin()
				w := s.running(countInput{To: 40, StepMS: 50})
				s.send(s.about("workload.dance", w), command{Kind: "worker.dance"})
				s.completed(w)
			}},
		{Name: "obeys commands of heartbeats", Level: Must,
			Rule: "A command in the answer to a heartbeat counts like one of a poll.",
			play: func(s *script) {
				s.begin()
				w := s.running(long())
				s.locked(func() { w.fenced = true })
				s.sendOnBeat(s.about("workload.cancel", w))
				s.left(w, soon, "the run is not stopped")
			}},
		{Name: "yields to a higher generation", Level: Must,
			Rule: "An assignment at a higher generation stops the older run, and runs.", play: func(s *script) {
				s.begin()
				w := s.running(countInput{To: 60, StepMS: 50})
				s.locked(func() {
					w.generation, w.stage, w.last, w.events = 2, scheduled, "", nil
					s.queueLocked(s.assignment(w))
				})
				s.completed(w)
			}},
	}
}

func reportCases() []Case {
	return []Case{
		{Name: "repeats a start without an answer", Level: Must,
			Rule: "A start whose answer got lost is sent again, and nothing follows before.",
			play: func(s *script) { s.repeats("start") }},
		{Name: "repeats a result without an answer", Level: Must,
			Rule: "A result whose answer got lost is sent again with the same content.",
			play: func(s *script) { s.repeats("complete") }},
		{Name: "keeps its report ids", Level: Should,
			Rule: "A report that is sent again keeps its report_id.", play: func(s *script) {
				s.begin()
				s.locked(func() { s.fault = doing(lost, 2, tells("complete")) })
				w := s.assign(countInput{To: 5, StepMS: 20})
				s.await(soon, "a result is not sent again", func() bool { return len(s.told(w, "complete")) >= 3 })
				told := s.told(w, "complete")
				s.require("the report_id changes", func() bool {
					first, last := told[0].body.(*report), told[2].body.(*report) //nolint:forcetypeassert // told returns reports
					return first.ReportID == last.ReportID
				})
			}},
		{Name: "holds a run until its end is answered", Level: Must,
			Rule: "A run whose last report is not answered is in the inventory as reporting.",
			play: func(s *script) {
				s.begin()
				s.locked(func() { s.fault = doing(lost, 1_000_000, tells("complete")) })
				w := s.assign(countInput{To: 5, StepMS: 20})
				s.await(soon, "the run is not in the inventory as reporting",
					func() bool { return s.stateLocked(w) == "reporting" })
				s.locked(func() { s.fault = nil })
				s.left(w, soon, "the run stays in the inventory after the answer")
			}},
		{Name: "tries again when the coordinator can't", Level: Must, Rule: "After 503 it sends the same report again.",
			play: func(s *script) {
				s.begin()
				s.locked(func() { s.fault = doing(unavailable, 3, is(onReport)) })
				s.completed(s.assign(countInput{To: 5, StepMS: 20}))
			}},
		{Name: "stops a fenced run", Level: Must,
			Rule: "A report that is answered with fenced stops the run, and nothing of it follows.",
			play: func(s *script) {
				s.begin()
				w := s.running(long())
				s.locked(func() { w.fenced = true })
				s.send(s.about("workload.checkpoint", w)) // which is fenced
				s.left(w, soon, "the run goes on")
				var since time.Time
				s.locked(func() { since = time.Now() })
				s.never(time.Second, "a report of the run followed", func() bool { return len(s.after(since, w)) > 0 })
			}},
		{Name: "reports a failure", Level: Must, Rule: "A run that fails is reported with a type and a message, once.",
			play: func(s *script) {
				s.begin()
				w := s.assign(countInput{To: 20, StepMS: 20, FailAt: 3})
				s.await(soon, "the failure is not reported", func() bool { return w.last == "fail" })
				s.require("the failure has no type or no message", func() bool {
					f := w.ended.Failure
					return f != nil && f.Type != "" && f.Message != ""
				})
			}},
		{Name: "keeps the timeout", Level: Must,
			Rule: "A run that takes longer than timeout_ms is ended, and fails with the type timeout.",
			play: func(s *script) {
				s.begin()
				w := s.assign(long(), func(w *workload) { w.timeoutMS = 1500 })
				s.await(soon, "the run is not ended", func() bool { return w.stage == over })
				s.require("the run does not fail with the type timeout", func() bool {
					return w.last == "fail" && w.ended.Failure != nil && w.ended.Failure.Type == "timeout"
				})
			}},
		{Name: "reports progress", Level: Should, Rule: "It tells progress while it runs.", play: func(s *script) {
			s.begin()
			w := s.running(countInput{To: 100, StepMS: 50})
			s.await(soon, "no progress is told", func() bool {
				return w.progressed
			})
		}},
	}
}

// repeats loses the answers to a report, and wants it again and the workload completed.
func (s *script) repeats(event string) {
	s.begin()
	s.locked(func() { s.fault = doing(lost, 2, tells(event)) })
	w := s.assign(countInput{To: 12, StepMS: 20})
	s.await(soon, fmt.Sprintf("a %s without an answer is not sent again", event),
		func() bool { return len(s.told(w, event)) >= 3 })
	told := s.told(w, event)
	s.require("the repeated report has another content", func() bool {
		first, last := told[0].body.(*report), told[2].body.(*report) //nolint:forcetypeassert // told returns reports
		return string(first.Result) == string(last.Result)
	})
	s.completed(w)
	s.left(w, soon, "the run stays in the inventory")
}

// cancel cancels a workload as a coordinator does: it is fenced from then on.
func (s *script) cancel(w *workload) {
	s.locked(func() { w.fenced = true })
	s.send(s.about("workload.cancel", w))
}
