package ports

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// WorkloadStore keeps workloads. Submit and Apply are the only ways to change one.
type WorkloadStore interface {
	// Submit stores each submission with its audit event, in one transaction, and answers each in
	// its place. What becomes of it domain.Submission.Admit decides, atomically with the insert,
	// also between items of one batch and between concurrent batches:
	//   - key known, digest or meaning the same (domain.Submission.Repeats), younger than
	//     domain.IdempotencyRetention: AdmittedBefore with the first workload.
	//   - key known, neither the same: AdmissionConflict.
	//   - PENDING + REDISTRIBUTING of the customer at its MaxQueueDepth in force:
	//     AdmissionQueueFull, with how much really waits.
	//   - customer unknown: AdmissionNoCustomer.
	//   - customer suspended, and the submission repeats none before: AdmissionSuspended.
	//   - Refused is set, and the submission repeats none before: AdmissionRefused.
	//   - the workload id exists already: AdmittedBefore with it (a repeated call).
	//   - Restore names a checkpoint of RetryOf that is not kept: AdmissionNoCheckpoint.
	// With Restore, the checkpoint that it means is copied for the new workload, as its sequence
	// domain.RestoredSequence of generation 0, in the same transaction. It is one that the customer's
	// workload RetryOf has kept and whose checksum holds. The copy does not depend on what becomes
	// of the original.
	// What an administrator did (Actor.Admin) is recorded in the same transaction; see
	// AdminAuditStore. An item that is refused leaves no trace and does not affect the others. CreatedAt and QueueAt
	// are set from the store's clock, in microseconds. RunAt is kept in UTC and whole microseconds.
	Submit(ctx context.Context, batch []domain.Submission) ([]SubmitResult, error)

	// Apply executes the transitions in order, in one transaction, as domain.Decide says, and
	// writes one audit event for each that is applied and audited. Results stand in the order of
	// the batch. An item that is not applied changes nothing and does not affect the others;
	// several items may concern one workload. With Batch.Epoch > 0, or if Batch.NeedsEpoch, the
	// epoch must be the current leader epoch at commit, else CodeFenced and nothing of the batch is
	// applied. An assignment is refused (OutcomeRefused), with the reason, when at commit the
	// customer's SCHEDULED + RUNNING would exceed its MaxConcurrent in force, the session is not a
	// HEALTHY worker's current one, or the worker's slots, resources or devices are taken, by what it
	// holds and by what it has not let go of. Ending runs are kept in the same transaction, as
	// Result.Hands says; see domain.Ending. A worker's event is fenced when its session is not the
	// worker's current one, or DEAD. The lines of an applied transition are kept in the same transaction: in order,
	// numbered per workload (Seq from 1); the oldest of a workload beyond domain.MaxLogLines are
	// dropped. CodeInternal when the store cannot take something of the batch, or the batch mixes
	// assignments with inventory events (Batch.Check); nothing of it is applied. An assignment is
	// also refused when a run of the session was found in its worker's inventory after the plan;
	// see Transition.FoundAt. What an administrator did (Actor.Admin) is recorded in the same
	// transaction; see AdminAuditStore. A store that would have to read a large input or config for
	// Result.Assigned leaves both empty there; no input is empty otherwise.
	Apply(ctx context.Context, batch domain.Batch) ([]domain.Result, error)

	// Get returns the customer's workloads with these ids in the order asked for, leaving out those
	// that do not exist or are another customer's. An empty customer owns nothing.
	Get(ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID) ([]domain.Workload, error)

	// GetBrief is Get of the workloads as domain.Workload.Brief returns them. It reads nothing that
	// may be large.
	GetBrief(ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID) ([]domain.Workload, error)

	// GetAny is Get whoever the workloads belong to. It is for the control plane, which fences by
	// session and generation, and for administrators, who may act for any customer. Nothing that
	// answers a customer calls it.
	GetAny(ctx context.Context, ids ...domain.WorkloadID) ([]domain.Workload, error)

	// List returns one page of a customer's workloads. Order is total: ties are broken by id. Pages
	// by After never repeat or skip a workload whose sort value did not change meanwhile.
	//
	// A page examines about ScanLimit workloads beyond those that it skips and shows. When more do
	// not match, the page ends early: it has fewer items than the limit, or none, and Next says where
	// to go on. So a page costs the same however many workloads there are. A store may find a page
	// without examining that many, so it need not end early. When a page with an Offset ends before
	// the offset is reached, the answer is CodeInvalidInput naming offset. When more than ScanLimit
	// workloads that have begun and not finished match the statuses, a list by OrderUpdatedAt may be
	// CodeInvalidInput naming order_by.
	List(ctx context.Context, q WorkloadQuery) (WorkloadPage, error)

	// Count counts what the pages of List have from q.After on, whatever Limit and Offset are. When
	// more than ScanLimit workloads would have to be examined, it may estimate.
	Count(ctx context.Context, q WorkloadQuery) (WorkloadCount, error)
}

// SubmitResult answers one submission. Workload is set when accepted or duplicate, Queue when the
// queue is full.
type SubmitResult struct {
	Status   domain.Admission
	Workload domain.Workload
	Queue    domain.QueueUse
}

// ScanLimit bounds how many workloads that do not match a list examines for a page.
const ScanLimit = 10_000

// UpdatedWindow is how far back a list by OrderUpdatedAt reaches, by the store's clock.
const UpdatedWindow = 24 * time.Hour

// OrderBy is a sort key of lists.
type OrderBy string

// The sort keys. OrderUpdatedAt leaves out what last changed before UpdatedWindow.
const (
	OrderCreatedAt OrderBy = "created_at"
	OrderPriority  OrderBy = "priority"
	OrderUpdatedAt OrderBy = "updated_at"
)

// WorkloadQuery selects a page. Zero filters match everything; Customer is required.
type WorkloadQuery struct {
	Customer      domain.CustomerID
	Statuses      []domain.Status
	Type          string
	Labels        map[string]string // all must match
	CreatedAfter  time.Time         // exclusive, see CreatedRange
	CreatedBefore time.Time         // exclusive, see CreatedRange
	OrderBy       OrderBy           // empty: OrderCreatedAt
	Ascending     bool
	Limit         int // > 0
	// After continues behind the last workload of the page before; nil starts.
	After *Cursor
	// Offset skips that many. Not together with After.
	Offset int
	// Brief makes the page hold the workloads as domain.Workload.Brief returns them.
	Brief bool
	// Fresh makes the answer hold everything that was committed before the question, as a decision
	// needs it. Otherwise a store may ask a replica that is behind.
	Fresh bool
}

// CreatedRange is what CreatedAfter and CreatedBefore select: created at from or later, and before
// until; zero: no bound. They are compared in milliseconds, because that is how times are shown: a
// workload is not created after the time that is shown of it, though the store has its
// microseconds.
func (q WorkloadQuery) CreatedRange() (from, until time.Time) {
	if !q.CreatedAfter.IsZero() {
		from = q.CreatedAfter.Truncate(time.Millisecond).Add(time.Millisecond)
	}
	return from, q.CreatedBefore.Truncate(time.Millisecond)
}

// Cursor is the position of a workload in a list: its sort value and id.
type Cursor struct {
	Time     time.Time // for created_at and updated_at
	Priority int       // for priority
	ID       domain.WorkloadID
}

// OffsetTooFar is the error for an offset that was not reached.
func OffsetTooFar() error {
	return domain.Invalid("offset", "is too far: too few workloads match the filters; use a cursor")
}

// TooManyBegun is the error for a list by OrderUpdatedAt of a customer with very many workloads that
// have begun and not finished.
func TooManyBegun() error {
	return domain.Invalid("order_by", "more than %d workloads have begun and not finished, too many to order by "+
		"updated_at; filter by status, or order by created_at", ScanLimit)
}

// WorkloadPage is one page of a list.
type WorkloadPage struct {
	Items []domain.Workload
	// Next is where the next page begins; nil when there is none.
	Next *Cursor
}

// WorkloadCount is how many workloads match a query.
type WorkloadCount struct {
	N int
	// Estimated reports whether N is an estimate.
	Estimated bool
}
