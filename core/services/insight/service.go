package insight

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

// Config must have the same values as the scheduler's.
type Config struct {
	Policy     domain.Policy
	AntiAcross []string
}

// Deps are the dependencies of the service.
type Deps struct {
	Queue     ports.QueueStore
	Insight   ports.InsightStore
	Workers   ports.WorkerStore
	Workloads Finder
	Customers ports.CustomerStore
	Clock     ports.Clock
}

// Finder finds a customer's workload (lifecycle.Service). CodeNotFound.
type Finder interface {
	Get(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID) (domain.Workload, error)
}

// Service explains and estimates. Safe for concurrent use.
type Service struct {
	cfg       Config
	deps      Deps
	forecasts forecasts
}

// New returns the service.
func New(cfg Config, deps Deps) *Service { return &Service{cfg: cfg, deps: deps} }

// countLimit is how many workloads are counted to find the position of a workload.
const countLimit = 10_000

// Explanation says why a workload waits.
type Explanation struct {
	Workload domain.Workload
	// Waiting reports whether the workload waits. If it does not, the fields below are empty.
	Waiting bool
	// Position is its place in the queue. 1 is the next; 0 means that it may not be placed yet.
	Position int
	// Estimated reports that Position is an estimate. Either not all workloads before it were
	// counted, or the policy is fair: then the order between customers is decided only when slots
	// become free.
	Estimated bool
	// Start is when it may start, and Confidence how reliable that is. Start is zero if nothing is
	// known.
	Start      time.Time
	Confidence placement.Confidence
	// Waited says how long the workloads of its lane had waited that were placed for the first time
	// within Window, which ends now. It is empty if none of the lane were measured.
	Waited domain.Waits
	Window time.Duration
	// Placeable reports whether some worker could run it.
	Placeable bool
	Reasons   []placement.Reason
}

// Explain says why a customer's workload waits. CodeNotFound if the customer has no such workload.
func (s *Service) Explain(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID) (Explanation, error) {
	w, err := s.deps.Workloads.Get(ctx, customer, id)
	if err != nil {
		return Explanation{}, err
	}
	out := Explanation{Workload: w, Waiting: w.Status.Waiting()}
	if !out.Waiting {
		return out, nil
	}
	snap, err := s.snapshot(ctx, w.CustomerID)
	if err != nil {
		return Explanation{}, err
	}
	lane := domain.NewLane(&w.Spec)
	candidate := domain.Candidate{
		ID: w.ID, Generation: w.Generation, QueueAt: w.QueueAt, Declines: w.Declines, SuspectSince: w.SuspectSince,
		Timeout: w.HeadTimeout(),
	}
	out.Reasons, out.Placeable = snap.explainer.ExplainWorkload(&lane, &candidate), snap.explainer.Placeable(&lane)
	delayed := w.NotBefore.After(snap.Now)
	if delayed {
		// Who could take it now says nothing of when it may be placed.
		out.Reasons = slices.DeleteFunc(slices.Clone(out.Reasons), func(r placement.Reason) bool {
			return r.Code == placement.ReasonNext
		})
		out.Reasons = append([]placement.Reason{placement.NotYet(&w)}, out.Reasons...)
	}
	snap.include(lane, candidate)
	counts, exact, err := s.deps.Insight.Ahead(ctx, snap.cutoffs(&lane, w.QueueAt, w.ID), countLimit)
	if err != nil {
		return Explanation{}, err
	}
	ahead := snap.ahead(&lane, counts, exact)
	if !delayed {
		out.Position, out.Estimated = ahead.All+1, ahead.Estimated
	}
	measured := fresh(snap.throughput, snap.Now)
	out.Waited, out.Window = measured.Lanes[lane.ID], measured.Window
	out.Start, out.Confidence = snap.estimate(snap.Now, &lane, &w, ahead)
	return out, nil
}
