package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// LaneID names a lane: the waiting workloads of one customer that need the same kind of worker and have the same priority, so that how long
// they have waited is all that orders them.
type LaneID string

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

// Shape names what workers a lane needs: lanes of one shape find the same workers, whoever's they are.
func (l *Lane) Shape() string {
	_, shape, ok := strings.Cut(string(l.ID), "/")
	end := strings.LastIndexByte(shape, '@')
	if !ok || end < 0 {
		return string(l.ID)
	}
	return shape[:end]
}

// NewLane derives the lane of a workload: customer, type, rules, resources, priority.
func NewLane(s *Spec) Lane {
	return Lane{
		ID: LaneOf(s), CustomerID: s.CustomerID, Type: s.Type, Affinity: s.Rules().Clone(), Resources: s.Run.Resources, Priority: s.Priority,
	}
}

// LaneOf is the id of a workload's lane: customer/type#shape@priority.
func LaneOf(s *Spec) LaneID {
	lane, end := string(s.CustomerID)+"/"+s.Type, "@"+strconv.Itoa(s.Priority)
	rules := s.Rules()
	if rules.IsZero() && s.Run.Resources == DefaultResources() {
		return LaneID(lane + end)
	}
	// Maps marshal with sorted keys, so equal rules give equal bytes.
	shape, err := json.Marshal(struct {
		A Affinity
		R Resources
	}{rules, s.Run.Resources})
	if err != nil {
		// Only numbers that validation refuses (NaN, Inf) can fail; such a workload gets a lane of its own.
		return LaneID(lane + "#" + string(s.ID) + end)
	}
	sum := sha256.Sum256(shape)
	return LaneID(lane + "#" + hex.EncodeToString(sum[:8]) + end)
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
