package ports

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// InsightStore answers questions about the queue. It reads the same storage as QueueStore. No
// decision depends on it. Safe for concurrent use.
type InsightStore interface {
	// Ahead counts, for each cutoff in its place, the eligible workloads (see QueueStore.Heads) of
	// its lane that began to wait before it (ties by id). A lane without such workloads counts 0.
	// If there are more than limit together, exact is false, and counts may be estimates that make
	// more than limit together. So the cost does not depend on how many wait.
	Ahead(ctx context.Context, cutoffs []Cutoff, limit int) (counts []int, exact bool, err error)

	// Usages returns what StatisticsStore.Usage does of each of these customers, all as of one moment.
	// Those that use nothing may be left out.
	Usages(ctx context.Context, customers []domain.CustomerID) (map[domain.CustomerID]domain.Usage, error)

	// SaveThroughput replaces the stored throughput.
	SaveThroughput(ctx context.Context, p domain.Throughput) error

	// Throughput returns the throughput that was saved last, or the zero value. Its time has
	// microseconds.
	Throughput(ctx context.Context) (domain.Throughput, error)
}

// Cutoff is a place in a lane.
type Cutoff struct {
	Lane domain.LaneID
	// Before is the place of a candidate. A zero time means behind all candidates.
	Before domain.Candidate
}
