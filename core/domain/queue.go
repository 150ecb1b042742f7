package domain

import "time"

// Policy orders the queue.
type Policy string

// The policies.
const (
	// PolicyFIFO orders by submission.
	PolicyFIFO Policy = "fifo"
	// PolicyPriority orders by priority x tier weight + AgingBoost x minutes waited.
	PolicyPriority Policy = "priority"
)

// AgingBoost is the effective priority gained per minute of waiting.
const AgingBoost = 5

// Valid reports whether p is a policy.
func (p Policy) Valid() bool { return p == PolicyFIFO || p == PolicyPriority }

// QueueOffset is how much earlier than its submission a workload counts in the queue. Because every waiting
// workload ages at the same rate, ordering by priority with aging equals ordering by the virtual submission
// time created_at - QueueOffset, fixed once: priority x weight x (60 s / boost).
func (p Policy) QueueOffset(priority int, tier Tier) time.Duration {
	if p != PolicyPriority {
		return 0
	}
	return time.Duration(priority) * time.Duration(tier.Weight()) * (time.Minute / AgingBoost)
}
