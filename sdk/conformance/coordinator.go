package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The times of the scripted coordinators, unless a case needs others.
const (
	usualLease    = 5 * time.Second
	usualInterval = 600 * time.Millisecond
)

// fault is what happens to a request instead of an answer.
type fault int

const (
	none        fault = iota
	cut               // the connection is closed, and nothing was done
	lost              // the request is done, and the connection is closed instead of an answer
	hang              // there is no answer, and nothing was done, until the worker gives up
	unavailable       // 503 with Retry-After
	overtaken         // 409 FENCED: the session has ended
	foreign           // 404 with a page of something that stands before the coordinator
	moved             // a redirect
)

// exchange is a request of the worker.
type exchange struct {
	at      time.Time
	kind    string
	session string
	body    any    // of the type that belongs to the kind; *report for each report of a request
	run     string // the workload and generation of a report, a save or a load
	outcome string
}

// session is a session of the worker.
type session struct {
	registration

	until  time.Time // its lease
	beats  []heartbeat
	ended  bool      // by the worker itself
	fenced bool      // by the coordinator
	queue  []command // for the next poll
	onBeat []command // for the next heartbeat
}

// coordinator answers a worker as a coordinator would, with faults when the script wants them.
type coordinator struct {
	key             string
	lease, interval time.Duration

	mu        sync.Mutex
	log       []exchange
	sessions  []*session
	workloads map[string]*workload
	mistakes  []string
	fault     func(kind string, body any) fault // nil: no faults
	refusing  bool                              // registrations are answered with CONFLICT
	slowly    bool                              // bodies of saves are read at 1 MiB a second
	changed   chan struct{}                     // closed and made again with each change
}

func newCoordinator(key string) *coordinator {
	return &coordinator{key: key, lease: usualLease, interval: usualInterval, workloads: map[string]*workload{},
		changed: make(chan struct{})}
}

func (c *coordinator) changeLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *coordinator) mistakeLocked(format string, args ...any) {
	if m := fmt.Sprintf(format, args...); !slices.Contains(c.mistakes, m) {
		c.mistakes = append(c.mistakes, m)
	}
}

// currentLocked returns the session that the worker registered last, if it has not ended.
func (c *coordinator) currentLocked() *session {
	if len(c.sessions) == 0 {
		return nil
	}
	if s := c.sessions[len(c.sessions)-1]; !s.ended && !s.fenced {
		return s
	}
	return nil
}

// liveLocked returns the session with that id if it may act.
func (c *coordinator) liveLocked(id string) *session {
	s := c.currentLocked()
	if s == nil || s.SessionID != id {
		return nil
	}
	if time.Now().After(s.until) {
		s.fenced = true
		return nil
	}
	return s
}

// ServeHTTP implements http.Handler.
func (c *coordinator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	if r.Header.Get("Authorization") != "Bearer "+c.key {
		c.mu.Lock()
		c.mistakeLocked("%s %s came without the key as a bearer token", r.Method, r.URL.Path)
		c.mu.Unlock()
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "the key is wrong", nil)
		return
	}
	kind, body := classify(r)
	if kind == "" {
		c.mu.Lock()
		c.mistakeLocked("%s %s is no request of the protocol", r.Method, r.URL.Path)
		c.mu.Unlock()
		refuse(w, http.StatusNotFound, "NOT_FOUND", "no such path", nil)
		return
	}
	data, err := c.read(r, kind)
	if err != nil {
		return // the worker gave up
	}
	if body != nil {
		if err := json.Unmarshal(data, body); err != nil {
			c.mu.Lock()
			c.mistakeLocked("the body of %s can't be read: %v", r.URL.Path, err)
			c.mu.Unlock()
			refuse(w, http.StatusBadRequest, "INVALID_INPUT", err.Error(), nil)
			return
		}
	}
	c.mu.Lock()
	f := none
	if c.fault != nil {
		f = c.fault(kind, body)
	}
	c.mu.Unlock()
	switch f {
	case cut:
		panic(http.ErrAbortHandler)
	case hang:
		c.record(unanswered(r, kind, body, at))
		<-r.Context().Done()
		return
	case unavailable:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE", "the store is away", nil)
		return
	case overtaken:
		c.record(unanswered(r, kind, body, at))
		fencedSession(w)
		return
	case foreign:
		http.Error(w, "default backend - 404", http.StatusNotFound)
		return
	case moved:
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		return
	case none, lost:
	}
	reply := c.answer(r, kind, body, data, at)
	if f == lost {
		panic(http.ErrAbortHandler)
	}
	reply(w)
}

func (c *coordinator) record(es []exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, es...)
	c.changeLocked()
}

// unanswered describes a request that gets no answer: one exchange for each report of it.
func unanswered(r *http.Request, kind string, body any, at time.Time) []exchange {
	e := exchange{at: at, kind: kind, session: sessionOf(body), body: body}
	switch b := body.(type) {
	case nil:
		id, session, generation, _ := checkpointPath(r)
		e.session, e.run = session, run(id, generation)
	case *reportRequest:
		es := make([]exchange, len(b.Reports))
		for i := range b.Reports {
			es[i] = e
			es[i].body, es[i].run = &b.Reports[i], run(b.Reports[i].WorkloadID, b.Reports[i].Generation)
		}
		return es
	}
	return []exchange{e}
}

// read reads the body of a request.
func (c *coordinator) read(r *http.Request, kind string) ([]byte, error) {
	c.mu.Lock()
	slowly := c.slowly && kind == onSave
	c.mu.Unlock()
	if !slowly {
		return io.ReadAll(r.Body)
	}
	var all []byte
	part := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(part)
		all = append(all, part[:n]...)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err // the worker gave up: what has arrived is no checkpoint
		}
		time.Sleep(time.Duration(n) * time.Second / (1 << 20))
	}
}

// classify returns the kind of a request and a place for its body, nil for bytes.
func classify(r *http.Request) (kind string, body any) {
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/worker/")
	if !ok {
		return "", nil
	}
	if r.Method == http.MethodPost {
		switch path {
		case "register":
			return onRegister, &registration{}
		case "heartbeat":
			return onHeartbeat, &heartbeat{}
		case "poll":
			return onPoll, &pollRequest{}
		case "report":
			return onReport, &reportRequest{}
		case "end":
			return onEnd, &sessionEnd{}
		}
	}
	if p := strings.Split(path, "/"); len(p) == 4 && p[0] == "workloads" && p[2] == "checkpoints" {
		switch r.Method {
		case http.MethodPut:
			return onSave, nil
		case http.MethodGet:
			return onLoad, nil
		}
	}
	return "", nil
}

func sessionOf(body any) string {
	switch b := body.(type) {
	case *registration:
		return b.SessionID
	case *heartbeat:
		return b.SessionID
	case *pollRequest:
		return b.SessionID
	case *reportRequest:
		return b.SessionID
	case *sessionEnd:
		return b.SessionID
	}
	return ""
}

// checkpointPath returns what the path and the query of a checkpoint's request say.
func checkpointPath(r *http.Request) (workloadID, session string, generation, sequence int64) {
	p := strings.Split(r.URL.Path, "/")
	q := r.URL.Query()
	generation, _ = strconv.ParseInt(q.Get("generation"), 10, 64) // 0 is no generation: fenced
	sequence, _ = strconv.ParseInt(p[len(p)-1], 10, 64)
	return p[len(p)-3], q.Get("session_id"), generation, sequence
}

func refuse(w http.ResponseWriter, status int, code, message string, details map[string]any) {
	if details == nil {
		details = map[string]any{}
	}
	send(w, status, map[string]any{"error": map[string]any{
		"code": code, "message": message, "details": details, "request_id": "req_conformance",
	}})
}

func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the worker may have gone
}
