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
	// AfterSeq continues behind a line; Since is inclusive, Until exclusive; zero: no bound.
	AfterSeq     int64
	Since, Until time.Time
	// Limit > 0. If Newest, the newest Limit lines are meant, otherwise the first behind the bound.
	Limit int
}

// Newest reports whether the query has no lower bound, so that it means the newest lines.
func (q *LogQuery) Newest() bool { return q.AfterSeq == 0 && q.Since.IsZero() }
