package statistics

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	// durationsPeriod is how far back finished workloads tell how long those of their type run: what
	// runs every night is known the night after.
	durationsPeriod = 24 * time.Hour
	// durationsFor is how long the durations are cached. Means of a day change slowly.
	durationsFor = time.Minute
)

// durations are the mean durations that were read last.
type durations struct {
	mu     sync.Mutex
	at     time.Time
	byType map[string]time.Duration
}

// Durations returns how long workloads of each type ran on average, of all customers, among those
// that completed or failed within the last day. They may be a minute old.
func (s *Service) Durations(ctx context.Context) (map[string]time.Duration, error) {
	now := s.deps.Clock.Now()
	if byType := s.durations.read(now); byType != nil {
		return byType, nil
	}
	hour := domain.HourOf(now)
	groups, err := s.deps.Statistics.Statistics(ctx, domain.StatisticsQuery{
		Whose: domain.Whose{Everyone: true},
		From:  hour.Add(-durationsPeriod), Until: hour.Add(time.Hour), GroupBy: domain.GroupByType,
	})
	if err != nil {
		return nil, err
	}
	byType := make(map[string]time.Duration, len(groups))
	for i := range groups {
		g := &groups[i]
		// Those that were cancelled before they ran would make the mean too short.
		if n := g.Completed + g.Failed; n > 0 {
			byType[g.Type] = g.Executed / time.Duration(n)
		}
	}
	s.durations.keep(now, byType)
	return maps.Clone(byType), nil
}

// read returns a copy of the durations, or nil if they are too old.
func (d *durations) read(now time.Time) map[string]time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.at) >= durationsFor {
		return nil
	}
	return maps.Clone(d.byType)
}

func (d *durations) keep(now time.Time, byType map[string]time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at, d.byType = now, byType
}
