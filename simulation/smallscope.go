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

// Small is a world of two coordinators, two workers with one device each, and one or two workloads.
// Two workloads do not fit on one device, although a worker has slots for both. The caller chooses
// each action. A state has a fingerprint, so that a search can try every ordering of actions and
// visit each state once.
//
// The coordinators are the real services on memory. The clock of a coordinator stands still until
// its leadership loop runs, so that between two rounds it acts like a process that was paused. The
// workers are only sets of assignments: a worker may report anything about any generation that it
// was ever assigned, at any later time. That covers processes that crashed, were replaced, or were
// frozen for hours. Nothing is sent over the bus.
type Small struct {
	w           *World
	clocks      []*clock // of the coordinators
	leader      leadershipSeen
	assignments []assignment // all there ever were, oldest first
	current     map[domain.WorkerID]domain.SessionID
	missed      map[domain.WorkerID]int // heartbeats in a row with an empty inventory
	n           int                     // sessions so far
}

// assignment is a run as its worker knows it.
type assignment struct {
	domain.RunID
	session domain.SessionID
	worker  domain.WorkerID
}

// leadershipSeen is what the stored leader lease must be, after the elections that were seen.
type leadershipSeen struct {
	ports.Leadership
	until time.Time
}

// Action is one thing that can happen in a Small world.
type Action struct {
	Name string
	do   func(s *Small)
}

// smallRetries is the retry limit of the workloads. It is low to keep the number of states small.
const smallRetries = 1

var (
	smallWorkers = []domain.WorkerID{"w0", "w1"}
	smallDevice  = domain.Device{ID: "gpu0", Model: "A10"}
	smallShare   = domain.DeviceShare{ID: smallDevice.ID, Share: 600}
)

// NewSmall returns a world in which the given number of workloads wait.
func NewSmall(workloads int) (*Small, error) {
	w, err := New(1, Probabilities{}, InMemory())
	if err != nil {
		return nil, err
	}
	s := &Small{w: w, current: map[domain.WorkerID]domain.SessionID{}, missed: map[domain.WorkerID]int{}}
	w.ids.fixed = true
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
	if err := w.stores.Configs.Delete(context.Background(), tenant, w.tenant().config()); err != nil {
		return nil, err
	}
	if _, err := w.stores.Configs.Create(context.Background(), domain.WorkloadConfig{
		ID: w.tenant().config(), CustomerID: tenant, Type: "t",
		RunConfig: domain.RunConfig{MaxRetries: smallRetries, Timeout: 30 * time.Second, Resources: run.Resources},
	}); err != nil {
		return nil, err
	}
	for range workloads {
		w.submit(context.Background(), w.coordinators[0], w.tenant(), lifecycle.SubmitRequest{Type: "t",
			Input: scriptInput{Steps: 1, Fails: 1}.json(), Resources: &domain.Resources{GPUs: smallShare.Share}})
	}
	return s, nil
}

// reports are the reports that a worker may send about an assignment.
var reports = []domain.Event{
	domain.EventStart, domain.EventComplete, domain.EventFail, domain.EventCheckpoint, domain.EventPaused,
	domain.EventRelease, domain.EventDecline,
}

// SmallActions lists the actions in a world of the given number of workloads.
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

// Do does an action, and returns the violations so far.
func (s *Small) Do(a Action) []string {
	a.do(s)
	s.collectAssignments()
	return s.w.check.broken
}

// CheckContents compares what is stored with the commits that were seen, and returns the
// violations.
func (s *Small) CheckContents() []string {
	s.w.check.contents()
	return s.w.check.broken
}

// lead runs a coordinator's leadership loop, with its clock set to the current time.
func (s *Small) lead(c int) {
	s.clocks[c].now = s.w.Now()
	_, _ = s.w.coordinators[c].Leadership.Tick(context.Background())
	claim, leading := s.w.coordinators[c].Leadership.Current()
	if leading && claim.Epoch >= s.leader.Epoch {
		s.leader = leadershipSeen{ports.Leadership{Holder: fmt.Sprint(c), Epoch: claim.Epoch}, s.w.Now().Add(ttl)}
	}
}

// tick runs another loop of a coordinator, with its clock as its leadership loop last saw it.
func (s *Small) tick(c int, l loop) { s.w.coordinators[c].tick(context.Background(), l) }

// register starts a new process of a worker, which takes over the worker's session.
func (s *Small) register(k domain.WorkerID) {
	s.n++
	session := domain.SessionID(fmt.Sprint("s", s.n))
	_, err := s.w.coordinators[0].Plane.Register(context.Background(), domain.Registration{
		WorkerID: k, SessionID: session, Slots: 2, Capabilities: []string{"t"},
		Resources: domain.Offer{Devices: []domain.Device{smallDevice}},
		Tags:      map[string]string{"tag": s.w.tagOf(k)}, ProcessID: string(session),
		CertificateDigest: domain.CertificateDigest(secretOf(string(session))), TakeOver: true,
	})
	if err == nil {
		s.current[k], s.missed[k] = session, 0
	}
}

// certify tells a coordinator that the worker's process has died.
func (s *Small) certify(k domain.WorkerID) {
	process := string(s.current[k])
	_ = s.w.coordinators[1].Plane.End(context.Background(), domain.SessionEnd{ProcessID: process,
		Secret: secretOf(process)})
}

// deregister ends the worker's session by its own request. Its runs are lost without a death.
func (s *Small) deregister(k domain.WorkerID) {
	_ = s.w.coordinators[0].Plane.End(context.Background(), domain.SessionEnd{WorkerID: k, SessionID: s.current[k]})
}

// beat sends a heartbeat of the worker's current session. Its inventory lists all that the session
// was assigned if holds is set, and is empty otherwise.
func (s *Small) beat(k domain.WorkerID, holds bool) {
	h := ports.Heartbeat{SessionRef: ports.SessionRef{WorkerID: k, SessionID: s.current[k]}}
	s.missed[k]++
	if holds {
		s.missed[k] = 0
		for _, a := range s.assignments {
			if a.session == s.current[k] {
				h.Inventory = append(h.Inventory, ports.InventoryItem{
					WorkloadID: a.WorkloadID, Generation: a.Generation, State: ports.RunRunning,
					Devices: []domain.DeviceShare{smallShare},
				})
			}
		}
	}
	s.missed[k] = min(s.missed[k], 2)
	_, _ = s.w.coordinators[0].Plane.Heartbeat(context.Background(), h)
}

// report sends a report of the worker that was given the newest assignment, or the one back before
// it.
func (s *Small) report(e domain.Event, back int) {
	if len(s.assignments) <= back {
		return
	}
	a := s.assignments[len(s.assignments)-1-back]
	ref := ports.SessionRef{WorkerID: a.worker, SessionID: a.session}
	plane, ctx := s.w.coordinators[1].Plane, context.Background()
	if e == domain.EventCheckpoint {
		seq := s.w.check.state[a.WorkloadID].CheckpointSequence + 1
		_, _ = plane.SaveCheckpoint(ctx, ref, ports.CheckpointUpload{
			WorkloadID: a.WorkloadID, Generation: a.Generation, Sequence: seq, Data: []byte("x"),
		})
		return
	}
	r := ports.Report{WorkloadID: a.WorkloadID, Generation: a.Generation, Event: e}
	if e == domain.EventFail {
		r.Failure, r.RetryAfterMS = &domain.Failure{Type: "error", Message: "failed"}, new(int64)
	}
	_, _ = plane.Report(ctx, ref, []ports.Report{r})
}

// control cancels, pauses or resumes a workload.
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

// collectAssignments adds the new assignments to those that workers may report on, and drops the
// messages on the bus.
func (s *Small) collectAssignments() {
	for _, id := range s.w.acknowledged {
		st := s.w.check.state[id]
		a := assignment{domain.RunID{WorkloadID: id, Generation: st.Generation}, st.SessionID, st.WorkerID}
		if st.Status.Held() && !slices.Contains(s.assignments, a) {
			s.assignments = append(s.assignments, a)
		}
	}
	s.w.net.inFlight = nil
}

// Fingerprint returns a hash of all that can make a difference within a few more actions. Two
// states that behave alike must have the same fingerprint. So a time that is compared with a bound
// is cut off at the bound. Generations, epochs and sessions count by their relations, not by their
// values. Two things are left out: the number of redistributions, because its limit is out of
// reach, and the time when an assignment was last sent again, because nothing is sent over the bus.
func (s *Small) Fingerprint() uint64 {
	b := &strings.Builder{}
	for _, id := range s.w.acknowledged {
		s.describe(b, s.w.check.state[id])
	}
	workers, err := s.w.stores.Workers.List(context.Background())
	if err != nil {
		panic(err) // the memory store does not fail
	}
	for _, k := range workers {
		fmt.Fprintf(b, "%v %s %d %d|", k.SessionID == s.current[k.ID], k.Status,
			s.age(k.LeaseUntil, time.Second), s.missed[k.ID])
		s.describeEnding(b, k.SessionID)
	}
	fmt.Fprintf(b, "%s %d|", s.leader.Holder, s.age(s.leader.until, time.Second))
	for i, c := range s.w.coordinators {
		claim, leading := c.Leadership.Current()
		fmt.Fprintf(b, "%v %d %d %d|", leading, s.leader.Epoch-claim.Epoch, s.age(claim.Since, lease),
			s.age(s.clocks[i].now, ttl))
	}
	for _, a := range s.assignments[max(0, len(s.assignments)-2):] { // reports are only of the newest two
		fmt.Fprintf(b, "%s %d %s|", a.WorkloadID, s.w.check.state[a.WorkloadID].Generation-a.Generation,
			s.owner(a.session))
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(b.String())) // a hash never fails to write
	return h.Sum64()
}

// describe writes the part of the fingerprint for one workload.
func (s *Small) describe(b *strings.Builder, st domain.State) {
	failure := ""
	if st.Failure != nil {
		failure = st.Failure.Type
	}
	waits := s.w.Now().Before(st.NotBefore)
	fmt.Fprintf(b, "%s %s %v %d %d %d %d %d %s %v %s %v %d %d|", st.Status, s.owner(st.SessionID),
		st.PauseRequested, st.RetryCount,
		st.LossStreak, st.Generation-st.CheckpointGeneration, st.Generation-st.StartedGeneration,
		st.Generation-st.EndedGeneration, st.EndedEvent,
		st.Resumed, failure, waits, s.age(st.Deadline, 16*time.Second), s.age(st.ScheduledAt, lease+time.Second))
}

// describeEnding writes the part of the fingerprint for the runs of a session that are ending.
func (s *Small) describeEnding(b *strings.Builder, session domain.SessionID) {
	for i, id := range s.w.acknowledged {
		for back := range int64(3) {
			g := s.w.check.state[id].Generation - back
			if e, ends := s.w.check.ending[domain.RunID{WorkloadID: id, Generation: g}]; ends && e.SessionID == session {
				fmt.Fprintf(b, "%d %d %v|", i, back, e.FoundAt.IsZero())
			}
		}
	}
}

// age returns the time since t, up to a limit. It is -1 h if t is zero.
func (s *Small) age(t time.Time, limit time.Duration) time.Duration {
	if t.IsZero() {
		return -time.Hour
	}
	return min(s.w.Now().Sub(t), limit)
}

// owner returns the worker whose current session this is, or "gone" if the session is over.
func (s *Small) owner(session domain.SessionID) string {
	for _, k := range smallWorkers {
		if s.current[k] == session {
			return string(k)
		}
	}
	return "gone"
}

// Close ends the coordinators.
func (s *Small) Close() {
	for _, c := range s.w.coordinators {
		c.Close()
	}
}
