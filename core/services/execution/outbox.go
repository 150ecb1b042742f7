package execution

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// outgoing is a report to send. run is nil if its answer does not matter, as for a declined
// assignment or a stopped run.
type outgoing struct {
	run    *run
	report ports.Report
	// dropped is the number of dropped lines that the first line of the report names. It is 0 if
	// the first line is one of the run's own.
	dropped int
	// ofOutcome marks lines of an outcome that was too large for one report. They are sent before
	// the outcome.
	ofOutcome bool
}

// flight is one call that carries reports. While it is under way, no other reports of its runs are
// sent the same way, so that the reports of a run commit in order whatever happens to the call.
// Reports of other runs may be sent at the same time.
type flight struct {
	ref    ports.SessionRef
	batch  []outgoing
	landed chan struct{} // closed when each report in it is settled or put back
}

const (
	// reportBatch and batchBytes bound the reports of one call. A single report may be larger.
	reportBatch = 1000
	batchBytes  = 512 << 10
	// outboxLimit bounds the outbox for declines. Each run adds only a few reports, which always
	// fit. Beyond the limit declines are left out: the coordinator takes back assignments that did
	// not start in time.
	outboxLimit = 20_000
)

// postLocked adds a run's report to the outbox. The agent's mu is held.
func (a *Agent) postLocked(r *run, rep ports.Report) {
	rep.ID = a.deps.IDs.New("")
	rep.WorkloadID, rep.Generation = r.key.WorkloadID, r.key.Generation
	a.outbox = append(a.outbox, outgoing{run: r, report: rep})
	a.nudge()
}

func (a *Agent) dropReportsLocked(r *run) {
	a.outbox = slices.DeleteFunc(a.outbox, func(o outgoing) bool { return o.run == r })
}

// Flush sends all reports, then all log lines, and applies the answers. It returns nil when
// everything posted before the call is answered or under way in another call. With an error, the
// unanswered reports stay for the next call.
func (a *Agent) Flush(ctx context.Context) error {
	for {
		sent, err := a.sendReports(ctx)
		if err == nil && !sent {
			sent, err = a.sendLines(ctx)
		}
		if err != nil || !sent {
			return err
		}
	}
}

// sendReports sends one batch of reports. sent reports whether there were any. Reports posted
// meanwhile gather for the next batch: a busy worker sends hundreds in one call, an idle one sends
// at once.
func (a *Agent) sendReports(ctx context.Context) (sent bool, err error) {
	return a.fly(ctx, a.takeReportsLocked)
}

// sendLines sends one batch of log lines. sent reports whether there were any.
func (a *Agent) sendLines(ctx context.Context) (sent bool, err error) {
	return a.fly(ctx, a.takeLinesLocked)
}

// fly sends the reports that take moves into a flight.
func (a *Agent) fly(ctx context.Context, take func(f *flight, now time.Time)) (sent bool, err error) {
	a.CheckLease()
	f := &flight{landed: make(chan struct{})}
	a.mu.Lock()
	live := a.live
	if live {
		f.ref = ports.SessionRef{WorkerID: a.cfg.WorkerID, SessionID: a.session}
		take(f, a.deps.Clock.Now())
		a.flights[f] = struct{}{}
	}
	a.mu.Unlock()
	if !live {
		return false, errNoSession
	}
	defer a.land(f)
	if len(f.batch) == 0 {
		return false, nil
	}
	unanswered, err := a.send(ctx, f.ref, f.batch)
	a.putBack(f.ref, unanswered)
	return true, err
}

// land ends a flight, so that later reports of its runs may be sent.
func (a *Agent) land(f *flight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range f.batch {
		if r := o.run; r != nil {
			if r.sending == f {
				r.sending = nil
			}
			if r.sendingLines == f {
				r.sendingLines = nil
				if r.state == ports.RunReporting {
					a.nudge() // the outcome may have waited for these lines
				}
			}
		}
	}
	delete(a.flights, f)
	close(f.landed)
}

// takeReportsLocked moves a batch of reports into f. A report that may not be sent yet stays, and
// so do the later reports of the same run. The agent's mu is held.
func (a *Agent) takeReportsLocked(f *flight, now time.Time) {
	a.collectProgressLocked(now)
	var rest []outgoing
	size := 0
	for i, o := range a.outbox {
		if len(f.batch) >= reportBatch || size > batchBytes {
			rest = append(rest, a.outbox[i:]...)
			break
		}
		if r := o.run; r != nil {
			if r.sending != nil && r.sending != f || ends(o.report.Event) && !r.lastLinesLocked(&o, now) {
				rest = append(rest, o)
				continue
			}
			r.sending = f
		}
		f.batch = append(f.batch, o)
		size += len(o.report.Result) + linesSize(o.report.Lines)
	}
	a.outbox = rest
}

// beginning counts runs that begin.
type beginning struct {
	coming  int // commands that are not executed yet
	started int // runs whose start is not sent
	ended   int // those of them that have ended
}

func (a *Agent) beginning() beginning {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := beginning{coming: int(a.coming.Load())}
	for i := range a.outbox {
		if o := &a.outbox[i]; o.report.Event == domain.EventStart {
			b.started++
			if o.run.state == ports.RunReporting {
				b.ended++
			}
		}
	}
	return b
}

// collectProgressLocked posts the progress of runs, once per progressInterval for each run. The
// agent's mu is held.
func (a *Agent) collectProgressLocked(now time.Time) {
	var later []*run
	for _, r := range a.moved {
		r.isMoved = false
		if r.abandoned || r.state == ports.RunReporting || r.progress == nil {
			continue
		}
		if r.sending != nil || now.Sub(r.progressAt) < progressInterval {
			r.isMoved = true
			later = append(later, r)
			continue
		}
		a.postLocked(r, *r.progress)
		r.progress, r.progressAt = nil, now
	}
	a.moved = later
}

// send delivers a batch and applies the answers. If it returns an error, it also returns the
// unanswered reports.
func (a *Agent) send(ctx context.Context, ref ports.SessionRef, batch []outgoing) (unanswered []outgoing, err error) {
	reports := make([]ports.Report, len(batch))
	for i := range batch {
		reports[i] = batch[i].report
	}
	answers, err := a.deps.Plane.Report(ports.WithOrigin(ctx, originOf(batch)), ref, reports)
	switch {
	case err == nil && len(answers) == len(batch):
		for i := range batch {
			a.settle(batch[i], answers[i])
		}
		return nil, nil
	case err == nil:
		err = domain.NewError(domain.CodeInternal, "%d reports got %d answers", len(batch), len(answers))
	case a.sessionError(ref, err):
		return nil, err
	case refusedForGood(err):
		return a.isolate(ctx, ref, batch, err)
	}
	return batch, err
}

// originOf returns the origin of the first run in a batch. A call has one, though it may report on
// several runs.
func originOf(batch []outgoing) domain.Origin {
	for i := range batch {
		if r := batch[i].run; r != nil {
			return r.assignment.Origin()
		}
	}
	return domain.Origin{}
}

func refusedForGood(err error) bool {
	return domain.IsCode(err, domain.CodeInvalidInput) || domain.IsCode(err, domain.CodeTooLarge)
}

// isolate sends a refused batch again in halves, so that a bad report does not delay the others. A
// single report that is too large is sent in pieces: no outcome is lost or changed because of its
// size.
func (a *Agent) isolate(ctx context.Context, ref ports.SessionRef, batch []outgoing, err error) ([]outgoing, error) {
	if len(batch) == 1 {
		if pieces := a.pieces(batch[0]); len(pieces) > 0 && domain.IsCode(err, domain.CodeTooLarge) {
			return a.send(ctx, ref, pieces)
		}
		a.refused(batch[0], err)
		return nil, nil
	}
	half := len(batch) / 2
	if unanswered, err := a.send(ctx, ref, batch[:half]); err != nil {
		return append(slices.Clip(unanswered), batch[half:]...), err
	}
	return a.send(ctx, ref, batch[half:])
}

// pieces splits a report into pieces of half its size, in order. It returns none if the report
// cannot be split.
func (a *Agent) pieces(o outgoing) []outgoing {
	const least = 4 << 10
	first, rest := o, o
	first.report.ID = a.deps.IDs.New("")
	if n := len(o.report.Lines); n > 1 {
		first.report = ports.Report{
			ID: first.report.ID, WorkloadID: o.report.WorkloadID, Generation: o.report.Generation,
			Event: domain.EventLog, Lines: o.report.Lines[:n/2],
		}
		first.ofOutcome = o.ofOutcome || ends(o.report.Event)
		rest.report.Lines, rest.dropped = o.report.Lines[n/2:], 0
		return []outgoing{first, rest}
	}
	if half := len(o.report.Result) / 2; half >= least {
		first.report.Result = domain.ShortenResult(o.report.Result, half)
		return []outgoing{first}
	}
	return nil
}

// refused drops a report that will never be accepted. If it was the run's last report, the
// coordinator notices that the run is missing and takes the workload back.
func (a *Agent) refused(o outgoing, err error) {
	a.deps.Log.Error("report refused", "workload_id", string(o.report.WorkloadID), "event", string(o.report.Event),
		"error", err)
	a.mu.Lock()
	defer a.mu.Unlock()
	if o.run != nil && ends(o.report.Event) {
		a.removeLocked(o.run)
	}
}

// putBack puts unanswered reports back where they came from, in order.
func (a *Agent) putBack(ref ports.SessionRef, batch []outgoing) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.live || a.session != ref.SessionID {
		return
	}
	kept := make([]outgoing, 0, len(batch)+len(a.outbox))
	for _, o := range slices.Backward(batch) {
		switch r := o.run; {
		case r != nil && r.abandoned:
		case r != nil && o.report.Event == domain.EventLog && !o.ofOutcome:
			r.putBackLinesLocked(o)
		case r != nil && o.report.Event == domain.EventProgress:
			if r.progress == nil { // otherwise newer progress waits
				r.progress, r.progressAt = &o.report, time.Time{}
				a.markMovedLocked(r)
			}
		default:
			kept = append(kept, o)
		}
	}
	slices.Reverse(kept)
	a.outbox = append(kept, a.outbox...)
}

// settle applies the answer to one report.
func (a *Agent) settle(o outgoing, ans ports.ReportAnswer) {
	r := o.run
	if r == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	starts := o.report.Event == domain.EventStart
	switch ans.Outcome {
	case domain.OutcomeApplied, domain.OutcomeAlready:
		switch {
		case starts && ans.Outcome == domain.OutcomeAlready && ans.Status != "" && !ans.Status.Held():
			a.abandonLocked(r, fencedBy(ans.Status)) // it was taken away after a start whose answer got lost
		case starts:
			r.acknowledged = true
			a.nudgeLines() // lines wait for the start
		}
	case domain.OutcomeFenced, domain.OutcomeNotFound:
		a.abandonLocked(r, fencedBy(ans.Status))
	case domain.OutcomeIllegal, domain.OutcomeRefused:
		r.log.Warn("report not accepted", "event", string(o.report.Event), "status", string(ans.Status), "reason",
			ans.Reason)
	}
	if ends(o.report.Event) {
		a.removeLocked(r)
	}
}

// fencedBy returns why a run that the coordinator does not want ends.
func fencedBy(s domain.Status) error {
	if s == domain.StatusCancelled {
		return ports.ErrCancelled
	}
	return ports.ErrFenced
}

func ends(e domain.Event) bool {
	rule, ok := domain.RuleFor(e)
	return ok && rule.Ends
}

// announced waits until the store knows that the run has started.
func (a *Agent) announced(r *run) error {
	next := func() (context.Context, error) { return r.ctx, context.Cause(r.ctx) }
	err := a.persist(r, "start", next, func(ctx context.Context, ref ports.SessionRef) error {
		if ref.SessionID != r.session {
			return ports.ErrLeaseLost
		}
		return a.announce(ctx, r)
	})
	if err == nil {
		err = context.Cause(r.ctx) // the answer may have stopped it
	}
	return err
}

// announce makes sure that the start of a run is reported and answered.
func (a *Agent) announce(ctx context.Context, r *run) error {
	for {
		a.mu.Lock()
		done, f := r.acknowledged || r.abandoned, r.sending
		a.mu.Unlock()
		switch {
		case done:
			return nil
		case f != nil:
			select {
			case <-f.landed:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		default:
			if sent, err := a.sendReports(ctx); err != nil || !sent {
				return err
			}
		}
	}
}
