package placement

import (
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Snapshot is everything that a plan is computed from.
type Snapshot struct {
	Workers   []domain.Worker
	Occupancy []domain.Occupancy
	// Customers has the entitlements of every customer with waiting workloads. A customer that is
	// missing has no limit and the lowest weight.
	Customers map[domain.CustomerID]domain.Entitlements
	// Policy orders the queue. Empty: PolicyPriority.
	Policy domain.Policy
	// Shares are the accounts of PolicyFair. The planner charges what it places to them.
	Shares *FairShare
	// AntiAcross are the workload types whose anti rules keep away the work of every customer. The
	// anti rules of other types keep away the work of their own customer only.
	AntiAcross []string
	// Mix is the work that customers submit. Placement keeps devices usable for it. Empty: it
	// is unknown.
	Mix []domain.MixClass
	// Now is when the snapshot was taken.
	Now time.Time
	// Seed varies the choice between equally good workers from batch to batch.
	Seed uint64
	// Placed counts the placements of earlier batches, so that LongestWaitShare holds across small
	// batches too.
	Placed int
}

// Decision places one workload on one worker.
type Decision struct {
	WorkloadID domain.WorkloadID
	CustomerID domain.CustomerID
	Lane       domain.LaneID
	WorkerID   domain.WorkerID
	SessionID  domain.SessionID
	// FoundAt is the latest domain.Occupancy.FoundAt of the session.
	FoundAt time.Time
	// Generation is the generation that the assignment creates.
	Generation int64
	// Devices are the devices of the worker that the workload gets.
	Devices []domain.DeviceShare
	// Score is the soft affinity score, 50 to 100.
	Score int
	// Preferred reports whether the workload prefers some workers, Matched whether it got one.
	Preferred, Matched bool
	// QueueAt is when the workload began to wait.
	QueueAt time.Time
}
