package ports

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// InsightStore is what people ask about the queue of the same storage as QueueStore. Nothing is decided by it. Safe for concurrent use.
type InsightStore interface {
	// Ahead counts, for each cutoff in its place, the eligible workloads (see QueueStore.Heads) of its lane that began to wait before it (ties
	// by id), at most most of them. A lane that has none counts 0.
	Ahead(ctx context.Context, cutoffs []Cutoff, most int) ([]int, error)

	// SavePace replaces the pace that is kept.
	SavePace(ctx context.Context, p domain.Pace) error

	// Pace returns the pace that was saved last; zero when none was. Its time has microseconds.
	Pace(ctx context.Context) (domain.Pace, error)
}

// Cutoff is a place in a lane.
type Cutoff struct {
	Lane domain.LaneID
	// Before is a candidate's place; a zero time: behind all.
	Before domain.Candidate
}
