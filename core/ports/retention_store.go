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
	//   - audit: events, by month in UTC: those of a month go when the whole month is older
	//     (domain.AuditMonth). Limit does not apply.
	//   - idempotency_keys: keys of submissions, from the submission on, and the answers of
	//     AnswerStore.
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
}

// Purge says what to remove.
type Purge struct {
	What  domain.Kept
	Age   time.Duration
	Limit int // > 0
}

// Purged is what a purge has removed.
type Purged struct {
	// Count counts it; an estimate for audit events, which are not counted one by one.
	Count int
	// More reports whether the next call may remove more.
	More bool
}
