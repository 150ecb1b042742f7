package insight

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

// Config is what the scheduler is configured with, too.
type Config struct {
	Policy     domain.Policy
	AntiAcross []string
}

// Deps are what the service stands on.
type Deps struct {
	Queue     ports.QueueStore
	Insight   ports.InsightStore
	Workers   ports.WorkerStore
	Workloads ports.WorkloadStore
	Customers ports.CustomerStore
	Clock     ports.Clock
}

// Service is the insight service. Safe for concurrent use.
type Service struct {
	cfg    Config
	deps   Deps
	recent recent
}

// New returns the service.
func New(cfg Config, deps Deps) *Service { return &Service{cfg: cfg, deps: deps} }

// countMost bounds how many are counted in a lane before a workload whose place is asked for.
const countMost = 10_000

// Explanation says why a workload waits.
type Explanation struct {
	Workload domain.Workload
	// Waiting tells that it does; the rest is empty otherwise.
	Waiting bool
	// Position is its place in the queue, 1 for the next; 0 while it may not be placed yet. With AtLeast it is not exact: more than were
	// counted are before it, or the policy is fair, which decides between customers as slots get free.
	Position int
	AtLeast  bool
	// Start is when it may start, with how sure that is; zero when there is nothing to tell it from.
	Start      time.Time
	Confidence placement.Confidence
	// Placeable tells whether some worker there is could run it.
	Placeable bool
	Reasons   []placement.Reason
}

// Explain says why a customer's workload waits. CodeNotFound.
func (s *Service) Explain(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID) (Explanation, error) {
	found, err := s.deps.Workloads.Get(ctx, customer, id)
	if err != nil {
		return Explanation{}, err
	}
	if len(found) == 0 {
		return Explanation{}, domain.NotFound("workload")
	}
	w := found[0]
	out := Explanation{Workload: w, Waiting: w.Status.Waiting()}
	if !out.Waiting {
		return out, nil
	}
	p, err := s.look(ctx, w.CustomerID)
	if err != nil {
		return Explanation{}, err
	}
	lane := domain.NewLane(&w.Spec)
	self := domain.Candidate{ID: w.ID, Generation: w.Generation, QueueAt: w.QueueAt, Declines: w.Declines, SuspectSince: w.SuspectSince}
	out.Reasons, out.Placeable = p.explainer.ExplainWorkload(&lane, &self), p.explainer.Placeable(&lane)
	if w.NotBefore.After(p.now) {
		out.Reasons = append([]placement.Reason{placement.NotYet(&w)}, out.Reasons...)
	}
	p.include(lane, w.QueueAt)
	counts, err := s.deps.Insight.Ahead(ctx, p.cutoffs(&lane, w.QueueAt, w.ID), countMost)
	if err != nil {
		return Explanation{}, err
	}
	ahead := p.ahead(&lane, counts, countMost)
	if !w.NotBefore.After(p.now) {
		out.Position, out.AtLeast = ahead.All+1, ahead.AtLeast
	}
	out.Start, out.Confidence = p.estimate(p.now, &lane, &w, ahead)
	return out, nil
}
