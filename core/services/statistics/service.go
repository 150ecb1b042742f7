package statistics

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/leadership"
)

// Deps are the dependencies of the service.
type Deps struct {
	Statistics ports.StatisticsStore
	Customers  ports.CustomerStore
	Leader     *leadership.Service
	Clock      ports.Clock
}

// Service reads and folds the counts. It is safe for concurrent use, except Fold, which only one
// loop may call.
type Service struct {
	deps      Deps
	durations durations
}

// New returns the service.
func New(deps Deps) *Service { return &Service{deps: deps} }

// Usage returns what the customer uses right now.
func (s *Service) Usage(ctx context.Context, customer domain.CustomerID) (domain.Usage, error) {
	return s.deps.Statistics.Usage(ctx, customer)
}

// Depth returns the unfinished workloads by tier and type.
func (s *Service) Depth(ctx context.Context, whose domain.Whose) (domain.QueueDepth, error) {
	depths, err := s.deps.Statistics.Depth(ctx, whose)
	return domain.SumDepths(depths), err
}

// Series returns what happened lately, step by step. CodeInvalidInput.
func (s *Service) Series(ctx context.Context, q domain.SeriesQuery) ([]domain.Point, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	now := s.deps.Clock.Now()
	recent, err := s.deps.Statistics.Recent(ctx, q.Whose, q.From(now))
	if err != nil {
		return nil, err
	}
	return recent.Series(q, now), nil
}

// Queue says of each customer that has something unfinished what waits, what is delayed and what is
// blocked.
func (s *Service) Queue(ctx context.Context) ([]domain.CustomerQueue, error) {
	b, entitlements, err := s.Backlog(ctx)
	return b.ByCustomer(entitlements), err
}

// Backlog returns what is unfinished, and what the customers that have it are entitled to.
func (s *Service) Backlog(
	ctx context.Context,
) (domain.Backlog, map[domain.CustomerID]domain.Entitlements, error) {
	b, err := s.deps.Statistics.Backlog(ctx)
	if err != nil {
		return b, nil, err
	}
	ids := make([]domain.CustomerID, 0, len(b.Customers))
	for _, c := range b.Customers {
		ids = append(ids, c.CustomerID)
	}
	customers, err := s.deps.Customers.GetMany(ctx, ids)
	entitlements := make(map[domain.CustomerID]domain.Entitlements, len(customers))
	for id, c := range customers {
		entitlements[id] = c.Entitlements()
	}
	return b, entitlements, err
}

// Waited returns how long a workload has waited that began to wait at since.
func (s *Service) Waited(since time.Time) time.Duration { return max(s.deps.Clock.Now().Sub(since), 0) }

// Statistics returns how many workloads of a customer ended in which way. CodeInvalidInput.
func (s *Service) Statistics(ctx context.Context, q domain.StatisticsQuery) ([]domain.Statistic, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	return s.deps.Statistics.Statistics(ctx, q)
}

const (
	// foldLimit bounds how many changes one transaction folds.
	foldLimit = 5_000
	// foldRounds bounds how many transactions one call of Fold makes.
	foldRounds = 20
)

// Fold folds the recorded changes into the totals. Only the leader calls it, so that coordinators
// do not conflict. more reports whether changes are left.
func (s *Service) Fold(ctx context.Context) (more bool, err error) {
	if _, leading := s.deps.Leader.Current(); !leading {
		return false, nil
	}
	for range foldRounds {
		n, err := s.deps.Statistics.Fold(ctx, foldLimit)
		if err != nil || n < foldLimit {
			return false, err
		}
	}
	return true, nil
}
