package ports

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Notifier sends hints between coordinators, workers and API instances: over the Bus, or over the
// database that they share. Its methods never wait for receivers and never fail. Heartbeats,
// reconciliation and polls make up for lost hints.
type Notifier interface {
	// Command sends commands to a worker, wherever it is connected, in order. A CommandAssign may
	// arrive without its Assignment, which the receiver then reads from the store.
	Command(ctx context.Context, worker domain.WorkerID, cs ...Command)
	// Wake tells the coordinators that there may be something to do, and why: one of the reasons
	// below or any other text.
	Wake(ctx context.Context, reason string)
	// Updated tells those who follow the workloads that they changed or wrote log lines, in order.
	Updated(ctx context.Context, us ...Update)
}

// The reasons that the loops of coordinators distinguish. Every other wake means that something may
// be placed.
const (
	// WakeSubmit: something was submitted.
	WakeSubmit = "submit"
	// WakeSteppedDown: a coordinator has given up leadership, if it led.
	WakeSteppedDown = "leader stepped down"

	WakeWorkerRegistered = "worker registered"
	WakeWorkerLeft       = "worker left"
	WakeWorkerDied       = "worker died"
	WakeWorkerRemoved    = "worker removed"
	// WakeCustomerDeleted: the deletion of a customer has begun.
	WakeCustomerDeleted = "customer deleted"
)

// Listener receives what a Notifier sends. Handlers are called one at a time per subscription, must
// return quickly and must not close their own subscription.
type Listener interface {
	// Commands calls h for each command sent to the worker.
	Commands(ctx context.Context, worker domain.WorkerID, h func(Command)) (Subscription, error)
	// Wakes calls h for each wake.
	Wakes(ctx context.Context, h func(reason string)) (Subscription, error)
	// Updates calls h for each update of what is followed.
	Updates(ctx context.Context, f Followed, h func(Update)) (Subscription, error)
}

// Followed says whose updates a listener wants. The zero value has none.
type Followed struct{ kind, id string }

// FollowedWorkload is one workload.
func FollowedWorkload(id domain.WorkloadID) Followed { return Followed{"workload", string(id)} }

// FollowedCustomer is every workload of a customer.
func FollowedCustomer(id domain.CustomerID) Followed { return Followed{"customer", string(id)} }

// FollowedAll is every workload.
func FollowedAll() Followed { return Followed{kind: "all"} }

// Update is one change of a workload, or that it wrote log lines: then Event is domain.EventLog.
type Update struct {
	WorkloadID      domain.WorkloadID `json:"workload_id"`
	CustomerID      domain.CustomerID `json:"customer_id"`
	Event           domain.Event      `json:"event"`
	Status          domain.Status     `json:"status"`
	Generation      int64             `json:"generation"`
	ProgressPercent float64           `json:"progress_percent"`
	At              time.Time         `json:"at"`
}

// Of returns what the update belongs to: whoever follows one of these hears it.
func (u *Update) Of() [3]Followed {
	return [3]Followed{FollowedWorkload(u.WorkloadID), FollowedCustomer(u.CustomerID), FollowedAll()}
}
