package ports

import (
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Clock returns the time of the process. Its readings have a monotonic part, so that the difference
// of two readings is right even if the wall clock jumps.
type Clock interface {
	Now() time.Time
}

// IDs generates identifiers and randomness.
type IDs interface {
	// New returns prefix and a new UUIDv7 (see domain.EncodeID). The ids of one process grow.
	New(prefix string) string
	// Random fills b with bytes that are random enough for secrets.
	Random(b []byte)
	// Float64 returns a uniform number in [0,1), for jitter.
	Float64() float64
}

// Observer receives events for metrics. Its methods must not block, because hot paths call them.
type Observer interface {
	// Submitted receives the results of submissions of one customer, its tier, and how long it took
	// to store them.
	Submitted(tier domain.Tier, results []SubmitResult, took time.Duration)
	// Transitioned receives each transition with its result, and how long it took to store them.
	Transitioned(batch domain.Batch, results []domain.Result, took time.Duration)
	// Checkpointed receives each attempt to save a checkpoint.
	Checkpointed(c CheckpointAttempt)
	// Cycle receives a description of each scheduling cycle.
	Cycle(c SchedulingCycle)
	// Leader receives whether this process leads, and its epoch.
	Leader(leading bool, epoch int64)
	// Count adds to a named counter of rare events ("bus_message_bad", "worker_expired", …).
	Count(name string, n int)
	// Purged hears how many of what was kept for its time were removed.
	Purged(what domain.Kept, n int)
}

// CheckpointAttempt is an attempt of a run to save a checkpoint.
type CheckpointAttempt struct {
	// Size is that of the data as the run gave it, in bytes.
	Size int
	// Took is how long it took to store it.
	Took time.Duration
	// Result is the answer of the store. It is zero if there is none: Err says why.
	Result domain.Result
	Err    error
}

// SchedulingCycle describes one scheduling cycle.
type SchedulingCycle struct {
	Read, Plan, Apply time.Duration
	Placed, Refused   int
	// Placements describe the workloads that were placed.
	Placements []Placement
	// Workers counts the workers by status. Slots are the slots of the healthy workers.
	Workers          map[domain.WorkerStatus]int
	Slots, FreeSlots int
	// EndingRuns is the number of ended runs that still take their slots; see domain.Ending.
	EndingRuns int
	// Resources is what is allocated and free on the healthy workers when the cycle begins.
	Resources []domain.ResourceUsage
	// Queue describes the queue. It is nil if the cycle did not read the queue because no slot was
	// free.
	Queue *QueueView
	// Preempted is the number of workloads that were asked to make room.
	Preempted int
}

// Placement describes one workload that was placed.
type Placement struct {
	Tier domain.Tier
	// Waited is how long the workload had waited. First reports whether this was its first
	// placement.
	Waited time.Duration
	First  bool
	// Preferred reports whether the workload prefers some workers, Matched whether it got one of
	// them.
	Preferred, Matched bool
}

// QueueView describes the queue as a cycle saw it.
type QueueView struct {
	// Lanes counts the lanes considered, Aside the lanes set aside because no worker admits them,
	// and Cut the lanes beyond the limit of their customers.
	Lanes, Aside, Cut int
	// OldestWait is the longest wait of an eligible workload.
	OldestWait time.Duration
	// PassedOver counts the lanes that could not be served, by obstacle.
	PassedOver map[domain.Obstacle]int
}
