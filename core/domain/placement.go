package domain

import "time"

// Lane is what placement needs to know of the workloads in one lane: they differ only in their place.
type Lane struct {
	ID         LaneID
	CustomerID CustomerID
	Type       string
	Affinity   Affinity
	Resources  Resources
}

// Candidate is one waiting workload.
type Candidate struct {
	ID         WorkloadID
	Generation int64
	QueueAt    time.Time
	CreatedAt  time.Time
}

// LaneHeads are the first workloads of a lane: by QueueAt, and by CreatedAt for whoever waited longest.
// A workload may stand in both.
type LaneHeads struct {
	Lane   Lane
	Heads  []Candidate
	Oldest []Candidate
	// More tells that more are eligible behind Heads.
	More bool
}

// Occupancy counts what one session holds of one lane.
type Occupancy struct {
	SessionID SessionID
	Lane      Lane
	Count     int
}

// Snapshot is what a placement is computed from.
type Snapshot struct {
	Workers   []Worker
	Occupancy []Occupancy
	// Limits are the running limits of the customers that have something waiting.
	Limits map[CustomerID]int
	// Seed varies the tie-break between equal workers from batch to batch.
	Seed uint64
	// Picks counts the placements of earlier batches, so that the share of the longest waiting holds
	// across small batches too.
	Picks int
}

// Assignment is one decision of the planner.
type Assignment struct {
	WorkloadID WorkloadID
	CustomerID CustomerID
	Lane       LaneID
	WorkerID   WorkerID
	SessionID  SessionID
	// Generation is the one the assignment creates.
	Generation int64
	// Score is the soft affinity score, 50 to 100.
	Score int
}
