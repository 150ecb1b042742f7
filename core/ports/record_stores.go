package ports

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// AuditStore reads the audit events that the other stores write in their transactions.
type AuditStore interface {
	// Workload returns up to limit events of a customer's workload, oldest first, with ids above
	// after. Missing workloads and another customer's have none.
	Workload(
		ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, after int64, limit int,
	) ([]domain.AuditEvent, error)
	// Worker returns up to limit events of a worker, oldest first, with ids above after.
	Worker(ctx context.Context, id domain.WorkerID, after int64, limit int) ([]domain.AuditEvent, error)
}

// AdminAuditStore reads what administrators did. Each action that changes something is recorded in
// the transaction of the change, whether or not it had been done before; what was refused is not.
type AdminAuditStore interface {
	// Record keeps actions that change nothing else, in order. Their times and ids are the store's.
	Record(ctx context.Context, events []domain.AdminEvent) error
	// List returns up to q.Limit events that q selects. The order of ids is that of the commits: no
	// event appears later behind one that was returned.
	List(ctx context.Context, q AdminAuditQuery) ([]domain.AdminEvent, error)
}

// AdminAuditQuery selects actions of administrators. Zero fields select everything.
type AdminAuditQuery struct {
	KeyID    domain.KeyID
	Action   domain.AdminAction
	TargetID string
	// Customer selects the actions that concern this customer, the empty one those that concern
	// none; nil: no matter whom they concern.
	Customer *domain.CustomerID
	// Since is inclusive, Until exclusive.
	Since, Until time.Time
	// After continues behind the event with this id, in the direction of the list.
	After int64
	// Ascending lists the oldest first, otherwise the newest.
	Ascending bool
	Limit     int // > 0
}

// Selects reports whether the query selects the event, its limit aside.
func (q *AdminAuditQuery) Selects(e *domain.AdminEvent) bool {
	switch {
	case q.KeyID != "" && q.KeyID != e.By.KeyID, q.Action != "" && q.Action != e.Action,
		q.TargetID != "" && q.TargetID != e.Target.ID, q.Customer != nil && *q.Customer != e.CustomerID,
		e.At.Before(q.Since), !q.Until.IsZero() && !e.At.Before(q.Until):
		return false
	case q.After == 0:
		return true
	case q.Ascending:
		return e.ID > q.After
	}
	return e.ID < q.After
}

// LogStore reads the log lines of workloads, which WorkloadStore.Apply stores.
type LogStore interface {
	// List returns the lines of a customer's workload, oldest first. Missing workloads and another
	// customer's have none.
	List(ctx context.Context, q LogQuery) ([]domain.LogLine, error)
}

// LogQuery selects log lines.
type LogQuery struct {
	Customer domain.CustomerID
	Workload domain.WorkloadID
	// AfterSeq continues behind a line, and behind 0 begins with the first one; nil: no bound. Since is
	// inclusive, Until exclusive; zero: no bound.
	AfterSeq     *int64
	Since, Until time.Time
	// Limit > 0. If Newest, the newest Limit lines are meant, otherwise the first behind the bound.
	Limit int
}

// Newest reports whether the query has no lower bound, so that it means the newest lines.
func (q *LogQuery) Newest() bool { return q.AfterSeq == nil && q.Since.IsZero() }

// After returns the number of the line behind which the query begins.
func (q *LogQuery) After() int64 {
	if q.AfterSeq == nil {
		return 0
	}
	return *q.AfterSeq
}
