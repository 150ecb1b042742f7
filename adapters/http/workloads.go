package http

import (
	"context"
	"errors"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// maxWait is the longest wait that a client may ask for with ?wait=.
const maxWait = 60 * time.Second

// GetWorkload implements GET /v1/workloads/{id}.
func (a *api) GetWorkload(
	ctx context.Context, req gen.GetWorkloadRequestObject,
) (gen.GetWorkloadResponseObject, error) {
	p := scopeOf(ctx).principal
	longest, err := parseWait(deref(req.Params.Wait))
	if err != nil {
		return nil, err
	}
	var w domain.Workload
	if longest > 0 {
		w, err = wait(ctx, a, func(ctx context.Context) (domain.Workload, error) {
			return a.Lifecycle.Wait(ctx, p.CustomerID, workloadID(req.ID), longest)
		})
	}
	if longest == 0 || errors.Is(err, errStopping) {
		w, err = a.Lifecycle.Get(ctx, p.CustomerID, workloadID(req.ID))
	}
	if err != nil {
		return nil, err
	}
	if err := scopeOf(ctx).place.carry(payloads([]domain.Workload{w})); err != nil {
		return nil, err
	}
	return gen.GetWorkload200JSONResponse(workloadOut(&w, p.Role)), nil
}

// parseWait parses a duration such as "30s", or a number of seconds.
func parseWait(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		d, err = time.ParseDuration(s + "s")
	}
	if err != nil || d < 0 || d > maxWait {
		return 0, domain.Invalid("wait", "must be a duration from 0s to %s, such as 30s", maxWait)
	}
	return d, nil
}

// workloadOut converts a workload. Viewers get no payloads.
func workloadOut(w *domain.Workload, role domain.Role) gen.Workload {
	out := gen.Workload{
		WorkloadID: string(w.ID), CustomerID: string(w.CustomerID), WorkloadType: w.Type,
		RetryOf: opt(string(w.RetryOf)), Status: gen.Status(w.Status), StatusReason: opt(w.Reason), Priority: w.Priority,
		Labels: emptyIfNil(w.Labels), Resources: resourcesOut(w.Run.Resources),
		AffinityRules: affinityOut(w.Affinity), Generation: w.Generation,
		WorkerID: opt(string(w.WorkerID)), LastWorkerID: opt(string(w.LastWorkerID)),
		ProgressPercent: w.ProgressPercent, ProgressMessage: opt(w.ProgressMessage),
		CheckpointSequence: w.CheckpointSequence, RetryCount: w.RetryCount, MaxRetries: w.Run.MaxRetries,
		RedistributionCount: w.RedistributionCount,
		InputParams:         raw(w.Input), ResultData: raw(w.Result),
		CreatedAt: at(w.CreatedAt), RunAt: optTime(w.RunAt), ScheduledAt: optTime(w.ScheduledAt),
		StartedAt: optTime(w.StartedAt), CompletedAt: optTime(w.FinishedAt), UpdatedAt: at(w.UpdatedAt),
		EstimatedCompletionTime: optTime(estimatedCompletion(w)), ArchivedAt: optTime(w.ArchivedAt),
	}
	if len(w.Devices) > 0 {
		out.Devices = &w.Devices
	}
	if w.Failure != nil {
		out.ErrorType, out.ErrorMessage = &w.Failure.Type, &w.Failure.Message
	}
	if role == domain.RoleViewer {
		maskWorkload(&out, w.ReasonByWorker())
	}
	return out
}

func affinityOut(a domain.Affinity) gen.AffinityRules {
	return gen.AffinityRules{
		HardAffinity: termsOut(a.Hard), SoftAffinity: termsOut(a.Soft), AntiAffinity: termsOut(a.Anti),
	}
}

func termsOut(t domain.AffinityTerms) *gen.AffinityTerms {
	if t.IsZero() {
		return nil
	}
	out := &gen.AffinityTerms{WorkerID: opt(string(t.WorkerID))}
	if len(t.WorkerTags) > 0 {
		out.WorkerTags = &t.WorkerTags
	}
	if len(t.WorkloadTypes) > 0 {
		out.WorkloadTypes = &t.WorkloadTypes
	}
	return out
}

// estimatedCompletion extrapolates from the progress of the current run. It is zero if there is
// nothing to go by.
func estimatedCompletion(w *domain.Workload) time.Time {
	took := w.UpdatedAt.Sub(w.StartedAt)
	if w.Status != domain.StatusRunning || w.ProgressPercent < 1 || w.ProgressPercent >= 100 || took <= 0 {
		return time.Time{}
	}
	return w.StartedAt.Add(time.Duration(float64(took) * 100 / w.ProgressPercent))
}
