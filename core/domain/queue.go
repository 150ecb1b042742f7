package domain

import "time"

// Policy orders the queue.
type Policy string

// The policies.
const (
	// PolicyFIFO orders by how long a workload has waited.
	PolicyFIFO Policy = "fifo"
	// PolicyPriority orders by priority x tier weight + AgingBoost x minutes waited.
	PolicyPriority Policy = "priority"
	// PolicyFair shares slots between customers by tier weight (see FairShare); within a customer it orders like PolicyPriority.
	PolicyFair Policy = "fair"
)

// AgingBoost is the effective priority gained per minute of waiting.
const AgingBoost = 5

// Valid reports whether p is a policy.
func (p Policy) Valid() bool { return p == PolicyFIFO || p == PolicyPriority || p == PolicyFair }

// Advance is how much earlier than it began to wait a workload counts in the queue. Because every waiting workload ages at the same rate,
// ordering by priority with aging equals ordering by a virtual time, QueueAt - Advance: priority x weight x (60 s / boost). It is the
// same for all workloads of a lane, so that the order within a lane never changes, and a customer's new tier counts at once.
func (p Policy) Advance(priority, weight int) time.Duration {
	switch p {
	case PolicyPriority:
		return time.Duration(priority) * time.Duration(weight) * (time.Minute / AgingBoost)
	case PolicyFair: // customers are told apart by their shares
		return time.Duration(priority) * (time.Minute / AgingBoost)
	case PolicyFIFO:
	}
	return 0
}

// Obstacle is why a lane was passed over.
type Obstacle string

// The obstacles.
const (
	// ObstacleLimit: its customer runs as much as it may.
	ObstacleLimit Obstacle = "customer_limit"
	// ObstacleUnplaceable: no healthy worker could run it, however empty.
	ObstacleUnplaceable Obstacle = "unplaceable"
	// ObstacleFull: the workers that could run it have no room now, or hold what must not run beside it.
	ObstacleFull Obstacle = "full"
)

// Obstacles lists them.
func Obstacles() []Obstacle { return []Obstacle{ObstacleLimit, ObstacleUnplaceable, ObstacleFull} }
