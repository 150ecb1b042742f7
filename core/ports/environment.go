package ports

import (
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Clock tells the process's time. Its readings carry a monotonic part, so that differences of two
// readings are right whatever happens to the wall clock.
type Clock interface {
	Now() time.Time
}

// IDs makes identifiers and randomness.
type IDs interface {
	// New returns prefix and a fresh UUIDv7 (see domain.EncodeID). Ids of one process grow.
	New(prefix string) string
	// Random fills b with bytes fit for secrets.
	Random(b []byte)
	// Float64 returns a uniform number in [0,1), for jitter.
	Float64() float64
}

// Observer hears what happened, for metrics. Calls must not block; they come from hot paths.
type Observer interface {
	// Submitted hears the result of each submission.
	Submitted(results []SubmitResult)
	// Transitioned hears each transition with its result.
	Transitioned(batch domain.Batch, results []domain.Result)
	// Cycle hears of one scheduling cycle.
	Cycle(c SchedulingCycle)
	// Leader hears whether this process leads, and at which epoch.
	Leader(leading bool, epoch int64)
	// Count adds to a named counter of rare events ("bus_message_bad", "worker_expired", …).
	Count(name string, n int)
}

// SchedulingCycle describes one scheduling cycle.
type SchedulingCycle struct {
	Read, Plan, Apply time.Duration
	Placed, Refused   int
	// Placements describe what was placed.
	Placements []Placement
	// Workers counts the workers; Slots are those of the healthy ones.
	Workers          map[domain.WorkerStatus]int
	Slots, FreeSlots int
	// EndingRuns is how many runs have ended and keep their slots; see domain.Ending.
	EndingRuns int
	// Queue is what the cycle saw of the queue; nil when it did not look, because no slot was free.
	Queue *QueueView
	// Preempted is how many workloads were asked to make room.
	Preempted int
}

// Placement is one workload that was placed.
type Placement struct {
	Tier domain.Tier
	// Waited is how long it had waited; First tells that it was placed for the first time.
	Waited time.Duration
	First  bool
	// Preferred and Matched tell whether it prefers some workers, and got one.
	Preferred, Matched bool
}

// QueueView is what a cycle saw of the queue.
type QueueView struct {
	// Lanes counts those considered, Aside those set aside because no worker admits them, and Cut
	// those beyond what is considered of a customer.
	Lanes, Aside, Cut int
	// OldestWait is how long the eligible workload has waited that has waited longest.
	OldestWait time.Duration
	// PassedOver counts the lanes that could not be served, by obstacle.
	PassedOver map[domain.Obstacle]int
}
