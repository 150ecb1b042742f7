package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LaneID names a lane. A lane holds the waiting workloads of one customer that need the same kind
// of worker and have the same priority. So their order depends only on how long they have waited.
type LaneID string

// Lane is what the workloads of one lane have in common.
type Lane struct {
	ID         LaneID
	CustomerID CustomerID
	Type       string
	// Affinity are the rules that placement follows; see Spec.Rules.
	Affinity  Affinity
	Resources Resources
	Priority  int
}

// Shape names the kind of worker that the lane needs. Two lanes of one shape can run on the same
// workers, even if they belong to different customers.
func (l *Lane) Shape() string {
	_, shape, ok := strings.Cut(string(l.ID), "/")
	end := strings.LastIndexByte(shape, '@')
	if !ok || end < 0 {
		return string(l.ID)
	}
	return shape[:end]
}

// Shaped reports whether its workloads may have rules or reserve resources.
func (id LaneID) Shaped() bool { return strings.ContainsRune(string(id), '#') }

// NewLane returns the lane of a workload.
func NewLane(s *Spec) Lane {
	return Lane{
		ID: LaneOf(s), CustomerID: s.CustomerID, Type: s.Type, Affinity: s.Rules().Clone(),
		Resources: s.Run.Resources.Clone(), Priority: s.Priority,
	}
}

// Clone returns a copy that shares nothing mutable.
func (l Lane) Clone() Lane {
	if !l.Affinity.IsZero() {
		l.Affinity = l.Affinity.Clone()
	}
	l.Resources = l.Resources.Clone()
	return l
}

// LaneOf returns the id of a workload's lane: customer/type#shape@priority. "#shape" is missing
// when the workload has no rules and reserves nothing.
func LaneOf(s *Spec) LaneID {
	lane, end := string(s.CustomerID)+"/"+s.Type, "@"+strconv.Itoa(s.Priority)
	rules := s.Rules()
	if rules.IsZero() && s.Run.Resources.IsZero() {
		return LaneID(lane + end)
	}
	// Maps marshal with sorted keys, so equal rules give equal bytes.
	shape, err := json.Marshal(struct {
		A Affinity
		R Resources `json:",omitzero"`
	}{rules, s.Run.Resources})
	if err != nil {
		// Only numbers that validation refuses (NaN, Inf) can fail; such a workload gets a lane of
		// its own.
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
	// Declines are the workers that declined it recently.
	Declines []Decline
	// SuspectSince is when a suspect began to wait for a worker without another suspect. Zero: it
	// is not a suspect.
	SuspectSince time.Time
	// Timeout is how long its run may last. 0: without limit, or not known; see HeadTimeout.
	Timeout time.Duration
}

// LaneHeads are the workloads at the head of a lane: those that have waited longest, in order.
type LaneHeads struct {
	Lane  Lane
	Heads []Candidate
	// More reports whether more workloads wait behind Heads.
	More bool
}

// Occupancy counts the workloads of one lane that one session runs.
type Occupancy struct {
	SessionID SessionID
	Lane      Lane
	// Count is the number of workloads it holds.
	Count int
	// Ending is the number of runs that are over, but whose handlers have not returned; see Ending.
	Ending int
	// Devices are what these runs, the ending ones included, hold of the session's devices, summed up
	// by device.
	Devices []DeviceShare
	// Ends has, for each of Devices, when the last of the runs that hold it is expected to end, and End
	// when the last of all is; see ExpectedEnd. End is zero where LaneID.Shaped is false.
	Ends []time.Time
	End  time.Time
	// Suspects is the number of suspects among the workloads it holds.
	Suspects int
	// FoundAt is when the latest of the ending runs was found in the worker's inventory; zero if
	// none was.
	// See Ending.FoundAt.
	FoundAt time.Time
}

// Fleet is all workers, and what their sessions hold.
type Fleet struct {
	Workers   []Worker
	Occupancy []Occupancy
}

// Expect takes into account when one of the runs is expected to end.
func (o *Occupancy) Expect(end time.Time) {
	if o.Lane.ID.Shaped() && end.After(o.End) {
		o.End = end
	}
}

// Hold adds what one run, which is expected to end at a time, holds of the session's devices. Devices
// are ordered by their ids.
func (o *Occupancy) Hold(shares []DeviceShare, end time.Time) {
	for _, s := range shares {
		i, known := place(o.Devices, s.ID)
		if !known {
			o.Ends = slices.Insert(o.Ends, i, end)
		} else if end.After(o.Ends[i]) {
			o.Ends[i] = end
		}
		o.Devices = addShare(o.Devices, s)
	}
}
