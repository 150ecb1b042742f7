package ports

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// RetentionStore removes what has been kept for its time.
type RetentionStore interface {
	// Purge removes up to p.Limit of what p.What names and what is older than p.Age by the store's
	// clock, in one short transaction. It may remove fewer if they are large.
	//   - workloads: final ones that finished longer ago than their customer keeps them
	//     (domain.CustomerRetention.Workloads of Age), oldest first. They move to the archive, each
	//     with its input and result. Their checkpoints, log lines and places in lists go. One whose
	//     run has not let go of its slot (domain.Ending) stays.
	//   - logs: the lines of such workloads, likewise (domain.CustomerRetention.Logs).
	//   - archive: workloads, since they were archived, by month as audit events, but none of p.Until or
	//     later.
	//   - audit: events, by month in UTC: those of a month go when the whole month is older
	//     (domain.FirstMonthKept). Limit does not apply.
	//   - admin_audit: events of AdminAuditStore, one by one, oldest first.
	//   - idempotency_keys: keys of submissions, from the submission on, and the answers of
	//     AnswerStore.
	//   - tickets: those that were not redeemed.
	//   - statistics: the hours of StatisticsStore, from their beginning on; also totals of types of
	//     which nothing is unfinished, whatever their age.
	//   - workers: DEAD workers, since they were last heard of, with the audit event worker.removed.
	//   - sessions: what is remembered of sessions and processes, since they ended. What a session
	//     that still holds work ended by is kept.
	//   - lanes: those that nothing unfinished stands in, since something was submitted to them. A
	//     submission beside it always finds its lane. Also what is left of ending runs of sessions
	//     that have ended.
	//
	// CodeFenced unless epoch is the current leader epoch; nothing is removed then. Any number of
	// callers may purge at once: each item is removed and counted once.
	Purge(ctx context.Context, epoch int64, p Purge) (Purged, error)

	// Archived returns the customer's workloads with these ids that were archived no longer ago than
	// age, with ArchivedAt set, in the order asked for. It leaves out those that do not exist, are
	// not archived, or are another customer's.
	Archived(
		ctx context.Context, customer domain.CustomerID, age time.Duration, ids ...domain.WorkloadID,
	) ([]domain.Workload, error)

	// ArchivedMonth returns the beginning of the first month in UTC, behind the month after, in which
	// workloads were archived. It reports false if there is none, or that month ended less than
	// domain.ArchiveMargin ago by the store's clock. After that nothing is added to a month.
	ArchivedMonth(ctx context.Context, after time.Time) (month time.Time, found bool, err error)

	// ArchivedIn returns up to limit workloads that were archived in a month and are behind a place,
	// ordered by customer and then by id, with ArchivedAt set. It leaves out those of customers that
	// are being deleted.
	ArchivedIn(ctx context.Context, month time.Time, after ArchivePlace, limit int) ([]domain.Workload, error)

	// Owners returns the customers of these workloads, of archived ones as Archived does. It is for
	// administrators. It leaves out those that do not exist.
	Owners(
		ctx context.Context, age time.Duration, ids ...domain.WorkloadID,
	) (map[domain.WorkloadID]domain.CustomerID, error)
}

// Purge says what to remove.
type Purge struct {
	What  domain.Kept
	Age   time.Duration
	Limit int // > 0
	// Until is the beginning of the first month that stays whatever its age; zero: none does. It holds
	// for the archive.
	Until time.Time
	// From is the customer to go on with, as the call before has said; empty: the first. Workloads
	// and logs are removed customer by customer.
	From domain.CustomerID
}

// Purged is what a purge has removed.
type Purged struct {
	// Count counts it; an estimate for audit events, which are not counted one by one.
	Count int
	// More reports whether the next call may remove more, from the customer Next on.
	More bool
	Next domain.CustomerID
}

// ArchivePlace is a place in the order of ArchivedIn. The zero place is before all workloads.
type ArchivePlace struct {
	Customer domain.CustomerID
	Workload domain.WorkloadID
}
