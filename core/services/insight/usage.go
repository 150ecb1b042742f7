package insight

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// Usages returns what each of these customers uses right now. Those that use nothing may be left out.
func (s *Service) Usages(
	ctx context.Context, customers []domain.CustomerID,
) (map[domain.CustomerID]domain.Usage, error) {
	if len(customers) == 0 {
		return nil, nil
	}
	return s.deps.Insight.Usages(ctx, customers)
}

// Waits says how long the workloads of each tier had waited that were placed for the first time within
// the window that ends now. It is empty while no leader has measured any.
func (s *Service) Waits(ctx context.Context) (of map[domain.Tier]domain.Waits, window time.Duration, err error) {
	t, err := s.deps.Insight.Throughput(ctx)
	if err != nil {
		return nil, 0, err
	}
	t = fresh(t, s.deps.Clock.Now())
	return t.Waits, t.Window, nil
}

// fresh returns the throughput, or an empty one if no leader has measured it lately.
func fresh(t domain.Throughput, now time.Time) domain.Throughput {
	if now.Sub(t.At) > placement.ThroughputLifetime {
		return domain.Throughput{}
	}
	return t
}
