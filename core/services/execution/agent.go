package execution

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Agent keeps the state of a worker: its session and its runs. Safe for concurrent use.
type Agent struct {
	cfg  Config
	deps Deps

	mu       sync.Mutex
	base     context.Context //nolint:containedctx // the life of the worker, from which every run's context descends
	session  domain.SessionID
	previous domain.SessionID
	// next is the session that registrations ask for until one is answered. With an id of its own, one
	// that is executed late would take the place of the session that a later one began.
	next     domain.SessionID
	live     bool
	lease    time.Duration
	interval time.Duration
	// answered is when the last answered heartbeat was sent.
	answered time.Time
	beats    int64 // heartbeats made so far
	draining bool
	// leaving reports whether the worker drains because it is about to end. Such a drain cannot be
	// taken back.
	leaving bool
	runs    map[domain.RunID]*run
	newest  map[domain.WorkloadID]*run // of each workload in runs, the run at the highest generation
	ended   endedRuns                  // the runs that ended last
	active  int                        // runs that take a slot
	holding domain.Holding             // what these runs hold of the resources
	counts  runCounts
	outbox  []outgoing
	moved   []*run // runs with progress to report
	logged  []*run // runs with log lines to report
	flights map[*flight]struct{}
	// coming is the number of commands that were received and are not executed yet.
	coming atomic.Int64
	// These wake loops: there are reports, there are log lines, the next heartbeat is urgent.
	wake, wakeLines, urgent chan struct{}
}

// NewAgent returns an agent without a session. ctx bounds all its runs. CodeInvalidInput names what
// is wrong with cfg.
func NewAgent(ctx context.Context, cfg Config, deps Deps) (*Agent, error) {
	if cfg.StopGrace == 0 {
		cfg.StopGrace = DefaultStopGrace
	}
	if cfg.ProcessID == "" {
		cfg.ProcessID = deps.IDs.New(domain.PrefixProcess)
	}
	deps.Log = deps.Log.With("worker_id", string(cfg.WorkerID))
	a := &Agent{
		cfg: cfg, deps: deps, base: ctx,
		counts: newRunCounts(),
		runs:   map[domain.RunID]*run{}, newest: map[domain.WorkloadID]*run{}, flights: map[*flight]struct{}{},
		wake: make(chan struct{}, 1), wakeLines: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
	}
	a.holding = domain.NewHolding(&a.cfg.Resources)
	return a, a.registration("check").Validate()
}

// nudge wakes the loop that sends reports.
func (a *Agent) nudge() { token(a.wake) }

// nudgeLines wakes the loop that sends log lines.
func (a *Agent) nudgeLines() { token(a.wakeLines) }

// hurry makes the next heartbeat urgent, because the coordinator waits for a change of the
// inventory.
func (a *Agent) hurry() { token(a.urgent) }

func token(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Idle reports whether nothing runs, nothing is left to report, and every report has been answered.
func (a *Agent) Idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.runs) == 0 && len(a.outbox) == 0 && len(a.flights) == 0
}

// allLocked returns the runs in a fixed order. The agent's mu is held.
func (a *Agent) allLocked() []*run {
	return slices.SortedFunc(maps.Values(a.runs), func(x, y *run) int {
		return cmp.Or(cmp.Compare(x.key.WorkloadID, y.key.WorkloadID), cmp.Compare(x.key.Generation, y.key.Generation))
	})
}
