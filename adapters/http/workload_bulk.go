package http

import (
	"context"
	"slices"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// CancelWorkloads implements POST /v1/workloads/batch/cancel.
func (a *api) CancelWorkloads(
	ctx context.Context, req gen.CancelWorkloadsRequestObject,
) (gen.CancelWorkloadsResponseObject, error) {
	out, err := a.control(ctx, lifecycle.BulkCancel, req.Body, req.Params.IdempotencyKey)
	return gen.CancelWorkloads200JSONResponse(out), err
}

// PauseWorkloads implements POST /v1/workloads/batch/pause.
func (a *api) PauseWorkloads(
	ctx context.Context, req gen.PauseWorkloadsRequestObject,
) (gen.PauseWorkloadsResponseObject, error) {
	out, err := a.control(ctx, lifecycle.BulkPause, req.Body, req.Params.IdempotencyKey)
	return gen.PauseWorkloads200JSONResponse(out), err
}

// ResumeWorkloads implements POST /v1/workloads/batch/resume.
func (a *api) ResumeWorkloads(
	ctx context.Context, req gen.ResumeWorkloadsRequestObject,
) (gen.ResumeWorkloadsResponseObject, error) {
	out, err := a.control(ctx, lifecycle.BulkResume, req.Body, req.Params.IdempotencyKey)
	return gen.ResumeWorkloads200JSONResponse(out), err
}

// RetryWorkloads implements POST /v1/workloads/batch/retry.
func (a *api) RetryWorkloads(
	ctx context.Context, req gen.RetryWorkloadsRequestObject,
) (gen.RetryWorkloadsResponseObject, error) {
	in := req.Body
	r := lifecycle.BulkRequest{
		Operation: lifecycle.BulkRetry, DryRun: deref(in.DryRun), Reason: deref(in.Reason), Restore: new(domain.Restore),
		IdempotencyKey: deref(req.Params.IdempotencyKey),
	}
	if deref(in.FromScratch) {
		r.Restore = nil
	}
	out, err := a.bulk(ctx, r, selection{in.WorkloadIds, in.Filter, in.Cursor, in.Limit})
	return gen.RetryWorkloads200JSONResponse(out), err
}

// control does what a client asked for with a BulkControl.
func (a *api) control(
	ctx context.Context, op lifecycle.BulkOperation, in *gen.BulkControl, key *string,
) (gen.BulkAnswer, error) {
	return a.bulk(ctx, lifecycle.BulkRequest{
		Operation: op, DryRun: deref(in.DryRun), Reason: deref(in.Reason), IdempotencyKey: deref(key),
	}, selection{in.WorkloadIds, in.Filter, in.Cursor, in.Limit})
}

// selection is how a bulk request selects workloads.
type selection struct {
	ids    *[]string
	filter *gen.BulkFilter
	cursor *string
	limit  *int
}

// bulk does a bulk request, or repeats the answer to it.
func (a *api) bulk(ctx context.Context, req lifecycle.BulkRequest, sel selection) (gen.BulkAnswer, error) {
	s := scopeOf(ctx)
	req.Digest = s.digest
	switch {
	case (sel.ids == nil) == (sel.filter == nil):
		return gen.BulkAnswer{}, domain.Invalid("workload_ids", "either this or filter is required")
	case sel.filter == nil && sel.cursor != nil:
		return gen.BulkAnswer{}, domain.Invalid("cursor", "belongs to a filter")
	case sel.filter == nil && sel.limit != nil:
		return gen.BulkAnswer{}, domain.Invalid("limit", "belongs to a filter")
	}
	if sel.filter != nil {
		if err := a.selectCustomer(ctx, sel.filter); err != nil {
			return gen.BulkAnswer{}, err
		}
	}
	return once(ctx, a, req.IdempotencyKey, func() (gen.BulkAnswer, error) {
		if sel.filter != nil {
			return a.bulkFiltered(ctx, req, sel)
		}
		for i, id := range *sel.ids {
			if s.refused[i] == nil {
				req.IDs = append(req.IDs, workloadID(id))
			}
		}
		answer, err := a.bulkIDs(ctx, req)
		if err != nil {
			return gen.BulkAnswer{}, err
		}
		outcomes := make(map[domain.WorkloadID]*lifecycle.BulkOutcome, len(answer.Outcomes))
		for i := range answer.Outcomes {
			outcomes[answer.Outcomes[i].ID] = &answer.Outcomes[i]
		}
		out := bulkAnswer(&req, &answer)
		for i, id := range *sel.ids {
			r := gen.BulkResult{Error: itemError(s.refused[i])}
			if s.refused[i] == nil {
				r = bulkResult(outcomes[workloadID(id)])
				r.WorkloadID = &id
			}
			out.Results = append(out.Results, r)
		}
		out.Pagination.Limit = len(*sel.ids)
		return out, nil
	})
}

// bulkPosition is the content of a cursor of a bulk operation.
type bulkPosition struct {
	position
	Matched   int  `json:"m"` // on the first page
	Estimated bool `json:"e,omitempty"`
}

// bulkFiltered does a bulk request for a page of the workloads that a filter matches, newest first:
// workloads that are submitted meanwhile, retries included, are not among those that follow.
func (a *api) bulkFiltered(
	ctx context.Context, req lifecycle.BulkRequest, sel selection,
) (out gen.BulkAnswer, err error) {
	p := scopeOf(ctx).principal
	q, bound, err := workloadQuery(p.CustomerID, &gen.ListWorkloadsParams{
		Status: sel.filter.Status, WorkloadType: sel.filter.WorkloadType, Label: sel.filter.Label,
		CreatedAfter: sel.filter.CreatedAfter, CreatedBefore: sel.filter.CreatedBefore,
	})
	if err != nil {
		return out, renamed(err, func(field string) string { return "filter." + field })
	}
	bound = "batch " + string(req.Operation) + " " + bound
	q.Limit = limitOr(sel.limit, lifecycle.BulkLimit)
	var at bulkPosition
	if sel.cursor != nil {
		if err := a.cursors.decode(*sel.cursor, &at, bound); err != nil {
			return out, err
		}
		q.After = at.cursor()
	}
	req.Query = &q
	answer, err := a.Lifecycle.Bulk(ctx, p, req)
	if err != nil {
		return out, err
	}
	if sel.cursor == nil {
		at.Matched, at.Estimated = answer.Matched, answer.MatchedEstimated
	}
	answer.Matched, answer.MatchedEstimated = at.Matched, at.Estimated
	out = bulkAnswer(&req, &answer)
	for i := range answer.Outcomes {
		out.Results = append(out.Results, bulkResult(&answer.Outcomes[i]))
	}
	out.Pagination.Limit = q.Limit
	if answer.Next != nil {
		next, err := a.cursors.encode(bulkPosition{positionOf(answer.Next), at.Matched, at.Estimated}, bound)
		if err != nil {
			return out, err
		}
		out.Pagination.HasMore, out.Pagination.NextCursor = true, &next
	}
	return out, nil
}

func bulkAnswer(req *lifecycle.BulkRequest, answer *lifecycle.BulkAnswer) gen.BulkAnswer {
	return gen.BulkAnswer{
		Matched: answer.Matched, MatchedEstimated: answer.MatchedEstimated, Applied: answer.Applied(), DryRun: req.DryRun,
		Results: slices.Grow([]gen.BulkResult{}, len(answer.Outcomes)),
	}
}

func bulkResult(o *lifecycle.BulkOutcome) gen.BulkResult {
	return gen.BulkResult{
		WorkloadID: new(string(o.ID)), Status: opt(gen.Status(o.Status)), RetryID: opt(string(o.RetryID)),
		Error: itemError(o.Err),
	}
}

// RetryWorkload implements POST /v1/workloads/{id}/retry.
func (a *api) RetryWorkload(
	ctx context.Context, req gen.RetryWorkloadRequestObject,
) (gen.RetryWorkloadResponseObject, error) {
	r := lifecycle.RetryRequest{
		Workload: workloadID(req.ID), Restore: new(domain.Restore), IdempotencyKey: deref(req.Params.IdempotencyKey),
	}
	if in := req.Body; in != nil {
		r.Reason, r.Restore.Sequence = deref(in.Reason), deref(in.FromCheckpoint)
		if deref(in.FromScratch) {
			if in.FromCheckpoint != nil {
				return nil, domain.Invalid("from_checkpoint", "cannot be combined with from_scratch")
			}
			r.Restore = nil
		}
	}
	w, err := a.Lifecycle.Retry(ctx, scopeOf(ctx).principal, r)
	if err != nil {
		return nil, err
	}
	return gen.RetryWorkload202JSONResponse{
		WorkloadID: string(w.ID), RetryOf: string(w.RetryOf), Status: gen.Status(w.Status),
		StatusReason: a.unoffered(ctx, &w)(&w), CheckpointSequence: w.CheckpointSequence, CreatedAt: at(w.CreatedAt),
	}, nil
}
