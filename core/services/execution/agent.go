package execution

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Config describes a worker.
type Config struct {
	WorkerID  domain.WorkerID
	Slots     int
	Resources domain.Resources
	Tags      map[string]string
	Version   string
	// ProcessID names the process; empty: generated. CertificateDigest is what its supervisor can certify its death with;
	// empty: it has none.
	ProcessID, CertificateDigest string
	// TakeOver ends the session of another process that holds the worker id, with the first registration.
	TakeOver bool
	// Types are the workload types it offers.
	Types map[string]ports.WorkloadFactory
	// Capabilities are what it offers beside the types; see domain.NeededCapability.
	Capabilities []string
	// Spawn runs f beside the caller; go f() in production.
	Spawn func(f func())
	// Sleep waits for d or until ctx ends, and returns ctx's error.
	Sleep func(ctx context.Context, d time.Duration) error
	// StopGrace is how long a run may take to checkpoint and return when it is paused or drained, and how long after the
	// end of its context it counts as stuck; 0 means DefaultStopGrace.
	StopGrace time.Duration
}

// DefaultStopGrace is the default of Config.StopGrace.
const DefaultStopGrace = 10 * time.Second

// leaseMargin is the part of the lease that a worker does not use: it fences itself that much before the lease's end.
const leaseMargin = 5 // a fifth

// Agent is a worker's bookkeeping. Safe for concurrent use.
type Agent struct {
	cfg   Config
	plane ports.ControlPlane
	clock ports.Clock
	ids   ports.IDs
	log   *slog.Logger

	mu       sync.Mutex
	base     context.Context //nolint:containedctx // the life of the worker, from which every run's context descends
	session  domain.SessionID
	previous domain.SessionID
	live     bool
	lease    time.Duration
	interval time.Duration
	// answered is when the last heartbeat that was answered had been sent.
	answered time.Time
	beats    int64 // heartbeats that were made
	draining bool
	// leaving tells that the worker drains by its own word, for good.
	leaving bool
	runs    map[domain.RunID]*run
	newest  map[domain.WorkloadID]*run // of each workload in runs, the run at the highest generation
	ended   endedRuns                  // lately
	active  int                        // runs that take a slot
	outbox  []outgoing
	moved   []*run // runs with progress to report
	logged  []*run // runs with log lines to report
	flights map[*flight]struct{}
	// What wakes loops: there is something to report, there are log lines, the next heartbeat should not wait.
	wake, wakeLines, urgent chan struct{}
}

// NewAgent returns an agent without a session. ctx bounds everything it will ever run.
func NewAgent(ctx context.Context, cfg Config, plane ports.ControlPlane, clock ports.Clock, ids ports.IDs, log *slog.Logger) (*Agent, error) {
	if cfg.StopGrace == 0 {
		cfg.StopGrace = DefaultStopGrace
	}
	if cfg.ProcessID == "" {
		cfg.ProcessID = ids.New(domain.PrefixProcess)
	}
	a := &Agent{
		cfg: cfg, plane: plane, clock: clock, ids: ids, base: ctx, runs: map[domain.RunID]*run{}, newest: map[domain.WorkloadID]*run{},
		log: log.With("worker_id", string(cfg.WorkerID)), flights: map[*flight]struct{}{},
		wake: make(chan struct{}, 1), wakeLines: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
	}
	return a, a.registration("check").Validate()
}

func (a *Agent) registration(session domain.SessionID) domain.Registration {
	r := domain.Registration{
		WorkerID: a.cfg.WorkerID, SessionID: session, PreviousSessionID: a.previous,
		ProcessID: a.cfg.ProcessID, CertificateDigest: a.cfg.CertificateDigest, TakeOver: a.cfg.TakeOver && a.previous == "", Draining: a.draining,
		Slots: a.cfg.Slots, Resources: a.cfg.Resources, Tags: a.cfg.Tags, Version: a.cfg.Version,
	}
	r.Capabilities = append(slices.Sorted(maps.Keys(a.cfg.Types)), a.cfg.Capabilities...)
	return r
}

// Connect registers a new session unless one is live. CodeConflict means that another process owns the worker id: the
// worker must end. When runs of earlier sessions have not returned, it beats at once, so that the slots they take are
// not given to others.
func (a *Agent) Connect(ctx context.Context) error {
	occupied, err := a.register(ctx)
	if err != nil || !occupied {
		return err
	}
	_ = a.Beat(ctx) // the next one says the same
	return nil
}

// register is Connect's first step; it reports whether runs are left that take slots.
func (a *Agent) register(ctx context.Context) (occupied bool, err error) {
	a.mu.Lock()
	if a.live {
		a.mu.Unlock()
		return false, nil
	}
	session := domain.SessionID(a.ids.New(domain.PrefixSession))
	r := a.registration(session)
	sent := a.clock.Now()
	a.mu.Unlock()
	grant, err := a.plane.Register(ctx, r)
	if err != nil {
		return false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session, a.previous, a.live, a.answered = session, session, true, sent
	a.lease = time.Duration(grant.LeaseMS) * time.Millisecond
	a.interval = time.Duration(grant.HeartbeatIntervalMS) * time.Millisecond
	a.log.Info("registered", "session_id", string(session), "lease", a.lease.String(), "slots", a.cfg.Slots)
	return len(a.runs) > 0, nil
}

// ref returns the live session; ok is false when there is none, or when its lease is over, in which case every run has
// been cancelled before ref returns.
func (a *Agent) ref() (ports.SessionRef, bool) {
	a.CheckLease()
	a.mu.Lock()
	defer a.mu.Unlock()
	return ports.SessionRef{WorkerID: a.cfg.WorkerID, SessionID: a.session}, a.live
}

// CheckLease fences the worker when it has been without an answered heartbeat for its lease less the margin. It comes
// before everything that has an effect outside, so that a process that wakes up after a freeze stops first.
func (a *Agent) CheckLease() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live && a.clock.Now().Sub(a.answered) >= a.lease-a.lease/leaseMargin {
		a.endSession("no heartbeat was answered within the lease")
	}
}

// endSession cancels every run and forgets what was to be reported; a.mu is held.
func (a *Agent) endSession(why string) {
	if !a.live {
		return
	}
	a.log.Warn("session over: stopping all runs", "session_id", string(a.session), "reason", why, "runs", len(a.runs))
	a.live = false
	a.outbox, a.moved, a.logged = nil, nil, nil
	clear(a.flights)
	for _, r := range a.all() {
		a.abandon(r, ports.ErrLeaseLost)
	}
}

// sessionError ends the session when err says it is over, and reports whether it did.
func (a *Agent) sessionError(ref ports.SessionRef, err error) bool {
	if !domain.IsCode(err, domain.CodeFenced) && !domain.IsCode(err, domain.CodeConflict) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == ref.SessionID {
		a.endSession(err.Error())
	}
	return true
}

// Beat sends one heartbeat and does what the answer says.
func (a *Agent) Beat(ctx context.Context) error {
	ref, ok := a.ref()
	if !ok {
		return errNoSession
	}
	a.mu.Lock()
	a.beats++
	h := ports.Heartbeat{
		SessionRef: ref, Number: a.beats, Draining: a.leaving, Drained: a.draining && !a.leaving, FreeSlots: max(a.cfg.Slots-a.active, 0),
	}
	var told []*run
	for _, r := range a.all() { // also what is left of earlier sessions: it takes slots of this one
		item := ports.InventoryItem{WorkloadID: r.key.WorkloadID, Generation: r.key.Generation, State: r.state}
		if r.stuck && !r.stuckTold {
			item.Stuck = true
			told = append(told, r)
		}
		h.Inventory = append(h.Inventory, item)
	}
	sent := a.clock.Now()
	a.mu.Unlock()
	answer, err := a.plane.Heartbeat(ctx, h)
	if err != nil {
		a.sessionError(ref, err)
		return err
	}
	a.mu.Lock()
	for _, r := range told {
		r.stuckTold = true
	}
	if a.live && a.session == ref.SessionID && sent.After(a.answered) {
		a.answered = sent
		a.lease = time.Duration(answer.LeaseMS) * time.Millisecond
	}
	a.mu.Unlock()
	for _, c := range answer.Commands {
		a.Handle(c)
	}
	return nil
}

var errNoSession = errors.New("no session")

// nudge wakes the loop that sends reports.
func (a *Agent) nudge() { token(a.wake) }

// nudgeLines wakes the loop that sends log lines.
func (a *Agent) nudgeLines() { token(a.wakeLines) }

// hurry has the next heartbeat sent soon, because the inventory has changed in a way that the coordinator waits for.
func (a *Agent) hurry() { token(a.urgent) }

func token(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Draining reports whether the worker takes no new work.
func (a *Agent) Draining() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining
}

// Idle reports whether nothing runs, nothing is left to report, and no report of the session is without its answer.
func (a *Agent) Idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.runs) == 0 && len(a.outbox) == 0 && len(a.flights) == 0
}

// Leave takes no new work from now on, for good: the worker is to end. What is released before the coordinator knows would be
// placed here again.
func (a *Agent) Leave() {
	a.refuse()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaving = true
}

// Undrain takes work again, unless the worker is to end.
func (a *Agent) Undrain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining && !a.leaving {
		a.draining = false
		a.log.Info("no longer draining")
	}
}

// Deregister ends the session by the worker's own word. Whoever calls it has seen that nothing of the session runs any more.
func (a *Agent) Deregister(ctx context.Context) error {
	ref, ok := a.ref()
	if !ok {
		return nil // it has ended already
	}
	if err := a.plane.End(ctx, domain.SessionEnd{WorkerID: ref.WorkerID, SessionID: ref.SessionID}); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live = false
	a.log.Info("deregistered", "session_id", string(ref.SessionID))
	return nil
}

// refuse takes no new work.
func (a *Agent) refuse() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.draining {
		a.draining = true
		a.log.Info("draining", "runs", len(a.runs))
	}
}

// Drain takes no new work from now on, and has every run checkpoint, stop and be released.
func (a *Agent) Drain() {
	a.refuse()
	a.mu.Lock()
	rs := a.all()
	a.mu.Unlock()
	for _, r := range rs {
		a.halt(r, ports.ErrDraining)
	}
}

// all returns the runs in an order that does not depend on chance; a.mu is held.
func (a *Agent) all() []*run {
	return slices.SortedFunc(maps.Values(a.runs), func(x, y *run) int {
		return cmp.Or(cmp.Compare(x.key.WorkloadID, y.key.WorkloadID), cmp.Compare(x.key.Generation, y.key.Generation))
	})
}

// Session returns the session, how often to beat, and whether it is live.
func (a *Agent) Session() (ref ports.SessionRef, interval time.Duration, live bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return ports.SessionRef{WorkerID: a.cfg.WorkerID, SessionID: a.session}, a.interval, a.live
}
