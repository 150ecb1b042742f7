package conformance

import "time"

func faultCases() []Case {
	return []Case{
		{Name: "fences itself", Level: Must, lease: 3 * time.Second, interval: 500 * time.Millisecond,
			Rule: "When no heartbeat is answered until the lease is nearly over, it stops its runs and registers anew.",
			play: func(s *script) {
				registered := s.begin()
				w := s.running(long())
				s.locked(func() { s.fault = func(string, any) fault { return hang } })
				var until time.Time
				s.locked(func() { until = registered.until })
				time.Sleep(time.Until(until))
				s.never(2*time.Second, "a report or a checkpoint of the old session came after its lease",
					func() bool { return len(s.after(until, w)) > 0 })
				s.locked(func() { s.fault, registered.fenced, w.fenced = nil, true, true })
				s.anew(registered)
				s.left(w, soon, "a run of the old session is still in the inventory")
				s.running(long())
			}},
		{Name: "names its former session", Level: Should, lease: 3 * time.Second, interval: 500 * time.Millisecond,
			Rule: "A session that follows another one of the same process names it, so that it replaces it at once.",
			play: func(s *script) {
				registered := s.begin()
				s.locked(func() { registered.fenced = true })
				again := s.anew(registered)
				s.require("the registration does not name the former session",
					func() bool { return again.PreviousSessionID == registered.SessionID })
			}},
		{Name: "stops what a fenced session holds", Level: Must,
			Rule: "When a heartbeat is answered with FENCED, it stops its runs and registers anew.", play: func(s *script) {
				registered := s.begin()
				w := s.running(long())
				s.locked(func() { registered.fenced, w.fenced = true, true })
				s.anew(registered)
				s.left(w, soon, "a run of the old session is still in the inventory")
				since := time.Now()
				s.never(time.Second, "something of the run followed", func() bool { return len(s.after(since, w)) > 0 })
				s.running(long())
			}},
		{Name: "wakes from a freeze", Level: Must, lease: 3 * time.Second, interval: 500 * time.Millisecond,
			Rule: "A process that was frozen for longer than its lease sends nothing of its runs, and registers anew.",
			play: func(s *script) {
				registered := s.begin()
				w := s.running(long())
				s.signal(s.worker.freeze())
				time.Sleep(200 * time.Millisecond) // what was on its way has arrived
				frozen := time.Now()
				time.Sleep(s.lease + time.Second)
				s.signal(s.worker.thaw())
				s.anew(registered)
				s.never(2*time.Second, "a report or a checkpoint of the old session came",
					func() bool { return len(s.after(frozen, w)) > 0 })
				s.running(long())
			}},
		{Name: "outlasts a silent heartbeat", Level: Must, lease: 6 * time.Second, interval: time.Second,
			Rule: "A heartbeat without an answer is tried again, over a new connection, before the lease is over.",
			play: func(s *script) {
				registered := s.begin()
				w := s.running(long())
				s.locked(func() { s.fault = doing(hang, 1, is(onHeartbeat)) })
				s.never(8*time.Second, "the session ended because of one silent connection",
					func() bool { return s.currentLocked() != registered || s.stateLocked(w) == "" })
			}},
		{Name: "outlasts lost heartbeats", Level: Must,
			Rule: "Heartbeats whose connections are cut are sent again.", play: func(s *script) {
				registered := s.begin()
				w := s.running(long())
				s.locked(func() { s.fault = doing(cut, 4, is(onHeartbeat)) })
				s.never(4*time.Second, "the session ended", func() bool { return s.currentLocked() != registered })
				s.require("the run is not held any more", func() bool { return s.stateLocked(w) == "running" })
			}},
		{Name: "polls again", Level: Must,
			Rule: "A poll whose connection is cut, or that is never answered, is followed by another one.",
			play: func(s *script) {
				s.begin()
				s.locked(func() { s.fault = doing(cut, 3, is(onPoll)) })
				s.completed(s.assign(countInput{To: 5, StepMS: 20}))
				s.locked(func() { s.fault = doing(hang, 1, is(onPoll)) })
				w := s.assign(countInput{To: 5, StepMS: 20})
				s.await(4*soon, "a poll without an answer is never given up", func() bool { return w.last == "complete" })
			}},
		{Name: "registers when a coordinator is there again", Level: Must,
			Rule: "A registration without an answer is tried again.",
			play: func(s *script) {
				s.locked(func() { s.fault = doing(cut, 3, is(onRegister)) })
				s.start()
				s.await(startup, "the worker does not register", func() bool { return s.currentLocked() != nil })
				s.completed(s.assign(countInput{To: 5, StepMS: 20}))
			}},
		{Name: "repeats a registration without an answer", Level: Must,
			Rule: "A registration without an answer is sent again with the same session_id, since it may be executed late.",
			play: func(s *script) {
				s.locked(func() { s.fault = doing(lost, 2, is(onRegister)) })
				s.start()
				s.registered()
				s.require("a registration that was repeated names another session",
					func() bool { return len(s.tried()) == 1 })
				s.completed(s.assign(countInput{To: 5, StepMS: 20}))
			}},
		{Name: "begins another session when its registration is fenced", Level: Must,
			Rule: "A registration that is answered with FENCED is followed by one with another session_id, each time.",
			play: func(s *script) {
				s.locked(func() { s.fault = doing(overtaken, 2, is(onRegister)) })
				s.start()
				s.registered()
				s.require("a session that has ended is registered again", func() bool { return len(s.tried()) == 3 })
				s.completed(s.assign(countInput{To: 5, StepMS: 20}))
			}},
		{Name: "is patient", Level: Should, Rule: "While nobody answers, it sends at most 20 requests a second.",
			play: func(s *script) {
				s.begin()
				n := 0
				s.locked(func() {
					s.fault = func(string, any) fault { n++; return unavailable }
				})
				time.Sleep(3 * time.Second)
				s.require("it sends more", func() bool { return n <= 60 })
			}},
	}
}
