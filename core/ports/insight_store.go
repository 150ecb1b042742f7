package ports

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// InsightStore is what people ask about the queue of the same storage as QueueStore. Nothing is
// decided by it. Safe for concurrent use.
type InsightStore interface {
	// Ahead counts, for each cutoff in its place, the eligible workloads (see QueueStore.Heads) of
	// its lane that began to wait before it (ties by id), at most most of them. A lane that has
	// none counts 0.
	Ahead(ctx context.Context, cutoffs []Cutoff, most int) ([]int, error)

	// SaveThroughput replaces the throughput that is kept.
	SaveThroughput(ctx context.Context, p domain.Throughput) error

	// Throughput returns the throughput that was saved last; zero when none was. Its time has
	// microseconds.
	Throughput(ctx context.Context) (domain.Throughput, error)
}

// Cutoff is a place in a lane.
type Cutoff struct {
	Lane domain.LaneID
	// Before is a candidate's place; a zero time: behind all.
	Before domain.Candidate
}
