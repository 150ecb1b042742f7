package http

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/insight"
)

// GetWorkloadPlacement implements GET /v1/workloads/{id}/placement.
func (a *api) GetWorkloadPlacement(ctx context.Context, req gen.GetWorkloadPlacementRequestObject) (gen.GetWorkloadPlacementResponseObject, error) {
	p, err := a.Insight.Explain(ctx, scopeOf(ctx).principal.CustomerID, workloadID(req.ID))
	if err != nil {
		return nil, err
	}
	return gen.GetWorkloadPlacement200JSONResponse(placementOut(&p)), nil
}

func placementOut(p *insight.Placement) gen.Placement {
	return gen.Placement{
		WorkloadID: string(p.Workload.ID), Status: gen.Status(p.Workload.Status), WorkerID: opt(string(p.Workload.WorkerID)),
		Waiting: p.Waiting, Position: opt(p.Position), PositionIsMinimum: p.AtLeast, Placeable: p.Placeable,
		EstimatedStartTime: optTime(p.Start), Confidence: opt(gen.Confidence(p.Confidence)),
		Reasons: mapSlice(p.Reasons, func(r *domain.Reason) gen.PlacementReason {
			return gen.PlacementReason{Code: string(r.Code), Workers: opt(r.Workers), Message: r.Message}
		}),
	}
}

// unoffered says of workloads that wait for a type, or a program, that no worker offers yet, in words; it returns how to ask for
// one, which answers nil where nothing is missing or that cannot be told.
func (a *api) unoffered(ctx context.Context, ws ...*domain.Workload) func(*domain.Workload) *string {
	var needed []string
	for _, w := range ws {
		if w.Status.Waiting() {
			needed = append(needed, capabilities(w)...)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, estimateMax)
	defer cancel()
	missing, err := a.Lifecycle.Unoffered(ctx, needed...)
	if err != nil {
		missing = nil // the submission stands; explain tells
	}
	return func(w *domain.Workload) *string {
		for _, c := range capabilities(w) {
			if missing[c] {
				return new(domain.NotOffered(c).Message)
			}
		}
		return nil
	}
}

// capabilities are what a workload needs of its worker: its type, and its program if it is of the type that runs programs.
func capabilities(w *domain.Workload) []string {
	out := []string{w.Type}
	if program := domain.NeededCapability(w.Type, w.Input); program != "" {
		out = append(out, program)
	}
	return out
}

// estimateMax bounds how long the answer to a submission waits for the estimate in it. The submission stands by then.
const estimateMax = time.Second

// estimatedStart tells when a workload that was just submitted may start: run_at while there is nothing to estimate from, nil when that
// is not set either.
func (a *api) estimatedStart(ctx context.Context, w *domain.Workload) (*gen.Time, *gen.Confidence) {
	if !w.Status.Waiting() { // it was submitted before
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, estimateMax)
	defer cancel()
	start, confidence := a.Insight.Estimate(ctx, w)
	if start.IsZero() && w.RunAt.After(w.CreatedAt) {
		start = w.RunAt
	}
	return optTime(start), opt(gen.Confidence(confidence))
}
