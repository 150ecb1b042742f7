package domain

import (
	"encoding/json"
	"time"
)

// Admin is who acts as an administrator, and from where.
type Admin struct {
	KeyID   KeyID
	KeyName string
	// Address is the network address that the request came from. ForwardedFor is what the request
	// says of the addresses before that one; anybody may write it.
	Address      string
	ForwardedFor string
	RequestID    string
}

// Actor returns the administrator as the other audit trails name it.
func (a Admin) Actor() Actor { return Actor{Kind: ActorUser, ID: string(a.KeyID)} }

// AdminAction names what an administrator did.
type AdminAction string

// The actions.
const (
	ActionCustomerCreated     AdminAction = "customer.created"
	ActionCustomerUpdated     AdminAction = "customer.updated"
	ActionCustomerSuspended   AdminAction = "customer.suspended"
	ActionCustomerReactivated AdminAction = "customer.reactivated"
	ActionKeyCreated          AdminAction = "key.created"
	ActionKeyRevoked          AdminAction = "key.revoked"
	ActionWorkerDrained       AdminAction = "worker.drained"
	ActionWorkerUndrained     AdminAction = "worker.undrained"
	ActionWorkerRemoved       AdminAction = "worker.removed"

	ActionWorkloadCancelled       AdminAction = "workload.cancelled"
	ActionWorkloadPauseAsked      AdminAction = "workload.pause_requested"
	ActionWorkloadResumed         AdminAction = "workload.resumed"
	ActionWorkloadCheckpointAsked AdminAction = "workload.checkpoint_requested"
	ActionWorkloadRetried         AdminAction = "workload.retried"
	ActionWorkloadRead            AdminAction = "workload.read"
	ActionWorkloadListed          AdminAction = "workload.listed"
)

// TargetKind is the kind of what an administrator acted on.
type TargetKind string

// The kinds.
const (
	TargetCustomer TargetKind = "customer"
	TargetKey      TargetKind = "key"
	TargetWorker   TargetKind = "worker"
	TargetWorkload TargetKind = "workload"
)

// Target is what an administrator acted on.
type Target struct {
	Kind TargetKind
	ID   string
}

// AdminEvent records one action of an administrator. It is written in the transaction of what the
// action changes, and never changed or deleted with its target. What was refused is not recorded:
// it changed nothing.
type AdminEvent struct {
	// ID grows in the order of the commits.
	ID     int64
	At     time.Time
	By     Admin
	Action AdminAction
	Target Target
	// CustomerID is the customer that the action concerns; empty if it concerns none.
	CustomerID CustomerID
	// Before and After are the target before and after the action. Either is empty when there was
	// no target or there is none any more. They hold no secrets.
	Before, After JSON
}

// did returns the event of an action.
func (a Admin) did(
	action AdminAction, target Target, customer CustomerID, before, after any, at time.Time,
) AdminEvent {
	return AdminEvent{
		At: at, By: a, Action: action, Target: target, CustomerID: customer,
		Before: document(before), After: document(after),
	}
}

// document returns v as JSON, empty for nil. The values come from the functions below, which make
// nothing that cannot be encoded.
func document(v any) JSON {
	if v == nil {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return JSON(b)
}

// customerDocument is a customer as the audit of administrators shows it.
type customerDocument struct {
	CustomerID      CustomerID      `json:"customer_id"`
	Name            string          `json:"name"`
	Tier            Tier            `json:"tier"`
	Limits          limitsDocument  `json:"limits"`
	Preemptible     bool            `json:"preemptible"`
	EncryptionKeyID EncryptionKeyID `json:"encryption_key_id,omitempty"`
	SuspendedAt     *time.Time      `json:"suspended_at"`
	DeletingAt      *time.Time      `json:"deleting_at,omitempty"`
}

// limitsDocument has the limits that differ from those of the tier.
type limitsDocument struct {
	MaxConcurrent int     `json:"max_concurrent_workloads,omitempty"`
	MaxQueueDepth int     `json:"max_queue_depth,omitempty"`
	RatePerSec    float64 `json:"rate_limit_per_sec,omitempty"`
	Burst         int     `json:"burst,omitempty"`
}

func (c Customer) document() customerDocument {
	return customerDocument{
		CustomerID: c.ID, Name: c.Name, Tier: c.Tier, Limits: limitsDocument(c.Overrides), Preemptible: !c.NoPreemption,
		EncryptionKeyID: c.EncryptionKeyID, SuspendedAt: timeOrNull(c.SuspendedAt), DeletingAt: timeOrNull(c.DeletingAt),
	}
}

// keyDocument is a key as the audit of administrators shows it: without digest and prefix.
type keyDocument struct {
	KeyID      KeyID         `json:"key_id"`
	CustomerID CustomerID    `json:"customer_id,omitempty"`
	Role       Role          `json:"role"`
	Name       string        `json:"name"`
	WorkerIDs  WorkerPattern `json:"worker_ids,omitempty"`
	ExpiresAt  *time.Time    `json:"expires_at"`
	RevokedAt  *time.Time    `json:"revoked_at"`
}

func (k APIKey) document() keyDocument {
	return keyDocument{
		KeyID: k.ID, CustomerID: k.CustomerID, Role: k.Role, Name: k.Name, WorkerIDs: k.WorkerIDs,
		ExpiresAt: timeOrNull(k.ExpiresAt), RevokedAt: timeOrNull(k.RevokedAt),
	}
}

// workerDocument is a worker as the audit of administrators shows it.
type workerDocument struct {
	WorkerID  WorkerID     `json:"worker_id"`
	SessionID SessionID    `json:"session_id"`
	Status    WorkerStatus `json:"status"`
}

func (w *Worker) document() workerDocument {
	return workerDocument{WorkerID: w.ID, SessionID: w.SessionID, Status: w.Status}
}

// timeOrNull returns nil for the zero time.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Onboard returns the customer as it is stored at that time, and the event.
func (c Customer) Onboard(by Admin, now time.Time) (Customer, AdminEvent) {
	c.CreatedAt, c.UpdatedAt = now, now
	return c, by.did(ActionCustomerCreated, c.target(), c.ID, nil, c.document(), now)
}

// Change returns the customer after the patch, and the event.
func (c Customer) Change(p CustomerPatch, by Admin, now time.Time) (Customer, AdminEvent, error) {
	if err := c.CheckKept(); err != nil {
		return c, AdminEvent{}, err
	}
	next, err := p.Apply(c, now)
	if err != nil {
		return c, AdminEvent{}, err
	}
	action := ActionCustomerUpdated
	switch {
	case p.Suspended == nil:
	case *p.Suspended:
		action = ActionCustomerSuspended
	default:
		action = ActionCustomerReactivated
	}
	return next, by.did(action, c.target(), c.ID, c.document(), next.document(), now), nil
}

func (c Customer) target() Target { return Target{TargetCustomer, string(c.ID)} }

// Issue returns the key as it is stored at that time, and the event. CodeInvalidInput when the key
// would have expired.
func (k APIKey) Issue(by Admin, now time.Time) (APIKey, AdminEvent, error) {
	k.CreatedAt = now
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		return k, AdminEvent{}, Invalid("expires_at", "must be in the future")
	}
	return k, by.did(ActionKeyCreated, k.target(), k.CustomerID, nil, k.document(), now), nil
}

// Revoke returns the key after a revocation at that time, and the event. A key that was revoked
// before stays as it is.
func (k APIKey) Revoke(by Admin, now time.Time) (APIKey, AdminEvent) {
	next := k
	if next.RevokedAt.IsZero() {
		next.RevokedAt = now
	}
	return next, by.did(ActionKeyRevoked, k.target(), k.CustomerID, k.document(), next.document(), now)
}

func (k APIKey) target() Target { return Target{TargetKey, string(k.ID)} }

// workloadDocument is a workload as the audit of administrators shows it.
type workloadDocument struct {
	WorkloadID WorkloadID `json:"workload_id"`
	Status     Status     `json:"status"`
}

// workloadActions are what administrators do to workloads by transitions.
var workloadActions = map[Event]AdminAction{
	EventCancel: ActionWorkloadCancelled, EventRequestPause: ActionWorkloadPauseAsked,
	EventResume: ActionWorkloadResumed,
}

// Act returns what an administrator did by the transition. Its Action is empty if no administrator
// asked for it, or if it was not applied.
func (t *Transition) Act(r *Result, now time.Time) AdminEvent {
	if t.Actor.Admin == nil || r.Outcome != OutcomeApplied {
		return AdminEvent{}
	}
	return t.Actor.Admin.did(
		workloadActions[t.Event], Target{TargetWorkload, string(r.WorkloadID)}, r.CustomerID,
		workloadDocument{r.WorkloadID, r.From}, workloadDocument{r.WorkloadID, r.State.Status}, now,
	)
}

// Act returns what an administrator did by submitting w, which is to run a workload again. Its Action
// is empty if no administrator did.
func (s *Submission) Act(w *Workload, now time.Time) AdminEvent {
	if s.Actor.Admin == nil {
		return AdminEvent{}
	}
	after := struct {
		workloadDocument
		RetryOf WorkloadID `json:"retry_of"`
	}{workloadDocument{w.ID, w.Status}, w.RetryOf}
	return s.Actor.Admin.did(
		ActionWorkloadRetried, Target{TargetWorkload, string(w.ID)}, w.CustomerID, nil, after, now,
	)
}

// Asked returns the event of an action that changes nothing in the store: a read, or a request to a
// worker. operation is the one of the API.
func (a Admin) Asked(action AdminAction, target Target, customer CustomerID, operation string) AdminEvent {
	after := struct {
		Operation string `json:"operation"`
	}{operation}
	return a.did(action, target, customer, nil, after, time.Time{})
}

// acted returns the event of an action on the worker; after is nil if the action removed it.
func (w *Worker) acted(action AdminAction, by Admin, after *Worker, now time.Time) AdminEvent {
	target := Target{TargetWorker, string(w.ID)}
	if after == nil {
		return by.did(action, target, "", w.document(), nil, now)
	}
	return by.did(action, target, "", w.document(), after.document(), now)
}
