package conformance

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// soon is how long a script waits for what a worker does at once, also on a busy machine.
const soon = 10 * time.Second

// startup is how long a process may take to start.
const startup = time.Minute

// violation ends a case: a rule is broken.
type violation string

// script is one case while it runs: the coordinator, and the worker's process.
type script struct {
	*coordinator

	url     string
	command []string
	worker  *process
	output  *tail
	number  int // of the last workload
}

// process is one life of the worker's process.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // once it has exited
}

// tail keeps the last bytes that were written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 8 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if n := len(t.text) - tailSize; n > 0 {
		t.text = bytes.Clone(t.text[n:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// serve starts the coordinator of a case. The returned function stops it.
func (s *script) serve(ctx context.Context) (stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: s.coordinator, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // it ends with Close
	s.url = "http://" + l.Addr().String()
	return func() { _ = server.Close() }, nil
}

// start starts the worker's process.
func (s *script) start() {
	p := &process{exited: make(chan struct{})}
	//nolint:gosec // the user names the command
	p.cmd = exec.Command(s.command[0], s.command[1:]...)
	p.cmd.Env = append(os.Environ(), "NIYANTA_COORDINATOR_URL="+s.url, "NIYANTA_WORKER_KEY="+s.key,
		"NIYANTA_WORKER_ID=conformance-1", "NIYANTA_WORKER_HTTP_ADDR=")
	p.cmd.Stdout, p.cmd.Stderr = s.output, s.output
	ownGroup(p.cmd)
	if err := p.cmd.Start(); err != nil {
		panic(violation(fmt.Sprintf("the command can't be started: %v", err)))
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	s.worker = p
}

// stop kills the worker's process and what it has started, and waits for its end.
func (s *script) stop() {
	if s.worker == nil {
		return
	}
	killGroup(s.worker.cmd)
	<-s.worker.exited
}

// gone reports whether the worker's process has exited.
func (s *script) gone() bool {
	select {
	case <-s.worker.exited:
		return true
	default:
		return false
	}
}

// await waits until cond holds. The rule is broken if it does not within a time. cond is called with
// the mutex held.
func (s *script) await(within time.Duration, what string, cond func() bool) {
	// A process that is gone does nothing any more. What it did last has arrived then.
	if s.holds(within, func() bool { return cond() || s.gone() }) && s.holds(0, cond) {
		return
	}
	if s.gone() {
		what += fmt.Sprintf(" (its process has exited: %v)", s.worker.err)
	}
	panic(violation(what))
}

// never waits for a time. The rule is broken if cond holds in it.
func (s *script) never(during time.Duration, what string, cond func() bool) {
	if s.holds(during, cond) {
		panic(violation(what))
	}
}

func (s *script) holds(within time.Duration, cond func() bool) bool {
	for until := time.Now().Add(within); ; {
		s.mu.Lock()
		held, changed := cond(), s.changed
		s.mu.Unlock()
		if held {
			return true
		}
		left := time.Until(until)
		if left <= 0 {
			return false
		}
		select {
		case <-changed:
		case <-time.After(min(left, 50*time.Millisecond)):
		}
	}
}

// locked calls f with the mutex held.
func (s *script) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// require breaks the rule unless cond holds now.
func (s *script) require(what string, cond func() bool) { s.await(0, what, cond) }

// begin starts the worker, and returns when it has registered and sent a heartbeat.
func (s *script) begin() *session {
	s.start()
	return s.registered()
}

// registered waits for a live session with a heartbeat.
func (s *script) registered() (found *session) {
	s.await(startup, "the worker does not register", func() bool {
		found = s.currentLocked()
		return found != nil && len(found.beats) > 0
	})
	return found
}

// anew waits for a live session with a heartbeat that is another one than a former session.
func (s *script) anew(former *session) (found *session) {
	// A run may be waiting for an answer of the old session, which takes as long as its timeout.
	s.await(4*soon, "the worker does not register a new session", func() bool {
		found = s.currentLocked()
		return found != nil && found != former && len(found.beats) > 0
	})
	return found
}

// assign makes a workload and sends it to the worker.
func (s *script) assign(input countInput, with ...func(*workload)) *workload {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	w := &workload{id: fmt.Sprintf("wl_conformance%02d", s.number), generation: 1, kind: "count", input: input,
		timeoutMS: time.Hour.Milliseconds(), saved: map[int64][]byte{}, newest: map[int64]int{}}
	for _, f := range with {
		f(w)
	}
	s.workloads[w.id] = w
	s.queueLocked(s.assignment(w))
	return w
}

// long is the input of a workload that counts until it is stopped.
func long() countInput { return countInput{To: 1_000_000, StepMS: 50} }

// running makes a workload, and returns when the worker has started it and holds it.
func (s *script) running(input countInput) *workload {
	w := s.assign(input)
	s.await(soon, "an assignment is not started", func() bool { return w.stage == running })
	s.await(soon, "a run that was started is not in the inventory as running",
		func() bool { return s.stateLocked(w) == "running" })
	return w
}

func (s *script) assignment(w *workload) command {
	return command{Kind: "workload.assign", WorkloadID: w.id, Generation: w.generation, Assignment: w.assignment()}
}

func (s *script) about(kind string, w *workload) command {
	return command{Kind: kind, WorkloadID: w.id, Generation: w.generation, Reason: "the script wants it",
		Later: "x"}
}

// send sends commands with the next poll.
func (s *script) send(cs ...command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queueLocked(cs...)
}

func (s *script) queueLocked(cs ...command) {
	current := s.currentLocked()
	if current == nil {
		panic(violation("the worker has no session"))
	}
	for _, c := range cs {
		if c.SessionID == "" {
			c.SessionID = current.SessionID
		}
		current.queue = append(current.queue, c)
	}
	s.changeLocked()
}

// sendOnBeat sends commands with the answer to the next heartbeat.
func (s *script) sendOnBeat(cs ...command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.currentLocked()
	if current == nil {
		panic(violation("the worker has no session"))
	}
	for _, c := range cs {
		c.SessionID = current.SessionID
		current.onBeat = append(current.onBeat, c)
	}
}

// stateLocked returns the state of a run in the last inventory, "" if it is not there.
func (s *script) stateLocked(w *workload) string {
	current := s.currentLocked()
	if current == nil || len(current.beats) == 0 {
		return ""
	}
	for _, i := range current.beats[len(current.beats)-1].Inventory {
		if i.WorkloadID == w.id && i.Generation == w.generation {
			return i.State
		}
	}
	return ""
}

// sent returns the requests of these kinds.
func (s *script) sent(kinds ...string) (found []exchange) {
	for _, e := range s.log {
		if slices.Contains(kinds, e.kind) {
			found = append(found, e)
		}
	}
	return found
}

// told returns the reports of an event about a workload.
func (s *script) told(w *workload, event string) (found []exchange) {
	for _, e := range s.sent(onReport) {
		if r, ok := e.body.(*report); ok && r.WorkloadID == w.id && r.Event == event {
			found = append(found, e)
		}
	}
	return found
}

// after returns the reports and saves of a workload's first run that came after a time.
func (s *script) after(at time.Time, w *workload) (found []exchange) {
	for _, e := range s.sent(onReport, onSave) {
		if e.run == run(w.id, 1) && e.at.After(at) {
			found = append(found, e)
		}
	}
	return found
}

// tried returns the sessions that the worker has asked for, each once.
func (s *script) tried() (sessions []string) {
	for _, e := range s.sent(onRegister) {
		if !slices.Contains(sessions, e.session) {
			sessions = append(sessions, e.session)
		}
	}
	return sessions
}

// completed waits until a workload has completed with the right result.
func (s *script) completed(w *workload) {
	s.await(soon, "a workload does not complete", func() bool { return w.last == "complete" })
	want := fmt.Sprintf(`{"counted":%d}`, w.input.To)
	if got := strings.Join(strings.Fields(string(w.ended.Result)), ""); got != want {
		panic(violation(fmt.Sprintf("the result is %s and must be %s", got, want)))
	}
}

// left waits until a run is in the inventory no more.
func (s *script) left(w *workload, within time.Duration, what string) {
	beats := 0
	s.locked(func() { beats = len(s.sent(onHeartbeat)) })
	s.await(within, what, func() bool { return len(s.sent(onHeartbeat)) > beats && s.stateLocked(w) == "" })
}

// doing returns a fault that meets the first n requests for which cond holds.
func doing(f fault, n int, cond func(kind string, body any) bool) func(string, any) fault {
	return func(kind string, body any) fault {
		if n > 0 && cond(kind, body) {
			n--
			return f
		}
		return none
	}
}

// tells reports whether a request has a report of that event.
func tells(event string) func(kind string, body any) bool {
	return func(_ string, body any) bool {
		b, ok := body.(*reportRequest)
		return ok && slices.ContainsFunc(b.Reports, func(r report) bool { return r.Event == event })
	}
}

func is(kinds ...string) func(kind string, body any) bool {
	return func(kind string, _ any) bool { return slices.Contains(kinds, kind) }
}

// mistakesSoFar returns what the worker did against the protocol, whatever the case is about.
func (s *script) mistakesSoFar() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mistakes)
}
