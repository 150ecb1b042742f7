package execution

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// run is one workload at one generation on this worker. The agent's mu guards the fields below
// "Guarded by agent.mu".
type run struct {
	agent      *Agent
	key        domain.RunID
	session    domain.SessionID
	assignment ports.Assignment
	workload   ports.Workload  // set by the run itself; others read it once initialised is set
	log        *slog.Logger    // names the run and its origin
	ctx        context.Context //nolint:containedctx // a run is its context
	cancel     context.CancelCauseFunc

	// saving serialises checkpoints, and guards what follows. sequence is the newest durable one.
	saving    sync.Mutex
	sequence  int64
	unsettled *unsettled // nil if it is known which one that is
	over      bool       // nothing is saved any more

	// Guarded by agent.mu.
	state       ports.RunState
	accepted    time.Time
	deadline    time.Time
	nextPull    time.Time
	cancelledAt time.Time
	haltBy      time.Time // when its context ends, whether or not it could save
	halting     error     // ErrPaused, ErrDraining or ErrPreempted when one was asked for
	preempting  bool      // a checkpoint is being taken to make room
	resumable   bool      // there is a durable checkpoint to continue from
	// preemptedFor says for the audit trail what the run made room for.
	preemptedFor string
	abandoned    bool            // it may report nothing any more
	crash        *ports.RunError // why its code did not return
	stuck        bool            // it ignores the end of its context
	stuckTold    bool            // the coordinator knows that it is stuck
	// acknowledged reports whether the store knows that the run is running.
	acknowledged bool
	initialised  bool
	percent      float64
	message      string
	pulledAt     float64 // percent at the last automatic checkpoint
	begun        int     // saves that the handler has begun
	reported     int     // how often the handler has told its progress
	pulling      bool
	pullAgain    bool          // take one more after the current one
	progress     *ports.Report // to be reported
	used         domain.Consumption
	progressAt   time.Time
	isMoved      bool // it is in agent.moved
	lines        []ports.LogEntry
	lineBytes    int
	dropped      int     // lines, before those
	isLogged     bool    // it is in agent.logged
	sending      *flight // with reports of this run
	sendingLines *flight // with its log lines
	endedAt      time.Time
}

// about returns the worker's logger for what happens to an assignment.
func (a *Agent) about(as *ports.Assignment) *slog.Logger {
	log := a.deps.Log.With("workload_id", string(as.WorkloadID), "customer_id", string(as.CustomerID), "generation",
		as.Generation)
	if o := as.Origin(); o.RequestID != "" {
		log = log.With("request_id", o.RequestID)
	}
	if o := as.Origin(); !o.Trace.IsZero() {
		log = log.With("trace_id", o.Trace.Trace())
	}
	return log
}

// execute is the life of a run. Its steps are deferred, so that they happen even if the run's code
// ends the goroutine.
func (a *Agent) execute(r *run) {
	var result domain.JSON
	err := errNoReturn
	defer a.giveUp(r)
	defer r.cancel(context.Canceled)
	defer func() { a.finish(r, domain.CleanResult(result), err) }()
	defer r.close()
	r.log.Info("run started", "workload_type", r.assignment.Type)
	result, err = a.perform(r)
}

// perform creates the workload, restores its checkpoint, initialises it, and executes it. If it has been
// assigned before, the store knows first that it has started: its code may have ended the worker before
// the start of that run was reported, and such a death does not count. The first run does not wait.
func (a *Agent) perform(r *run) (result domain.JSON, err error) {
	if r.key.Generation > 1 {
		if err := a.announced(r); err != nil {
			return "", err
		}
	}
	if !r.guard("the factory", func() { r.workload = a.cfg.Types[r.assignment.Type]() }) {
		return "", r.fault()
	}
	if r.workload == nil {
		return "", fmt.Errorf("the factory of type %q made no workload", r.assignment.Type)
	}
	task := ports.Task{Assignment: r.assignment}
	if r.assignment.CheckpointSequence > 0 {
		loaded, err := a.restore(r)
		if err != nil {
			return "", err
		}
		defer loaded.close()
		loaded.into(&task, r.workload)
	}
	if r.ctx.Err() != nil {
		return "", context.Cause(r.ctx)
	}
	if !r.guard("Init", func() { err = r.workload.Init(r.ctx, task) }) {
		return "", r.fault()
	}
	if err != nil {
		return "", err
	}
	a.started(r)
	if !r.guard("Execute", func() { result, err = r.workload.Execute(r.ctx, r) }) {
		return "", r.fault()
	}
	return result, err
}

// close closes the workload.
func (r *run) close() {
	if r.workload == nil {
		return
	}
	r.guard("Close", func() {
		if err := r.workload.Close(); err != nil {
			r.log.Warn("closing a run failed", "error", err)
		}
	})
}

// started records that the workload executes.
func (a *Agent) started(r *run) {
	now := a.deps.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	r.initialised = true
	if r.state == ports.RunStarting {
		r.state = ports.RunRunning
	}
	if ms := r.assignment.CheckpointIntervalMS; ms > 0 {
		r.nextPull = now.Add(time.Duration(ms) * time.Millisecond)
	}
	r.percent, r.pulledAt = r.assignment.ProgressPercent, r.assignment.ProgressPercent
}

// finish finds out how a run ended, which calls the methods of its error, and reports it.
func (a *Agent) finish(r *run, result domain.JSON, err error) {
	rep := failure(errNoReturn)
	defer func() { r.log.Info("run ended", "result", string(a.end(r, rep))) }()
	r.guard("the error of Execute", func() { rep = r.outcome(result, err) })
}

// end reports how a run ended and frees its slot. It returns how it counts.
func (a *Agent) end(r *run, rep ports.Report) RunResult {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active--
	a.holding.Return(&r.assignment.Resources, r.assignment.Devices, 1)
	if r.abandoned || !a.live || a.session != r.session {
		a.counts.ended[endedKey{r.assignment.Type, RunStopped}]++
		a.removeLocked(r)
		a.letGoLocked(r)
		return RunStopped
	}
	if r.crash != nil {
		rep = failure(r.crash)
	}
	ended := runResult(rep.Event)
	a.counts.ended[endedKey{r.assignment.Type, ended}]++
	r.state, r.endedAt = ports.RunReporting, a.deps.Clock.Now()
	r.progress = nil
	rep.Used = r.used
	a.postLocked(r, rep)
	a.nudgeLines()
	return ended
}

// outcome returns the last report of a run. guard handles panics.
func (r *run) outcome(result domain.JSON, err error) ports.Report {
	cause := context.Cause(r.ctx)
	switch {
	case err == nil:
		return ports.Report{Event: domain.EventComplete, Result: result}
	case errors.Is(cause, ports.ErrTimeout) && !isPermanent(err):
		limit := time.Duration(r.assignment.TimeoutMS) * time.Millisecond
		timeout := fmt.Errorf("timed out after %s", limit)
		if !stopped(r.ctx, err) {
			timeout = fmt.Errorf("%w: %w", timeout, err)
		}
		return failure(&ports.RunError{Type: domain.FailureTimeout, Err: timeout})
	case !stopped(r.ctx, err):
		return failure(err)
	case errors.Is(cause, ports.ErrPaused):
		return ports.Report{Event: domain.EventPaused}
	case errors.Is(cause, ports.ErrPreempted):
		stay := domain.PreemptionDelay.Milliseconds()
		return ports.Report{Event: domain.EventRelease, Reason: r.preemptedFor, RetryAfterMS: &stay}
	case errors.Is(cause, ports.ErrDraining), errors.Is(cause, context.Canceled):
		return ports.Report{Event: domain.EventRelease, Reason: "worker drained"}
	}
	return failure(err)
}

// stopped reports whether err says that the run ended because it was asked to: err is the cause of
// ctx, or its error. Any other error is a failure of the run itself, even if it comes after the
// request.
func stopped(ctx context.Context, err error) bool {
	if ctx.Err() == nil || isPermanent(err) {
		return false
	}
	return errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err())
}

func isPermanent(err error) bool {
	var re *ports.RunError
	return errors.As(err, &re) && re.Permanent
}

func failure(err error) ports.Report {
	f := &domain.Failure{Type: domain.FailureError, Message: err.Error()}
	rep := ports.Report{Event: domain.EventFail, Failure: f}
	var re *ports.RunError
	if errors.As(err, &re) {
		f.Permanent = re.Permanent
		if re.Type != "" {
			f.Type = re.Type
		}
		if re.RetryAfter != nil {
			ms := re.RetryAfter.Milliseconds()
			rep.RetryAfterMS = &ms
		}
	}
	*f = f.Clean()
	return rep
}

// removeLocked removes a run. The agent's mu is held.
func (a *Agent) removeLocked(r *run) {
	if a.runs[r.key] == r {
		delete(a.runs, r.key)
	}
	if a.newest[r.key.WorkloadID] == r {
		delete(a.newest, r.key.WorkloadID)
	}
	a.ended.add(r.key)
}
