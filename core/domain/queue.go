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
	// PolicyFair shares the slots between customers by tier weight (see placement.FairShare).
	// Within a customer it orders by priority + AgingBoost x minutes waited.
	PolicyFair Policy = "fair"
)

// AgingBoost is the effective priority gained per minute of waiting.
const AgingBoost = 5

// Valid reports whether p is a policy.
func (p Policy) Valid() bool { return p == PolicyFIFO || p == PolicyPriority || p == PolicyFair }

// Advance returns by how much a priority moves a workload forward in the queue. All waiting
// workloads age at the same rate. So ordering by priority with aging is the same as ordering by a
// virtual time that never changes: QueueAt - Advance, where Advance is priority x weight x (60 s /
// AgingBoost). All workloads of a lane have the same Advance. So the order within a lane never
// changes, and when the customer's tier changes, no stored workload has to be updated.
func (p Policy) Advance(priority, weight int) time.Duration {
	switch p {
	case PolicyPriority:
		return time.Duration(priority) * time.Duration(weight) * (time.Minute / AgingBoost)
	case PolicyFair: // the weight already decides between customers, through their shares
		return time.Duration(priority) * (time.Minute / AgingBoost)
	case PolicyFIFO:
	}
	return 0
}

// Obstacle is why a lane was passed over.
type Obstacle string

// The obstacles.
const (
	// ObstacleLimit: its customer runs as many workloads as it may.
	ObstacleLimit Obstacle = "customer_limit"
	// ObstacleUnplaceable: no healthy worker could run its workloads, even if it were empty.
	ObstacleUnplaceable Obstacle = "unplaceable"
	// ObstacleFull: the workers that could run its workloads have no room now, or hold workloads
	// that anti rules keep apart from them.
	ObstacleFull Obstacle = "full"
)

// Obstacles returns all obstacles.
func Obstacles() []Obstacle { return []Obstacle{ObstacleLimit, ObstacleUnplaceable, ObstacleFull} }
