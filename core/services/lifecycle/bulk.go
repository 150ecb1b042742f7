package lifecycle

import (
	"context"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// BulkLimit is how many workloads one bulk request concerns.
const BulkLimit = 1000

// BulkOperation is what is done to many workloads.
type BulkOperation string

// The bulk operations.
const (
	BulkCancel BulkOperation = "cancel"
	BulkPause  BulkOperation = "pause"
	BulkResume BulkOperation = "resume"
	BulkRetry  BulkOperation = "retry"
)

// bulkEvents are the events of those operations that are transitions.
var bulkEvents = map[BulkOperation]domain.Event{
	BulkCancel: domain.EventCancel, BulkPause: domain.EventRequestPause, BulkResume: domain.EventResume,
}

// from returns the states in which the operation is possible.
func (o BulkOperation) from() []domain.Status {
	if r, ok := domain.RuleFor(bulkEvents[o]); ok {
		return slices.Clone(r.From)
	}
	return domain.RunAgainFrom()
}

// BulkRequest asks for one operation on many workloads of a customer.
type BulkRequest struct {
	Operation BulkOperation
	// IDs are the workloads. Ids that stand there twice count once.
	IDs []domain.WorkloadID
	// Query, if set, selects the workloads instead: a page of those that match. Without statuses it
	// selects those in which the operation is possible.
	Query *ports.WorkloadQuery
	// DryRun says what would become of each and changes nothing.
	DryRun bool
	Reason string
	// Restore says, for BulkRetry, which checkpoint to continue from; nil: none.
	Restore *domain.Restore
	// IdempotencyKey makes repeating safe: nothing is cancelled or run again twice under one key, and
	// a Query selects the same workloads again.
	IdempotencyKey string
	// Digest is that of the request's body. A Query under a key that was used with another body is a
	// conflict.
	Digest [32]byte
}

// BulkAnswer is what became of a bulk request.
type BulkAnswer struct {
	// Matched counts the workloads that were selected, on all pages. It is set if they were selected
	// by ids and on the first page of a Query. MatchedEstimated reports whether it is an estimate.
	Matched          int
	MatchedEstimated bool
	// Outcomes has one answer for each workload of this page.
	Outcomes []BulkOutcome
	// Next continues the Query behind this page; nil: this is the last one.
	Next *ports.Cursor
}

// Applied counts the workloads that the operation was done to.
func (a *BulkAnswer) Applied() (n int) {
	for i := range a.Outcomes {
		if a.Outcomes[i].Applied {
			n++
		}
	}
	return n
}

// BulkOutcome is what became of one workload, or would become of it: Err says why nothing does.
type BulkOutcome struct {
	ID     domain.WorkloadID
	Status domain.Status
	// RetryID is the new workload of a retry.
	RetryID domain.WorkloadID
	// Applied reports whether the operation was done, now or before.
	Applied bool
	Err     error
}

// Bulk does one operation to many workloads, each on its own: what cannot be done to one does not
// keep it from being done to the others. An error is about the request as a whole: when the store
// fails after something was done, that is one for a request with a key, which is to be repeated, and
// one of the workloads left for a request without, so that what has happened is told. Pauses are
// not waited for.
func (s *Service) Bulk(ctx context.Context, p domain.Principal, req BulkRequest) (BulkAnswer, error) {
	var answer BulkAnswer
	ids, known := distinct(req.IDs), []domain.Workload(nil)
	if req.Query != nil {
		of, err := s.selected(ctx, &req)
		if err != nil {
			return answer, err
		}
		ids, known = of.IDs, of.known
		answer.Next, answer.Matched, answer.MatchedEstimated = of.Next, of.Matched, of.MatchedEstimated
	}
	var err error
	switch {
	case len(ids) == 0:
	case req.DryRun:
		answer.Outcomes, err = s.rehearse(ctx, p, &req, ids, known)
	case req.Operation == BulkRetry:
		answer.Outcomes, err = s.retryMany(ctx, p, &req, ids)
	default:
		answer.Outcomes, err = s.controlMany(ctx, p, &req, ids)
	}
	if req.Query == nil {
		for i := range answer.Outcomes {
			if !domain.IsCode(answer.Outcomes[i].Err, domain.CodeNotFound) {
				answer.Matched++
			}
		}
	}
	return answer, err
}

// distinct returns the ids without repetitions, in their order.
func distinct(ids []domain.WorkloadID) []domain.WorkloadID {
	seen := make(map[domain.WorkloadID]bool, len(ids))
	out := make([]domain.WorkloadID, 0, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

func idsOf(ws []domain.Workload) []domain.WorkloadID {
	out := make([]domain.WorkloadID, len(ws))
	for i := range ws {
		out[i] = ws[i].ID
	}
	return out
}

// transition returns the transition that the operation makes of a workload.
func (r *BulkRequest) transition(p domain.Principal, id domain.WorkloadID) domain.Transition {
	return domain.Transition{
		WorkloadID: id, CustomerID: p.CustomerID, Event: bulkEvents[r.Operation], Reason: r.Reason,
		Actor: p.Actor(),
	}
}

// controlMany applies a transition to each workload, in one transaction.
func (s *Service) controlMany(
	ctx context.Context, p domain.Principal, req *BulkRequest, ids []domain.WorkloadID,
) ([]BulkOutcome, error) {
	request := s.requestID(req.IdempotencyKey, "bulk "+string(req.Operation), req.Reason)
	ts := make([]domain.Transition, len(ids))
	for i, id := range ids {
		ts[i] = req.transition(p, id)
		ts[i].Request = request
	}
	results, err := s.deps.Applier.Each(ctx, ts)
	if err != nil {
		return nil, err
	}
	outcomes := make([]BulkOutcome, len(results))
	var missing []domain.WorkloadID
	for i := range results {
		outcomes[i] = BulkOutcome{ID: ids[i], Status: results[i].State.Status, Err: refusal(&ts[i], &results[i])}
		outcomes[i].Applied = outcomes[i].Err == nil
		if results[i].Outcome == domain.OutcomeNotFound {
			missing = append(missing, ids[i])
		}
	}
	// The others may be archived. If that cannot be read, they are answered with the error.
	archived, err := s.findBrief(ctx, p.CustomerID, missing)
	if err != nil && req.IdempotencyKey != "" {
		return nil, err
	}
	for i := range outcomes {
		o := &outcomes[i]
		if results[i].Outcome != domain.OutcomeNotFound {
			continue
		}
		if err != nil {
			o.Err = err
		}
		for j := range archived {
			if w := &archived[j]; w.ID == o.ID {
				o.Status, o.Err = w.Status, invalidState(verbs[ts[i].Event], w.Status)
			}
		}
	}
	return outcomes, nil
}

// How many workloads are read, and run again, in one transaction. Inputs may have 1 MiB each, and
// checkpoints, which are copied, 10 MiB.
const (
	readAtOnce    = 32
	restoreAtOnce = 16
)

// retryMany runs workloads again, some in each transaction.
func (s *Service) retryMany(
	ctx context.Context, p domain.Principal, req *BulkRequest, ids []domain.WorkloadID,
) ([]BulkOutcome, error) {
	size := readAtOnce
	if req.Restore != nil {
		size = restoreAtOnce
	}
	var outcomes []BulkOutcome
	var failed error
	for chunk := range slices.Chunk(ids, size) {
		reqs := make([]RetryRequest, len(chunk))
		for i, id := range chunk {
			reqs[i] = RetryRequest{Workload: id, Restore: req.Restore, Reason: req.Reason}
			if req.IdempotencyKey != "" {
				reqs[i].IdempotencyKey = domain.RequestID(req.IdempotencyKey, "bulk retry", string(id))
			}
		}
		var made []SubmitOutcome
		if failed == nil {
			made, failed = s.retry(ctx, p, reqs)
		}
		if failed != nil && (len(outcomes) == 0 || req.IdempotencyKey != "") {
			return nil, failed
		}
		for i, id := range chunk {
			o := BulkOutcome{ID: id, Err: failed}
			if failed == nil {
				w := &made[i].Workload
				o = BulkOutcome{ID: id, Status: w.Status, RetryID: w.ID, Err: made[i].Err, Applied: made[i].Err == nil}
			}
			outcomes = append(outcomes, o)
		}
	}
	return outcomes, nil
}

// rehearse says what would become of each workload. known are those that were read already.
func (s *Service) rehearse(
	ctx context.Context, p domain.Principal, req *BulkRequest, ids []domain.WorkloadID, known []domain.Workload,
) ([]BulkOutcome, error) {
	if known == nil {
		var err error
		if known, err = s.findBrief(ctx, p.CustomerID, ids); err != nil {
			return nil, err
		}
	}
	found := make(map[domain.WorkloadID]*domain.Workload, len(known))
	for i := range known {
		found[known[i].ID] = &known[i]
	}
	outcomes := make([]BulkOutcome, len(ids))
	for i, id := range ids {
		outcomes[i] = BulkOutcome{ID: id, Err: domain.NotFound("workload")}
		if w := found[id]; w != nil {
			outcomes[i].Status = w.Status
			outcomes[i].Err = s.wouldRefuse(p, req, *w)
		}
	}
	return outcomes, nil
}

// findBrief is Find without what is large, some at a time.
func (s *Service) findBrief(
	ctx context.Context, customer domain.CustomerID, ids []domain.WorkloadID,
) (all []domain.Workload, err error) {
	all, err = s.deps.Workloads.GetBrief(ctx, customer, ids...)
	if err != nil {
		return nil, err
	}
	stored := make(map[domain.WorkloadID]bool, len(all))
	for i := range all {
		stored[all[i].ID] = true
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id domain.WorkloadID) bool { return stored[id] })
	for chunk := range slices.Chunk(missing, readAtOnce) {
		archived, err := s.deps.Retention.Archived(ctx, customer, s.cfg.KeepArchive, chunk...)
		if err != nil {
			return nil, err
		}
		for i := range archived {
			all = append(all, archived[i].Brief())
		}
	}
	return all, nil
}

// wouldRefuse returns the error that the operation would be answered with for a workload.
func (s *Service) wouldRefuse(p domain.Principal, req *BulkRequest, w domain.Workload) error {
	if req.Operation == BulkRetry {
		sub, err := w.RunAgain("", req.Restore)
		if err == nil && sub.Restore != nil && !w.ArchivedAt.IsZero() && sub.Restore.Sequence > 0 {
			return errNoCheckpoint(&sub)
		}
		return err
	}
	t := req.transition(p, w.ID)
	result, _, _ := domain.Execute(&w, &t, nil, s.deps.Clock.Now())
	return refusal(&t, &result)
}
