package http

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// SubmitWorkload implements POST /v1/workloads.
func (a *api) SubmitWorkload(
	ctx context.Context, req gen.SubmitWorkloadRequestObject,
) (gen.SubmitWorkloadResponseObject, error) {
	sub := submission(req.Body)
	sub.IdempotencyKey = deref(req.Params.IdempotencyKey)
	w, err := a.Lifecycle.Submit(ctx, scopeOf(ctx).principal, sub)
	if err != nil {
		return nil, err
	}
	start, confidence := a.estimatedStart(ctx, &w)
	return gen.SubmitWorkload202JSONResponse{
		StatusReason: a.unoffered(ctx, &w)(&w),
		WorkloadID:   string(w.ID), Status: gen.Status(w.Status), CreatedAt: at(w.CreatedAt),
		EstimatedStartTime: start, EstimateConfidence: confidence,
	}, nil
}

// SubmitWorkloads implements POST /v1/workloads/batch.
func (a *api) SubmitWorkloads(
	ctx context.Context, req gen.SubmitWorkloadsRequestObject,
) (gen.SubmitWorkloadsResponseObject, error) {
	s, key := scopeOf(ctx), deref(req.Params.IdempotencyKey)
	answer, err := once(ctx, a, key, func() (gen.SubmitWorkloads200JSONResponse, error) {
		outcomes := make([]lifecycle.SubmitOutcome, len(req.Body.Workloads))
		var subs []lifecycle.SubmitRequest
		var places []int
		for i := range req.Body.Workloads {
			if outcomes[i].Err = s.refused[i]; outcomes[i].Err == nil {
				subs, places = append(subs, batchSubmission(&req.Body.Workloads[i], key, i)), append(places, i)
			}
		}
		return a.submitBatch(ctx, outcomes, subs, places)
	})
	return answer, err
}

// submitBatch submits what stands at these places of a batch, whose other outcomes are known.
func (a *api) submitBatch(
	ctx context.Context, outcomes []lifecycle.SubmitOutcome, subs []lifecycle.SubmitRequest, places []int,
) (gen.SubmitWorkloads200JSONResponse, error) {
	stored, err := a.Lifecycle.SubmitBatch(ctx, scopeOf(ctx).principal, subs)
	if err != nil {
		return gen.SubmitWorkloads200JSONResponse{}, err
	}
	var waiting []*domain.Workload
	for i, place := range places {
		if outcomes[place] = stored[i]; stored[i].Err == nil {
			waiting = append(waiting, &stored[i].Workload)
		}
	}
	reason := a.unoffered(ctx, waiting...)
	results := mapSlice(outcomes, func(o *lifecycle.SubmitOutcome) gen.BatchResult {
		r := batchResult(o)
		if o.Err == nil {
			r.StatusReason = reason(&o.Workload)
		}
		return r
	})
	return gen.SubmitWorkloads200JSONResponse{Results: results}, nil
}

// batchSubmission returns the submission that an item of a batch asks for. If the batch has an
// idempotency key, an item without one gets its own, so that the batch can be repeated.
func batchSubmission(in *gen.BatchSubmission, key string, place int) lifecycle.SubmitRequest {
	req := submission(&gen.Submission{
		WorkloadType: in.WorkloadType, InputParams: in.InputParams, Priority: in.Priority, AffinityRules: in.AffinityRules,
		TimeoutSeconds: in.TimeoutSeconds, MaxRetries: in.MaxRetries, Labels: in.Labels, RunAt: in.RunAt,
		Resources: in.Resources,
	})
	switch req.IdempotencyKey = deref(in.IdempotencyKey); {
	case req.IdempotencyKey != "" || key == "":
	default:
		req.IdempotencyKey = domain.RequestID(key, "batch item", strconv.Itoa(place))
	}
	return req
}

func batchResult(o *lifecycle.SubmitOutcome) gen.BatchResult {
	if o.Err != nil {
		return gen.BatchResult{Error: itemError(o.Err)}
	}
	st, wid := gen.Status(o.Workload.Status), string(o.Workload.ID)
	return gen.BatchResult{Status: &st, WorkloadID: &wid}
}

// itemError returns the error of one item of a batch, or nil if there is none.
func itemError(err error) *gen.ItemError {
	if err == nil {
		return nil
	}
	var e *domain.Error
	if !errors.As(err, &e) || e.Code == domain.CodeInternal {
		e = domain.NewError(domain.CodeInternal, "internal error")
	}
	e = withRetryAfter(e)
	return &gen.ItemError{Code: e.Code, Message: e.Message, Details: emptyIfNil(e.Details)}
}

func submission(in *gen.Submission) lifecycle.SubmitRequest {
	req := lifecycle.SubmitRequest{
		Type: in.WorkloadType, Input: domain.JSON(in.InputParams), Labels: deref(in.Labels),
		Priority: in.Priority, Affinity: affinityIn(in.AffinityRules), RunAt: deref(in.RunAt).Time,
		Resources: in.Resources,
	}
	if in.TimeoutSeconds != nil {
		d := time.Duration(*in.TimeoutSeconds) * time.Second
		req.Timeout = &d
	}
	req.MaxRetries = in.MaxRetries
	return req
}

func affinityIn(a *gen.AffinityRules) domain.Affinity {
	if a == nil {
		return domain.Affinity{}
	}
	return domain.Affinity{Hard: termsIn(a.HardAffinity), Soft: termsIn(a.SoftAffinity), Anti: termsIn(a.AntiAffinity)}
}

func termsIn(t *gen.AffinityTerms) domain.AffinityTerms {
	if t == nil {
		return domain.AffinityTerms{}
	}
	return domain.AffinityTerms{
		WorkerID: domain.WorkerID(deref(t.WorkerID)), WorkerTags: deref(t.WorkerTags), WorkloadTypes: deref(t.WorkloadTypes),
	}
}

// unoffered looks up which types and programs of the waiting workloads no live worker offers. It
// returns a function that says so for one of them, in words. That function returns nil if nothing
// is missing or the lookup failed.
func (a *api) unoffered(ctx context.Context, ws ...*domain.Workload) func(*domain.Workload) *string {
	var needed []string
	for _, w := range ws {
		if w.Status.Waiting() {
			needed = append(needed, capabilities(w)...)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, estimateTimeout)
	defer cancel()
	missing, err := a.Lifecycle.Unoffered(ctx, needed...)
	if err != nil {
		missing = nil // the submission stands; explain tells
	}
	return func(w *domain.Workload) *string {
		for _, c := range capabilities(w) {
			if missing[c] {
				return new(placement.NotOffered(c).Message)
			}
		}
		return nil
	}
}

// capabilities returns what a workload needs of its worker: its type and, for the type that runs
// programs, its program.
func capabilities(w *domain.Workload) []string {
	out := []string{w.Type}
	if program := domain.NeededCapability(w.Type, w.Input); program != "" {
		out = append(out, program)
	}
	return out
}

// estimateTimeout bounds how long the answer to a submission waits for its estimate. The submission
// is stored by then.
const estimateTimeout = time.Second

// estimatedStart estimates when a workload that was just submitted may start. It returns run_at if
// there is nothing to estimate from, and nil if that is not set either.
func (a *api) estimatedStart(ctx context.Context, w *domain.Workload) (*gen.Time, *gen.Confidence) {
	if !w.Status.Waiting() { // it was submitted before
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, estimateTimeout)
	defer cancel()
	start, confidence := a.Insight.Estimate(ctx, w)
	if start.IsZero() && w.RunAt.After(w.CreatedAt) {
		start = w.RunAt
	}
	return optTime(start), opt(gen.Confidence(confidence))
}
