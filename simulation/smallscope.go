package simulation

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// Small is a world of two coordinators, two workers and one or two workloads in which the caller
// decides what happens next, and whose states can be told apart: so that every ordering can be gone
// through, each state once.
//
// Coordinators are the real services on memory, each with a clock that stands until its own
// leadership loop runs: in between, it is a process that was paused. Workers are nothing but what
// they know: whoever was ever assigned a generation may report anything about it at any later time,
// whether its process crashed, was replaced, or wakes up after hours. No message needs the bus.
type Small struct {
	w       *World
	clocks  []*clock // the coordinators'
	leader  leadershipSeen
	tokens  []token // of each assignment there ever was, oldest first
	current map[domain.WorkerID]domain.SessionID
	missed  map[domain.WorkerID]int // beats in a row whose inventory was empty
	n       int                     // sessions so far
}

// token is what a worker knows of an assignment.
type token struct {
	domain.RunID
	session domain.SessionID
	worker  domain.WorkerID
}

// leadershipSeen is the lease row, as it must be after what was seen.
type leadershipSeen struct {
	ports.Leadership
	until time.Time
}

// Action is one thing that may happen.
type Action struct {
	Name string
	do   func(s *Small)
}

// retries keeps states few: one failure is retried, the next is final.
const smallRetries = 1

var smallWorkers = []domain.WorkerID{"w0", "w1"}

// NewSmall prepares a world in which so many workloads wait.
func NewSmall(workloads int) (*Small, error) {
	w, err := New(1, Probabilities{}, InMemory())
	if err != nil {
		return nil, err
	}
	s := &Small{w: w, current: map[domain.WorkerID]domain.SessionID{}, missed: map[domain.WorkerID]int{}}
	w.ids.still = true
	w.coordinators = nil
	for range 2 {
		c := &clock{now: w.Now()}
		s.clocks = append(s.clocks, c)
		w.clockOf = func() ports.Clock { return c }
		co, err := w.newCoordinator()
		if err != nil {
			return nil, err
		}
		w.coordinators = append(w.coordinators, co)
	}
	for _, k := range smallWorkers {
		s.register(k)
	}
	run := domain.DefaultRunConfig()
	if err := w.stores.Configs.Delete(context.Background(), tenant, tenantConfig); err != nil {
		return nil, err
	}
	if _, err := w.stores.Configs.Create(context.Background(), domain.WorkloadConfig{
		ID: tenantConfig, CustomerID: tenant, Type: "t",
		RunConfig: domain.RunConfig{MaxRetries: smallRetries, Timeout: 30 * time.Second, Resources: run.Resources},
	}); err != nil {
		return nil, err
	}
	for range workloads {
		w.submit(context.Background(), w.coordinators[0], lifecycle.SubmitRequest{Type: "t",
			Input: scriptInput{Steps: 1, Fails: 1}.json()})
	}
	return s, nil
}

// reports are what a worker may say of an assignment.
var reports = []domain.Event{
	domain.EventStart, domain.EventComplete, domain.EventFail, domain.EventCheckpoint, domain.EventPaused,
	domain.EventRelease, domain.EventDecline,
}

// SmallActions lists what may happen with so many workloads.
func SmallActions(workloads int) []Action {
	var as []Action
	add := func(name string, do func(s *Small)) { as = append(as, Action{name, do}) }
	for c := range 2 {
		add(fmt.Sprint("lead ", c), func(s *Small) { s.lead(c) })
		add(fmt.Sprint("assign ", c), func(s *Small) { s.tick(c, schedule) })
		add(fmt.Sprint("sweep ", c), func(s *Small) { s.tick(c, heal) })
	}
	for _, k := range smallWorkers {
		add("crash and register "+string(k), func(s *Small) { s.register(k) })
		add("crash and certify "+string(k), func(s *Small) { s.certify(k) })
		add("deregister "+string(k), func(s *Small) { s.deregister(k) })
		add("heartbeat "+string(k), func(s *Small) { s.beat(k, true) })
		add("heartbeat with nothing "+string(k), func(s *Small) { s.beat(k, false) })
	}
	for _, e := range reports {
		add(string(e), func(s *Small) { s.report(e, 0) })
		add("stale "+string(e), func(s *Small) { s.report(e, 1) })
	}
	for i := range workloads {
		add(fmt.Sprint("cancel ", i), func(s *Small) { s.control(i, domain.EventCancel) })
		add(fmt.Sprint("pause ", i), func(s *Small) { s.control(i, domain.EventRequestPause) })
		add(fmt.Sprint("resume ", i), func(s *Small) { s.control(i, domain.EventResume) })
	}
	for _, d := range []time.Duration{ttl + time.Second, lease + time.Second} {
		add("wait "+d.String(), func(s *Small) { s.w.clock.now = s.w.clock.now.Add(d) })
	}
	return as
}

// Do lets it happen, and returns what that broke.
func (s *Small) Do(a Action) []string {
	a.do(s)
	s.learn()
	return s.w.check.broken
}

// Judge compares what is stored with what was seen to happen.
func (s *Small) Judge() []string {
	s.w.check.contents()
	return s.w.check.broken
}

func (s *Small) lead(c int) {
	s.clocks[c].now = s.w.Now()
	_, _ = s.w.coordinators[c].Leadership.Tick(context.Background())
	claim, leading := s.w.coordinators[c].Leadership.Current()
	if leading && claim.Epoch >= s.leader.Epoch {
		s.leader = leadershipSeen{ports.Leadership{Holder: fmt.Sprint(c), Epoch: claim.Epoch}, s.w.Now().Add(ttl)}
	}
}

// tick lets a coordinator act by what it knew when its leadership loop last ran.
func (s *Small) tick(c int, l loop) { s.w.coordinators[c].tick(context.Background(), l) }

func (s *Small) register(k domain.WorkerID) {
	s.n++
	session := domain.SessionID(fmt.Sprint("s", s.n))
	_, err := s.w.coordinators[0].Plane.Register(context.Background(), domain.Registration{
		WorkerID: k, SessionID: session, Slots: 1, Capabilities: []string{"t"},
		Tags: map[string]string{"tag": s.w.tagOf(k)}, ProcessID: string(session),
		CertificateDigest: domain.CertificateDigest(secretOf(string(session))), TakeOver: true,
	})
	if err == nil {
		s.current[k], s.missed[k] = session, 0
	}
}

// certify has a coordinator hear that the worker's process has died.
func (s *Small) certify(k domain.WorkerID) {
	process := string(s.current[k])
	_ = s.w.coordinators[1].Plane.End(context.Background(), domain.SessionEnd{ProcessID: process,
		Secret: secretOf(process)})
}

// deregister ends the worker's session by its own word; what it holds is lost without a death.
func (s *Small) deregister(k domain.WorkerID) {
	_ = s.w.coordinators[0].Plane.End(context.Background(), domain.SessionEnd{WorkerID: k, SessionID: s.current[k]})
}

// beat sends a heartbeat of the session that the worker believes to have, with all it was assigned,
// or with nothing.
func (s *Small) beat(k domain.WorkerID, holds bool) {
	h := ports.Heartbeat{SessionRef: ports.SessionRef{WorkerID: k, SessionID: s.current[k]}}
	s.missed[k]++
	if holds {
		s.missed[k] = 0
		for _, t := range s.tokens {
			if t.session == s.current[k] {
				h.Inventory = append(h.Inventory, ports.InventoryItem{
					WorkloadID: t.WorkloadID, Generation: t.Generation, State: ports.RunRunning,
				})
			}
		}
	}
	s.missed[k] = min(s.missed[k], 2)
	_, _ = s.w.coordinators[0].Plane.Heartbeat(context.Background(), h)
}

// report sends what the holder of the newest assignment, or of one before it, has to say.
func (s *Small) report(e domain.Event, back int) {
	if len(s.tokens) <= back {
		return
	}
	t := s.tokens[len(s.tokens)-1-back]
	ref := ports.SessionRef{WorkerID: t.worker, SessionID: t.session}
	plane, ctx := s.w.coordinators[1].Plane, context.Background()
	if e == domain.EventCheckpoint {
		seq := s.w.check.state[t.WorkloadID].CheckpointSequence + 1
		_, _ = plane.SaveCheckpoint(ctx, ref, ports.CheckpointUpload{
			WorkloadID: t.WorkloadID, Generation: t.Generation, Sequence: seq, Data: []byte("x"),
		})
		return
	}
	r := ports.Report{WorkloadID: t.WorkloadID, Generation: t.Generation, Event: e}
	if e == domain.EventFail {
		r.Failure, r.RetryAfterMS = &domain.Failure{Type: "error", Message: "failed"}, new(int64)
	}
	_, _ = plane.Report(ctx, ref, []ports.Report{r})
}

func (s *Small) control(i int, e domain.Event) {
	l, ctx, id := s.w.coordinators[1].Lifecycle, context.Background(), s.w.acknowledged[i]
	switch e {
	case domain.EventCancel:
		_, _ = l.Cancel(ctx, tenant, id, user, "", "")
	case domain.EventRequestPause:
		_, _, _ = l.Pause(ctx, tenant, id, user, "")
	default:
		_, _ = l.Resume(ctx, tenant, id, user, "")
	}
}

// learn hands out what was assigned: whoever holds something now knows it from now on.
func (s *Small) learn() {
	for _, id := range s.w.acknowledged {
		st := s.w.check.state[id]
		t := token{domain.RunID{WorkloadID: id, Generation: st.Generation}, st.SessionID, st.WorkerID}
		if st.Status.Held() && !slices.Contains(s.tokens, t) {
			s.tokens = append(s.tokens, t)
		}
	}
	s.w.net.flying = nil
}

// Fingerprint tells states apart in all that can make a difference within a few more actions: what
// is compared with a bound is cut off behind it, and generations, epochs and sessions count by how
// they relate, not by their names. Left out are how often a workload was redistributed (its cap is
// out of reach) and how lately an assignment was sent again (no message needs the bus here).
func (s *Small) Fingerprint() uint64 {
	b := &strings.Builder{}
	for _, id := range s.w.acknowledged {
		s.describe(b, s.w.check.state[id])
	}
	workers, err := s.w.stores.Workers.List(context.Background())
	if err != nil {
		panic(err) // memory has no reason to fail
	}
	for _, k := range workers {
		fmt.Fprintf(b, "%v %s %d %d|", k.SessionID == s.current[k.ID], k.Status,
			s.past(k.LeaseUntil, time.Second), s.missed[k.ID])
	}
	fmt.Fprintf(b, "%s %d|", s.leader.Holder, s.past(s.leader.until, time.Second))
	for i, c := range s.w.coordinators {
		claim, leading := c.Leadership.Current()
		fmt.Fprintf(b, "%v %d %d %d|", leading, s.leader.Epoch-claim.Epoch, s.past(claim.Since, lease),
			s.past(s.clocks[i].now, ttl))
	}
	for _, t := range s.tokens[max(0, len(s.tokens)-2):] { // only the newest two assignments are ever reported on
		fmt.Fprintf(b, "%s %d %s|", t.WorkloadID, s.w.check.state[t.WorkloadID].Generation-t.Generation,
			s.name(t.session))
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(b.String())) // a hash never fails to write
	return h.Sum64()
}

func (s *Small) describe(b *strings.Builder, st domain.State) {
	failure := ""
	if st.Failure != nil {
		failure = st.Failure.Type
	}
	waits := s.w.Now().Before(st.NotBefore)
	fmt.Fprintf(b, "%s %s %v %d %d %d %d %d %s %v %s %v %d %d|", st.Status, s.name(st.SessionID),
		st.PauseRequested, st.RetryCount,
		st.LossStreak, st.Generation-st.CheckpointGeneration, st.Generation-st.StartedGeneration,
		st.Generation-st.EndedGeneration, st.EndedEvent,
		st.Resumed, failure, waits, s.past(st.Deadline, 16*time.Second), s.past(st.ScheduledAt, lease+time.Second))
}

// past is how long ago something was, as far as that matters.
func (s *Small) past(t time.Time, limit time.Duration) time.Duration {
	if t.IsZero() {
		return -time.Hour
	}
	return min(s.w.Now().Sub(t), limit)
}

// name is a session by whose it is, and whether its process still lives.
func (s *Small) name(session domain.SessionID) string {
	for _, k := range smallWorkers {
		if s.current[k] == session {
			return string(k)
		}
	}
	return "gone"
}

// Close ends it.
func (s *Small) Close() {
	for _, c := range s.w.coordinators {
		c.Close()
	}
}
