package lifecycle

import (
	"context"
	"encoding/json"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// selection is what the query of a bulk request selects.
type selection struct {
	IDs              []domain.WorkloadID `json:"ids"`
	Next             *ports.Cursor       `json:"next,omitempty"`
	Matched          int                 `json:"matched"`
	MatchedEstimated bool                `json:"matched_estimated,omitempty"`
	// known are the workloads, if they were read just now.
	known []domain.Workload
}

// selected returns what the query of a bulk request selects. Under an idempotency key it is kept
// before anything is done: what is done takes workloads out of the query, so a repetition that
// selected anew would do it to others.
func (s *Service) selected(ctx context.Context, req *BulkRequest) (selection, error) {
	if req.IdempotencyKey == "" || req.DryRun {
		return s.selectNow(ctx, req)
	}
	var kept selection
	body, err := s.Once(ctx, req.Query.Customer, RepeatableRequest{
		Key: req.IdempotencyKey, Operation: "bulk " + string(req.Operation) + " selection", Digest: req.Digest,
	}, func() (domain.JSON, error) {
		now, err := s.selectNow(ctx, req)
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(now)
		return domain.JSON(text), err
	})
	if err == nil {
		err = json.Unmarshal([]byte(body), &kept)
	}
	return kept, err
}

func (s *Service) selectNow(ctx context.Context, req *BulkRequest) (selection, error) {
	q := *req.Query
	q.Brief, q.Fresh = true, true
	if len(q.Statuses) == 0 {
		q.Statuses = req.Operation.from()
	}
	page, err := s.deps.Workloads.List(ctx, q)
	if err != nil {
		return selection{}, err
	}
	now := selection{IDs: idsOf(page.Items), Next: page.Next, known: page.Items}
	if q.After == nil {
		matched, err := s.deps.Workloads.Count(ctx, q)
		if err != nil {
			return selection{}, err
		}
		now.Matched, now.MatchedEstimated = matched.N, matched.Estimated
	}
	return now, nil
}
