package placement

import (
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Snapshot is what a placement is computed from.
type Snapshot struct {
	Workers   []domain.Worker
	Occupancy []domain.Occupancy
	// Customers are the entitlements of those that have something waiting; who is not among them has no limit and the lowest weight.
	Customers map[domain.CustomerID]domain.Entitlements
	// Policy orders the queue; empty: PolicyPriority.
	Policy domain.Policy
	// Shares are what PolicyFair goes by; the planner charges what it places.
	Shares *FairShare
	// AntiAcross are the types whose anti rules bind the work of every customer; those of other types bind their own customer's.
	AntiAcross []string
	// Now is when the snapshot was taken.
	Now time.Time
	// Seed varies the tie-break between equal workers from batch to batch.
	Seed uint64
	// Placed counts the placements of earlier batches, so that the share of the longest waiting holds
	// across small batches too.
	Placed int
}

// Decision is one decision of the planner.
type Decision struct {
	WorkloadID domain.WorkloadID
	CustomerID domain.CustomerID
	Lane       domain.LaneID
	WorkerID   domain.WorkerID
	SessionID  domain.SessionID
	// Generation is the one the assignment creates.
	Generation int64
	// Score is the soft affinity score, 50 to 100.
	Score int
	// Preferred tells that the workload prefers some workers, Matched that the chosen one is such a worker.
	Preferred, Matched bool
	// QueueAt is when the workload began to wait.
	QueueAt time.Time
}
