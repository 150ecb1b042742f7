package domain

import (
	"strings"
	"time"
)

// Lane is what placement needs to know of the workloads in one lane: they differ only in how long they have waited.
type Lane struct {
	ID         LaneID
	CustomerID CustomerID
	Type       string
	// Affinity are the rules that placement follows; see Spec.Rules.
	Affinity  Affinity
	Resources Resources
	Priority  int
}

// shape names what workers a lane needs: lanes of one shape find the same workers, whoever's they are.
func (l *Lane) shape() string {
	_, shape, ok := strings.Cut(string(l.ID), "/")
	end := strings.LastIndexByte(shape, '@')
	if !ok || end < 0 {
		return string(l.ID)
	}
	return shape[:end]
}

// program is the capability of a program that the lane needs; empty: none.
func (l *Lane) program() string {
	for _, t := range l.Affinity.Hard.WorkloadTypes {
		if !IsType(t) {
			return t
		}
	}
	return ""
}

// Candidate is one waiting workload.
type Candidate struct {
	ID         WorkloadID
	Generation int64
	// QueueAt is when it began to wait.
	QueueAt time.Time
	// Declines are the workers that gave it back lately.
	Declines []Decline
	// SuspectSince is set of a suspect: since when it waits for a worker without another one.
	SuspectSince time.Time
}

// LaneHeads are the workloads of a lane that have waited longest, in order.
type LaneHeads struct {
	Lane  Lane
	Heads []Candidate
	// More tells that more are eligible behind Heads.
	More bool
}

// Occupancy counts what one session has of one lane in its hands.
type Occupancy struct {
	SessionID SessionID
	Lane      Lane
	// Count is what it holds, Ending what it has not let go of; see Ending.
	Count, Ending int
	// Suspects counts the suspects among what it holds.
	Suspects int
}

// Snapshot is what a placement is computed from.
type Snapshot struct {
	Workers   []Worker
	Occupancy []Occupancy
	// Customers are the terms of those that have something waiting; who is not among them has no limit and the lowest weight.
	Customers map[CustomerID]Terms
	// Policy orders the queue; empty: PolicyPriority.
	Policy Policy
	// Shares are what PolicyFair goes by; the planner charges what it places.
	Shares *FairShare
	// AntiAcross are the types whose anti rules bind the work of every customer; those of other types bind their own customer's.
	AntiAcross []string
	// Now is when the snapshot was taken.
	Now time.Time
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
	// Preferred tells that the workload prefers some workers, Matched that the chosen one is such a worker.
	Preferred, Matched bool
	// QueueAt is when the workload began to wait.
	QueueAt time.Time
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

// obstacleDeclined: the workers that could run it now declined it a moment ago. It is about one workload; the others in its lane may go.
const obstacleDeclined Obstacle = "declined"

// obstacleSuspects: the workers that could run it now have another suspect. It is about one workload too.
const obstacleSuspects Obstacle = "suspects"

// Obstacles lists them.
func Obstacles() []Obstacle { return []Obstacle{ObstacleLimit, ObstacleUnplaceable, ObstacleFull} }
