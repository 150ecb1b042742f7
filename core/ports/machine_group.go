package ports

import (
	"context"
	"errors"
	"time"
)

// MachineState says where a machine of a group is in its life.
type MachineState string

// The states of machines.
const (
	// MachineStarting is not in service yet.
	MachineStarting MachineState = "starting"
	// MachineInService may be chosen when the group shrinks, unless it is protected.
	MachineInService MachineState = "in_service"
	// MachineWaiting is about to be terminated, and waits for Release.
	MachineWaiting MachineState = "waiting"
	// MachineLeaving is being terminated. Nothing can be done about it any more.
	MachineLeaving MachineState = "leaving"
)

// Machine is one machine of a group.
type Machine struct {
	ID    string
	State MachineState
	// Protected reports whether the group leaves it alone when it shrinks.
	Protected bool
}

// GroupFigures are what an autoscaler is told about a group. All of them are of the same moment.
type GroupFigures struct {
	At time.Time
	// Waiting, Running, Capacity and Workers are those of the pool; see domain.PoolScale.
	Waiting, Running, Capacity, Workers int
	OldestWait                          time.Duration
	// Desired is how many workers there should be, Missing and Spare how many more or fewer that is
	// than machines start or are in service.
	Desired, Missing, Spare int
	// WaitingPerWorker is Waiting for each machine that starts or is in service, and Waiting if none
	// does.
	WaitingPerWorker float64
}

// MachineGroup is a group of machines that a cloud's autoscaler grows and shrinks. Several processes
// may use it at once: every call can be repeated, and says nothing about a machine that has gone in
// the meantime. Implementations retry what may be retried; an error means that the call had no
// effect, or that its effect is unknown. Safe for concurrent use.
type MachineGroup interface {
	// Machines lists the machines. An unknown group is an error, an empty one is not.
	Machines(ctx context.Context) ([]Machine, error)
	// Protect protects the machines from being chosen when the group shrinks, or ends that. Machines
	// that are not in service any more are left out.
	Protect(ctx context.Context, protect bool, ids ...string) error
	// Publish tells the autoscaler the figures.
	Publish(ctx context.Context, f GroupFigures) error
	// Hold has a machine in MachineWaiting wait for its whole time again.
	Hold(ctx context.Context, id string) error
	// Release lets a machine in MachineWaiting be terminated now.
	Release(ctx context.Context, id string) error
}

// FleetWorker is what an exporter needs to know of a worker.
type FleetWorker struct {
	ID   string
	Tags map[string]string
	// Used counts the slots that runs take, ending runs included.
	Used int
	// Dead workers hold nothing any more, Draining ones get no more work.
	Dead, Draining bool
}

// FleetView is what coordinators say of a pool and of all workers.
type FleetView struct {
	// Waiting, Running, Capacity, Workers, Desired and OldestWait are those of the pool.
	Waiting, Running, Capacity, Workers, Desired int
	OldestWait                                   time.Duration
	FleetWorkers                                 []FleetWorker
}

// FleetReader reads a pool and the workers. The view is whole, or there is an error: a worker that is
// missing in it is gone.
type FleetReader interface {
	View(ctx context.Context) (FleetView, error)
}

// CloudFailure says why a cloud did not do what it was asked. Errors of a MachineGroup carry it; see
// FailureOf.
type CloudFailure string

// The kinds of failures.
const (
	CloudThrottled   CloudFailure = "throttled"   // too many requests
	CloudCredentials CloudFailure = "credentials" // expired or wrong
	CloudDenied      CloudFailure = "denied"      // a right is missing
	CloudUnreachable CloudFailure = "unreachable" // no answer
	CloudOther       CloudFailure = "other"
)

// CloudFailures returns all kinds.
func CloudFailures() []CloudFailure {
	return []CloudFailure{CloudThrottled, CloudCredentials, CloudDenied, CloudUnreachable, CloudOther}
}

// FailureOf returns the kind of failure that an error carries, CloudOther if none.
func FailureOf(err error) CloudFailure {
	var f interface{ CloudFailure() CloudFailure }
	if errors.As(err, &f) {
		return f.CloudFailure()
	}
	return CloudOther
}
