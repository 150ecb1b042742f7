package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// maxWait bounds ?wait=.
const maxWait = 60 * time.Second

// SubmitWorkload implements POST /v1/workloads.
func (a *api) SubmitWorkload(ctx context.Context, req gen.SubmitWorkloadRequestObject) (gen.SubmitWorkloadResponseObject, error) {
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
func (a *api) SubmitWorkloads(ctx context.Context, req gen.SubmitWorkloadsRequestObject) (gen.SubmitWorkloadsResponseObject, error) {
	s := scopeOf(ctx)
	outcomes := make([]lifecycle.SubmitOutcome, len(req.Body.Workloads))
	var subs []lifecycle.SubmitRequest
	var places []int
	for i := range req.Body.Workloads {
		if outcomes[i].Err = s.refused[i]; outcomes[i].Err == nil {
			subs, places = append(subs, submission(&req.Body.Workloads[i])), append(places, i)
		}
	}
	stored, err := a.Lifecycle.SubmitBatch(ctx, s.principal, subs)
	if err != nil {
		return nil, err
	}
	var waiting []*domain.Workload
	for i, place := range places {
		if outcomes[place] = stored[i]; stored[i].Err == nil {
			waiting = append(waiting, &stored[i].Workload)
		}
	}
	reason := a.unoffered(ctx, waiting...)
	return gen.SubmitWorkloads200JSONResponse{Results: mapSlice(outcomes, func(o *lifecycle.SubmitOutcome) gen.BatchResult {
		r := batchResult(o)
		if o.Err == nil {
			r.StatusReason = reason(&o.Workload)
		}
		return r
	})}, nil
}

func batchResult(o *lifecycle.SubmitOutcome) gen.BatchResult {
	var out gen.BatchResult
	var e *domain.Error
	switch {
	case o.Err == nil:
		st, wid := gen.Status(o.Workload.Status), string(o.Workload.ID)
		out.Status, out.WorkloadID = &st, &wid
		return out
	case !errors.As(o.Err, &e):
		e = domain.NewError(domain.CodeInternal, "internal error")
	}
	out.Error = &struct {
		Code    string         `json:"code"`
		Details map[string]any `json:"details"`
		Message string         `json:"message"`
	}{string(e.Code), emptyIfNil(e.Details), e.Message}
	return out
}

func submission(in *gen.Submission) lifecycle.SubmitRequest {
	req := lifecycle.SubmitRequest{
		Type: in.WorkloadType, Input: domain.JSON(compact(in.InputParams)), Labels: deref(in.Labels),
		Priority: in.Priority, Affinity: affinityIn(in.AffinityRules), RunAt: deref(in.RunAt).Time,
	}
	if in.TimeoutSeconds != nil {
		d := time.Duration(*in.TimeoutSeconds) * time.Second
		req.Timeout = &d
	}
	req.MaxRetries = in.MaxRetries
	return req
}

func compact(j json.RawMessage) []byte {
	var buf bytes.Buffer
	if json.Compact(&buf, j) != nil {
		return j // was validated before; the core refuses it otherwise
	}
	return buf.Bytes()
}

// GetWorkload implements GET /v1/workloads/{id}.
func (a *api) GetWorkload(ctx context.Context, req gen.GetWorkloadRequestObject) (gen.GetWorkloadResponseObject, error) {
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
	return gen.GetWorkload200JSONResponse(workloadOut(&w, p.Role)), nil
}

func workloadID(s string) domain.WorkloadID { return domain.WorkloadID(id(s, domain.PrefixWorkload)) }

// parseWait reads "30s" or whole seconds.
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

// position is what a cursor of the workload list holds.
type position struct {
	Time     time.Time `json:"t,omitzero"`
	Priority int       `json:"p,omitempty"`
	ID       string    `json:"i"`
}

// ListWorkloads implements GET /v1/workloads.
func (a *api) ListWorkloads(ctx context.Context, req gen.ListWorkloadsRequestObject) (gen.ListWorkloadsResponseObject, error) {
	p := scopeOf(ctx).principal
	q, bound, err := workloadQuery(p.CustomerID, &req.Params)
	if err != nil {
		return nil, err
	}
	if c := deref(req.Params.Cursor); c != "" {
		if req.Params.Offset != nil {
			return nil, domain.Invalid("offset", "cannot be combined with a cursor")
		}
		var pos position
		if err := a.cursors.decode(c, &pos, bound); err != nil {
			return nil, err
		}
		q.After = &ports.Cursor{Time: pos.Time, Priority: pos.Priority, ID: domain.WorkloadID(pos.ID)}
	}
	page, err := a.Lifecycle.List(ctx, q)
	if err != nil {
		return nil, err
	}
	out := gen.WorkloadList{Items: make([]gen.Workload, len(page.Items))}
	for i := range page.Items {
		out.Items[i] = workloadOut(&page.Items[i], p.Role)
	}
	out.Pagination = gen.Pagination{Limit: q.Limit, HasMore: page.HasMore}
	if q.WithTotal {
		out.Pagination.Offset, out.Pagination.Total = &q.Offset, &page.Total
	}
	if page.HasMore {
		next, err := a.cursors.encode(positionOf(&page.Items[len(page.Items)-1], q.OrderBy), bound)
		if err != nil {
			return nil, err
		}
		out.Pagination.NextCursor = &next
	}
	return gen.ListWorkloads200JSONResponse(out), nil
}

func positionOf(w *domain.Workload, by ports.OrderBy) position {
	pos := position{ID: string(w.ID)}
	switch by {
	case ports.OrderPriority:
		pos.Priority = w.Priority
	case ports.OrderUpdatedAt:
		pos.Time = w.UpdatedAt
	default:
		pos.Time = w.CreatedAt
	}
	return pos
}

const defaultPage = 50

// workloadQuery translates the parameters; bound is what a cursor is bound to.
func workloadQuery(customer domain.CustomerID, in *gen.ListWorkloadsParams) (q ports.WorkloadQuery, bound string, err error) {
	q = ports.WorkloadQuery{
		Customer: customer, Type: deref(in.WorkloadType),
		CreatedAfter: deref(in.CreatedAfter).Time, CreatedBefore: deref(in.CreatedBefore).Time,
		OrderBy: ports.OrderCreatedAt, Limit: defaultPage,
	}
	for _, s := range deref(in.Status) {
		q.Statuses = append(q.Statuses, domain.Status(s))
	}
	for _, l := range deref(in.Label) {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return q, "", domain.Invalid("label", "must look like key=value")
		}
		if q.Labels == nil {
			q.Labels = map[string]string{}
		}
		q.Labels[k] = v
	}
	if in.OrderBy != nil {
		q.OrderBy = ports.OrderBy(*in.OrderBy)
	}
	q.Ascending = in.Order != nil && *in.Order == gen.Asc
	if in.Limit != nil {
		q.Limit = *in.Limit
	}
	filter := q
	filter.Limit = 0
	b, err := json.Marshal(filter)
	if err != nil {
		return q, "", err
	}
	if in.Offset != nil {
		q.Offset, q.WithTotal = *in.Offset, true
	}
	return q, string(b), nil
}
