package execution

import (
	"context"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// outgoing is a report on its way; run is nil for a declined assignment.
type outgoing struct {
	run    *run
	report ports.Report
}

// reportBatch bounds the reports of one call.
const reportBatch = 1000

// post puts a run's report into the outbox; a.mu is held.
func (a *Agent) post(r *run, rep ports.Report) {
	rep.ID = a.ids.New("")
	rep.WorkloadID, rep.Generation = r.key.id, r.key.generation
	a.outbox = append(a.outbox, outgoing{r, rep})
	a.nudge()
}

func (a *Agent) dropReports(r *run) {
	a.outbox = slices.DeleteFunc(a.outbox, func(o outgoing) bool { return o.run == r })
}

// Flush sends all reports and does what the answers say. It returns when everything that was posted before the call is
// answered, or with an error: what was not answered stays for the next call. While one batch is under way the next
// gathers, so that a busy worker sends hundreds of reports in one call and an idle one sends at once.
func (a *Agent) Flush(ctx context.Context) error {
	a.flushing.Lock()
	defer a.flushing.Unlock()
	for {
		ref, ok := a.ref()
		if !ok {
			return errNoSession
		}
		batch := a.take()
		if len(batch) == 0 {
			return nil
		}
		if err := a.send(ctx, ref, batch); err != nil {
			return err
		}
	}
}

// take removes a batch from the outbox.
func (a *Agent) take() []outgoing {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.collect(a.clock.Now())
	n := min(len(a.outbox), reportBatch)
	batch := a.outbox[:n:n]
	a.outbox = a.outbox[n:]
	return batch
}

func (a *Agent) send(ctx context.Context, ref ports.SessionRef, batch []outgoing) error {
	reports := make([]ports.Report, len(batch))
	for i := range batch {
		reports[i] = batch[i].report
	}
	answers, err := a.plane.Report(ctx, ref, reports)
	switch {
	case err == nil && len(answers) == len(batch):
		for i := range batch {
			a.settle(batch[i], answers[i])
		}
		return nil
	case err == nil:
		err = domain.NewError(domain.CodeInternal, "%d reports got %d answers", len(batch), len(answers))
	case a.sessionError(ref, err):
		return err
	case refusedForGood(err):
		return a.isolate(ctx, ref, batch, err)
	}
	a.putBack(ref, batch)
	return err
}

func refusedForGood(err error) bool {
	return domain.IsCode(err, domain.CodeInvalidInput) || domain.IsCode(err, domain.CodeTooLarge)
}

// isolate sends the reports of a refused batch one by one, so that a bad one does not hold up the others. One that is too large goes in
// smaller pieces: no outcome is lost, and none becomes another, because of its size.
func (a *Agent) isolate(ctx context.Context, ref ports.SessionRef, batch []outgoing, err error) error {
	if len(batch) == 1 {
		if pieces := a.pieces(batch[0]); len(pieces) > 0 && domain.IsCode(err, domain.CodeTooLarge) {
			return a.send(ctx, ref, pieces)
		}
		a.refused(batch[0], err)
		return nil
	}
	for i := range batch {
		if err := a.send(ctx, ref, batch[i:i+1:i+1]); err != nil {
			a.putBack(ref, batch[i+1:])
			return err
		}
	}
	return nil
}

// pieces returns a report in pieces of half its size, in order; none when it is as small as can be.
func (a *Agent) pieces(o outgoing) []outgoing {
	const least = 4 << 10
	first, rest := o, o
	first.report.ID = a.ids.New("")
	if n := len(o.report.Lines); n > 1 {
		first.report = ports.Report{
			ID: first.report.ID, WorkloadID: o.report.WorkloadID, Generation: o.report.Generation, Event: domain.EventLog, Lines: o.report.Lines[:n/2],
		}
		rest.report.Lines = o.report.Lines[n/2:]
		return []outgoing{first, rest}
	}
	if half := len(o.report.Result) / 2; half >= least {
		first.report.Result = domain.ShortenResult(o.report.Result, half)
		return []outgoing{first}
	}
	return nil
}

// refused gives up a report that will never be taken. If it was the run's last, the coordinator misses the run and takes the workload
// back.
func (a *Agent) refused(o outgoing, err error) {
	a.log.Error("report refused", "workload_id", string(o.report.WorkloadID), "event", string(o.report.Event), "error", err)
	a.mu.Lock()
	defer a.mu.Unlock()
	if o.run != nil && ends(o.report.Event) {
		a.remove(o.run)
	}
}

// putBack returns unanswered reports to the head of the outbox.
func (a *Agent) putBack(ref ports.SessionRef, batch []outgoing) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.live || a.session != ref.SessionID {
		return
	}
	kept := make([]outgoing, 0, len(batch)+len(a.outbox))
	for _, o := range batch {
		if o.run == nil || !o.run.abandoned {
			kept = append(kept, o)
		}
	}
	a.outbox = append(kept, a.outbox...)
}

// settle does what the answer to one report says.
func (a *Agent) settle(o outgoing, ans ports.ReportAnswer) {
	r := o.run
	if r == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch ans.Outcome {
	case domain.OutcomeApplied, domain.OutcomeAlready:
		if o.report.Event == domain.EventStart {
			r.acknowledged = true
		}
	case domain.OutcomeFenced, domain.OutcomeNotFound:
		cause := ports.ErrFenced
		if ans.Status == domain.StatusCancelled {
			cause = ports.ErrCancelled
		}
		a.abandon(r, cause)
	case domain.OutcomeIllegal, domain.OutcomeRefused:
		a.log.Warn("report not accepted", "workload_id", string(r.key.id), "event", string(o.report.Event),
			"status", string(ans.Status), "reason", ans.Reason)
	}
	if ends(o.report.Event) {
		a.remove(r)
	}
}

func ends(e domain.Event) bool {
	rule, ok := domain.RuleFor(e)
	return ok && rule.Ends
}
