package controlplane

import (
	"context"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/checkpointing"
)

// Report implements ports.ControlPlane.
func (s *Service) Report(
	ctx context.Context, ref ports.SessionRef, reports []ports.Report,
) ([]ports.ReportAnswer, error) {
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	if len(reports) > domain.MaxReports {
		return nil, domain.Invalid("reports", "must be at most %d", domain.MaxReports)
	}
	answers := make([]ports.ReportAnswer, len(reports))
	sound := make([]int, 0, len(reports)) // indices of the reports that go to the store
	ts := make([]domain.Transition, 0, len(reports))
	for i := range reports {
		r := reports[i].Clean()
		answers[i].ReportID = r.ID
		if answers[i].Outcome, answers[i].Reason = judge(&r); answers[i].Outcome != "" {
			s.deps.Observer.Count("report_invalid", 1)
			s.deps.Log.Warn("report not accepted", "worker_id", ref.WorkerID, "report", i,
				"outcome", answers[i].Outcome, "reason", answers[i].Reason)
			continue
		}
		sound, ts = append(sound, i), append(ts, s.transition(ref, &r))
	}
	if len(ts) == 0 {
		return answers, ctx.Err()
	}
	results, err := s.commit(ctx, ts)
	if err != nil {
		return nil, err
	}
	for k, r := range results {
		a := &answers[sound[k]]
		a.Outcome, a.Status, a.Reason = r.Outcome, r.State.Status, r.Reason
		if a.Outcome == domain.OutcomeNotFound {
			a.Reason = noWorkload
		}
	}
	return answers, nil
}

// commit applies reports in one batch. If the batch fails with CodeInternal because of one of them,
// commit applies them one by one, so that the others succeed.
func (s *Service) commit(ctx context.Context, ts []domain.Transition) ([]domain.Result, error) {
	results, err := s.reports.Do(ctx, ts...)
	if !domain.IsCode(err, domain.CodeInternal) {
		return results, err
	}
	results = make([]domain.Result, len(ts))
	for i := range ts {
		one, err := s.reports.Do(ctx, ts[i])
		switch {
		case domain.IsCode(err, domain.CodeInternal):
			s.deps.Log.Error("a report cannot be executed", "workload_id", ts[i].WorkloadID,
				"event", ts[i].Event, "error", err)
			results[i] = domain.Result{
				Outcome: domain.OutcomeRefused, WorkloadID: ts[i].WorkloadID, Reason: "it cannot be executed",
			}
		case err != nil:
			return nil, err
		default:
			results[i] = one[0]
		}
	}
	return results, nil
}

const noWorkload = "workload_id: no workload has this id"

// judge returns the outcome of a clean report that need not go to the store. The outcome is empty
// if the report must.
func judge(r *ports.Report) (domain.Outcome, string) {
	if r.Invalid != "" {
		return domain.OutcomeIllegal, r.Invalid
	}
	rule, known := domain.RuleFor(r.Event)
	if !known || rule.Source != domain.FromWorker || r.Event == domain.EventCheckpoint ||
		r.Event == domain.EventSkipCheckpoint {
		return domain.OutcomeIllegal, fmt.Sprintf("event: %q is not something a worker reports",
			domain.CleanAndCut(string(r.Event), 50))
	}
	if !domain.StorableID(r.WorkloadID) {
		return domain.OutcomeNotFound, noWorkload
	}
	if err := domain.ValidatePercent(r.Percent); err != nil && r.Event == domain.EventProgress {
		return domain.OutcomeIllegal, err.Error()
	}
	if r.Event == domain.EventLog {
		return judgeLines(r.Lines)
	}
	return "", ""
}

// judgeLines returns the outcome of a report that has lines only. The lines of a report with an
// outcome are never refused, because they must not cost the outcome; see transition.
func judgeLines(lines []ports.LogEntry) (domain.Outcome, string) {
	for i := range lines {
		if _, ok := domain.LogLevel(lines[i].Level); !ok {
			return domain.OutcomeIllegal, fmt.Sprintf("lines[%d].level: must be debug, info, warn or error", i)
		}
	}
	return "", ""
}

// transition returns the change that a clean report asks for.
func (s *Service) transition(ref ports.SessionRef, r *ports.Report) domain.Transition {
	t := domain.Transition{
		WorkloadID: r.WorkloadID, Event: r.Event, Generation: r.Generation, SessionID: ref.SessionID,
		WorkerID: ref.WorkerID,
		Actor:    domain.Actor{Kind: domain.ActorWorker, ID: string(ref.WorkerID)},
		Reason:   r.Reason, Percent: r.Percent, Message: r.Message, Result: r.Result, Failure: r.Failure,
	}
	if r.Event == domain.EventFail {
		t.Jitter = s.deps.IDs.Float64()
	}
	t.StillRunning, t.Used = r.StillRunning, r.Used
	if r.RetryAfterMS != nil && (r.Event == domain.EventFail || r.Event == domain.EventRelease) {
		d := time.Duration(min(max(*r.RetryAfterMS, 0), domain.MaxRetryAfter.Milliseconds())) * time.Millisecond
		t.RetryAfter = &d
	}
	for _, e := range r.Lines {
		if domain.ValidateTime("at", e.At) != nil { // not stated, or not a time that clients can read
			e.At = s.deps.Clock.Now().UTC().Truncate(time.Microsecond)
		}
		if _, ok := domain.LogLevel(e.Level); !ok {
			e.Level = domain.LevelInfo
		}
		t.Lines = append(t.Lines, domain.LogLine{
			At: e.At, Level: e.Level, Stream: e.Stream, Message: e.Message, Details: e.Details,
		})
	}
	return t
}

// SaveCheckpoint implements ports.ControlPlane.
func (s *Service) SaveCheckpoint(
	ctx context.Context, ref ports.SessionRef, c ports.CheckpointUpload,
) (ports.ReportAnswer, error) {
	if err := ref.Validate(); err != nil {
		return ports.ReportAnswer{}, err
	}
	if !domain.StorableID(c.WorkloadID) {
		return ports.ReportAnswer{Outcome: domain.OutcomeNotFound}, ctx.Err()
	}
	r, err := s.deps.Checkpoints.Save(ctx, ref, c)
	if err != nil {
		return ports.ReportAnswer{}, err
	}
	return ports.ReportAnswer{Outcome: r.Outcome, Status: r.State.Status, Reason: r.Reason}, nil
}

// LoadCheckpoint implements ports.ControlPlane.
func (s *Service) LoadCheckpoint(
	ctx context.Context, ref ports.SessionRef, id domain.WorkloadID, generation, sequence int64,
) (ports.CheckpointData, error) {
	if err := s.requireLive(ctx, ref); err != nil {
		return ports.CheckpointData{}, err
	}
	if !domain.StorableID(id) {
		return ports.CheckpointData{}, checkpointing.NotHeld(generation)
	}
	return s.deps.Checkpoints.Restore(ctx, ref, domain.RunID{WorkloadID: id, Generation: generation}, sequence)
}
