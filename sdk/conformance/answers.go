package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// reply writes an answer.
type reply func(w http.ResponseWriter)

func ok(body any) reply { return func(w http.ResponseWriter) { send(w, http.StatusOK, body) } }

func noContent(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }

func fencedSession(w http.ResponseWriter) {
	refuse(w, http.StatusConflict, "FENCED", "the session has ended", nil)
}

// answer does what a request asks for.
func (c *coordinator) answer(r *http.Request, kind string, body any, data []byte, at time.Time) reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changeLocked()
	e := exchange{at: at, kind: kind, session: sessionOf(body), body: body}
	if kind == onSave || kind == onLoad {
		return c.checkpointLocked(r, kind, data, e)
	}
	if kind != onReport {
		c.log = append(c.log, e)
	}
	switch b := body.(type) {
	case *registration:
		return c.registerLocked(b)
	case *heartbeat:
		return c.heartbeatLocked(b, at)
	case *pollRequest:
		return c.pollLocked(r, b)
	case *reportRequest:
		return c.reportLocked(b, e)
	case *sessionEnd:
		if b.ProcessID == "" {
			for _, s := range c.sessions {
				s.ended = s.ended || s.SessionID == b.SessionID
			}
		}
	}
	return noContent
}

func (c *coordinator) registerLocked(b *registration) reply {
	if c.refusing {
		return func(w http.ResponseWriter) {
			refuse(w, http.StatusConflict, "CONFLICT", "another process is registered as worker "+b.WorkerID,
				map[string]any{"lease_left_ms": c.lease.Milliseconds(), "lease_ms": c.lease.Milliseconds(),
					"heartbeat_interval_ms": c.interval.Milliseconds()})
		}
	}
	for _, s := range c.sessions {
		if s.SessionID == b.SessionID && (s.ended || s.fenced) {
			c.mistakeLocked("a session that had ended was registered again")
		}
		s.fenced = s.fenced || s.SessionID != b.SessionID
	}
	if s := c.currentLocked(); s == nil || s.SessionID != b.SessionID {
		c.sessions = append(c.sessions, &session{registration: *b})
	}
	c.currentLocked().until = time.Now().Add(c.lease)
	return ok(map[string]any{"lease_ms": c.lease.Milliseconds(), "heartbeat_interval_ms": c.interval.Milliseconds(),
		"a_field_of_a_later_version": true})
}

func (c *coordinator) heartbeatLocked(b *heartbeat, at time.Time) reply {
	s := c.liveLocked(b.SessionID)
	if s == nil {
		return fencedSession
	}
	s.until = at.Add(c.lease)
	if n := len(s.beats); n > 0 && b.Number < s.beats[n-1].Number {
		c.mistakeLocked("heartbeat %d came after heartbeat %d", b.Number, s.beats[n-1].Number)
	}
	s.beats = append(s.beats, *b)
	if len(b.Inventory) > s.Slots {
		n := 0
		for _, i := range b.Inventory {
			if i.State != "reporting" {
				n++
			}
		}
		if n > s.Slots {
			c.mistakeLocked("the worker holds %d runs and has %d slots", n, s.Slots)
		}
	}
	commands := s.onBeat
	s.onBeat = nil
	return ok(map[string]any{"lease_ms": c.lease.Milliseconds(), "commands": atLeastEmpty(commands),
		"a_field_of_a_later_version": map[string]any{"x": 1}})
}

// pollLocked waits for commands. It gives the mutex away while it waits.
func (c *coordinator) pollLocked(r *http.Request, b *pollRequest) reply {
	until := time.Now().Add(time.Duration(min(b.WaitMS, 30_000)) * time.Millisecond)
	for {
		s := c.liveLocked(b.SessionID)
		if s == nil {
			return fencedSession
		}
		if len(s.queue) > 0 || !time.Now().Before(until) {
			commands := s.queue
			s.queue = nil
			return ok(map[string]any{"commands": atLeastEmpty(commands)})
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(min(time.Until(until), 100*time.Millisecond)):
		case <-r.Context().Done():
		}
		c.mu.Lock()
		if r.Context().Err() != nil {
			return noContent
		}
	}
}

func atLeastEmpty(cs []command) []command {
	if cs == nil {
		return []command{}
	}
	return cs
}

func (c *coordinator) reportLocked(b *reportRequest, e exchange) reply {
	s := c.liveLocked(b.SessionID)
	answers := make([]answer, len(b.Reports))
	for i := range b.Reports {
		r := &b.Reports[i]
		e.body, e.run = r, run(r.WorkloadID, r.Generation)
		e.outcome = fenced
		if s != nil {
			e.outcome = c.reportOneLocked(s, r, &answers[i])
			if w := c.workloads[r.WorkloadID]; w != nil && w.stage == over && e.outcome == applied {
				w.endedAt = e.at
			}
		}
		c.log = append(c.log, e)
	}
	if s == nil {
		return fencedSession
	}
	return ok(map[string]any{"answers": answers})
}

func (c *coordinator) reportOneLocked(s *session, r *report, a *answer) string {
	if r.ReportID == "" {
		c.mistakeLocked("a report %q has no report_id", r.Event)
	}
	*a = answer{ReportID: r.ReportID, Outcome: notFound}
	w := c.workloads[r.WorkloadID]
	if w == nil {
		return notFound
	}
	var mistake string
	a.Outcome, mistake = w.report(r)
	a.Status = w.status()
	if mistake != "" {
		c.mistakeLocked("%s", mistake)
	}
	n := 0
	for _, other := range c.workloads {
		if other.stage == running && !other.fenced {
			n++
		}
	}
	if r.Event == "start" && a.Outcome == applied && n > s.Slots {
		c.mistakeLocked("the worker started %d runs and has %d slots", n, s.Slots)
	}
	return a.Outcome
}

func (c *coordinator) checkpointLocked(r *http.Request, kind string, data []byte, e exchange) reply {
	id, session, generation, sequence := checkpointPath(r)
	e.session, e.run, e.body = session, run(id, generation), sequence
	defer func() { c.log = append(c.log, e) }()
	w := c.workloads[id]
	if c.liveLocked(session) == nil || w == nil {
		e.outcome = fenced
		return fencedSession
	}
	if kind == onSave {
		var mistake string
		w.progressed = w.progressed || r.URL.Query().Has("progress_percent")
		if e.outcome, mistake = w.save(generation, sequence, slices.Clone(data), e.at); mistake != "" {
			c.mistakeLocked("%s", mistake)
		}
		return ok(answer{Outcome: e.outcome, Status: w.status()})
	}
	w.loads++
	if w.fenced || generation != w.generation {
		e.outcome = fenced
		return fencedSession
	}
	found := w.restored
	if found == 0 || found > sequence {
		return func(rw http.ResponseWriter) {
			refuse(rw, http.StatusNotFound, "NOT_FOUND", "no checkpoint is left", nil)
		}
	}
	bytes := w.saved[found]
	return func(rw http.ResponseWriter) {
		rw.Header().Set("Content-Type", "application/octet-stream")
		rw.Header().Set("Niyanta-Checkpoint-Sequence", strconv.FormatInt(found, 10))
		_, _ = rw.Write(bytes) // the worker may have gone
	}
}

// run names a workload at a generation.
func run(id string, generation int64) string { return fmt.Sprintf("%s@%d", id, generation) }
