package lifecycle

import (
	"context"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
)

// RetryRequest asks to run a workload again.
type RetryRequest struct {
	Workload domain.WorkloadID
	// Restore says which of its checkpoints to continue from; nil: none.
	Restore *domain.Restore
	Reason  string
	// IdempotencyKey makes repeating safe; see ports.WorkloadStore.Submit.
	IdempotencyKey string
}

// Retry runs a FAILED or CANCELLED workload again, as a new workload that names it in RetryOf. It
// is submitted with what the original was submitted with, its config included as it was then, and
// counts as a submission in every other way. CodeNotFound, CodeInvalidState with the detail
// "status", CodeInvalidInput naming from_checkpoint when the checkpoint is not kept, and the errors
// of Submit.
func (s *Service) Retry(ctx context.Context, p domain.Principal, req RetryRequest) (domain.Workload, error) {
	outcomes, err := s.retry(ctx, p, []RetryRequest{req})
	if err != nil {
		return domain.Workload{}, err
	}
	return outcomes[0].Workload, outcomes[0].Err
}

// retry runs workloads again and answers each in its place.
func (s *Service) retry(ctx context.Context, p domain.Principal, reqs []RetryRequest) ([]SubmitOutcome, error) {
	ids := make([]domain.WorkloadID, len(reqs))
	for i := range reqs {
		ids[i] = reqs[i].Workload
	}
	found, err := s.Find(ctx, p.CustomerID, ids...)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		// Missing workloads have no owner whose settings could be read.
		return slices.Repeat([]SubmitOutcome{{Err: domain.NotFound("workload")}}, len(reqs)), nil
	}
	originals := make(map[domain.WorkloadID]*domain.Workload, len(found))
	types := make([]string, len(found))
	for i := range found {
		originals[found[i].ID], types[i] = &found[i], found[i].Type
	}
	customer, configs, err := s.settingsFor(ctx, p.CustomerID, types)
	if err != nil {
		return nil, err
	}
	return s.store(ctx, customer, len(reqs), func(i int) (domain.Submission, error) {
		w := originals[reqs[i].Workload]
		if w == nil {
			return domain.Submission{}, domain.NotFound("workload")
		}
		sub, err := w.RunAgain(domain.WorkloadID(s.deps.IDs.New(domain.PrefixWorkload)), reqs[i].Restore)
		if err != nil {
			return sub, err
		}
		sub.Actor = p.Actor()
		if reqs[i].Reason != "" {
			sub.Reason = reqs[i].Reason
		}
		if sub.IdempotencyKey = reqs[i].IdempotencyKey; sub.IdempotencyKey != "" {
			sub.Digest = domain.RetryDigest(w.ID, reqs[i].Restore)
		}
		return sub, refuse(&sub, configs[w.Type].refused)
	})
}

// errNoCheckpoint returns the error of a submission that is to continue from a checkpoint that is
// not kept.
func errNoCheckpoint(sub *domain.Submission) error {
	return domain.Invalid("from_checkpoint", "checkpoint %d of %s is not kept; use from_scratch to start without one",
		sub.Restore.Sequence, sub.RetryOf)
}
