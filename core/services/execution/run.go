package execution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// run is one workload at one generation in this worker's hands. Fields below mu of the agent are the agent's to guard.
type run struct {
	agent      *Agent
	key        runKey
	session    domain.SessionID
	assignment ports.Assignment
	workload   ports.Workload
	ctx        context.Context //nolint:containedctx // a run is its context
	cancel     context.CancelCauseFunc

	// saving serialises checkpoints; sequence is the newest durable one.
	saving   sync.Mutex
	sequence int64

	// Guarded by agent.mu.
	state       ports.RunState
	accepted    time.Time
	deadline    time.Time
	nextPull    time.Time
	cancelledAt time.Time
	halting     error // ErrPaused, ErrDraining or ErrPreempted once asked for
	preempting  bool  // a checkpoint is being taken to make room
	resumable   bool  // there is a durable checkpoint to continue from
	// preemptedFor says in words what it made room for.
	preemptedFor string
	abandoned    bool // nothing of it may be reported any more
	stuck        bool
	// acknowledged tells that the store knows the run to be running.
	acknowledged bool
	initialised  bool
	percent      float64
	message      string
	pulledAt     float64 // percent at the last automatic checkpoint
	pulling      bool
	progress     *ports.Report
	progressAt   time.Time
	lines        []ports.LogEntry
	lineBytes    int
	dropped      int
	isDirty      bool
}

// maxResult is the largest result that is reported.
const maxResult = 1 << 20

func (r *run) note(a *Agent, msg string, cause error) {
	a.log.Debug(msg, "workload_id", string(r.key.id), "generation", r.key.generation,
		"customer_id", string(r.assignment.CustomerID), "cause", cause)
}

// execute is the life of a run.
func (a *Agent) execute(r *run) {
	result, err := a.perform(r)
	if cerr := r.close(); cerr != nil && err == nil {
		a.log.Warn("closing a run failed", "workload_id", string(r.key.id), "error", cerr)
	}
	a.finish(r, result, err)
	r.cancel(context.Canceled)
}

// perform restores, prepares and executes. A panic becomes an error of type "panic".
func (a *Agent) perform(r *run) (result domain.JSON, err error) {
	defer recovered(r, &err)
	task := ports.Task{Assignment: r.assignment}
	if r.assignment.CheckpointSequence > 0 {
		if task.Checkpoint, err = a.restore(r); err != nil {
			return "", err
		}
	}
	if r.ctx.Err() != nil {
		return "", context.Cause(r.ctx)
	}
	if err := r.workload.Init(r.ctx, task); err != nil {
		return "", err
	}
	a.started(r)
	return r.workload.Execute(r.ctx, r)
}

func (r *run) close() (err error) {
	defer recovered(r, &err)
	return r.workload.Close()
}

func recovered(r *run, err *error) {
	if p := recover(); p != nil {
		*err = &ports.RunError{Type: "panic", Err: fmt.Errorf("panic: %v", p)}
		r.Log(ports.LogEntry{Level: "error", Message: fmt.Sprintf("panic: %v\n%s", p, debug.Stack())})
	}
}

// started notes that the workload executes from now on.
func (a *Agent) started(r *run) {
	now := a.clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	r.initialised = true
	if r.state == ports.RunStarting {
		r.state = ports.RunRunning
	}
	if ms := r.assignment.TimeoutMS; ms > 0 {
		r.deadline = r.accepted.Add(time.Duration(ms) * time.Millisecond)
	}
	if ms := r.assignment.CheckpointIntervalMS; ms > 0 {
		r.nextPull = now.Add(time.Duration(ms) * time.Millisecond)
	}
	r.percent, r.pulledAt = r.assignment.ProgressPercent, r.assignment.ProgressPercent
}

// finish reports how a run ended and frees its slot.
func (a *Agent) finish(r *run, result domain.JSON, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active--
	if r.abandoned || !a.live || a.session != r.session {
		a.remove(r)
		return
	}
	r.state = ports.RunReporting
	a.flushLines(r)
	r.progress = nil
	rep := a.outcome(r, result, err)
	r.note(a, "run ended: "+string(rep.Event), err)
	a.post(r, rep)
}

// outcome turns the end of a run into its last report.
func (a *Agent) outcome(r *run, result domain.JSON, err error) ports.Report {
	if err == nil {
		if err = checkResult(result); err == nil {
			return ports.Report{Event: domain.EventComplete, Result: result, Percent: nil}
		}
	} else if r.ctx.Err() != nil {
		switch cause := context.Cause(r.ctx); {
		case errors.Is(cause, ports.ErrPaused):
			return ports.Report{Event: domain.EventPaused}
		case errors.Is(cause, ports.ErrPreempted):
			stay := domain.PreemptionDelay.Milliseconds()
			return ports.Report{Event: domain.EventRelease, Reason: r.preemptedFor, RetryAfterMS: &stay}
		case errors.Is(cause, ports.ErrDraining), errors.Is(cause, context.Canceled):
			return ports.Report{Event: domain.EventRelease, Reason: "worker drained"}
		case errors.Is(cause, ports.ErrTimeout):
			limit := time.Duration(r.assignment.TimeoutMS) * time.Millisecond
			err = &ports.RunError{Type: domain.FailureTimeout, Err: fmt.Errorf("timed out after %s", limit)}
		}
	}
	return failure(err)
}

func failure(err error) ports.Report {
	f := &domain.Failure{Type: "error", Message: err.Error()}
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
	f.Type, f.Message = cut(f.Type, 100), cut(f.Message, domain.MaxFailureMessage)
	return rep
}

func checkResult(result domain.JSON) error {
	switch {
	case len(result) > maxResult:
		return &ports.RunError{
			Type: "result_too_large", Permanent: true,
			Err: fmt.Errorf("the result has %d bytes, at most %d are kept", len(result), maxResult),
		}
	case result != "" && !json.Valid([]byte(result)):
		return &ports.RunError{Type: "invalid_result", Permanent: true, Err: errors.New("the result is not JSON")}
	}
	return nil
}
