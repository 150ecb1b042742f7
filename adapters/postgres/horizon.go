package postgres

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// horizon is how far this process knows the audit to be settled.
//
// A transaction draws the ids of its events before it commits, so an id may appear when a higher
// one is visible already. But a transaction that inserts into audit holds a lock on the table from
// before its first id until it has ended and its rows are visible. So the last id is read first,
// and then which transactions hold that lock: when they have ended, all events up to the id are
// visible. Transactions that do not write events don't matter, however long they run. Nothing of
// this is stored, so that a dump needs to keep only the ids and their sequence.
type horizon struct {
	// turn is held by the caller that looks. The others wait for what it finds.
	turn chan struct{}
	// settled is the last id of which that is known.
	settled int64
	// mark is the last id when it was read, and writers the transactions that were open then. They
	// are empty when nothing is on its way.
	mark    int64
	writers []string
	marked  time.Time
	// lag is how long the mark had been waited for at the last look.
	lag atomic.Int64
}

const (
	// settleTries bounds how often Horizon looks whether transactions have ended. The pauses between
	// double, from settlePause to 16 ms.
	settleTries = 6
	settlePause = time.Millisecond

	lastAuditID = "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM audit_ids"
	// auditWriters are the transactions that may have inserted into audit and have not ended. An
	// insert locks the parent of the partition.
	auditWriters = `SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND granted
 AND mode = 'RowExclusiveLock' AND relation = 'audit'::regclass
 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
)

// Horizon implements ports.EventStore.
func (e events) Horizon(ctx context.Context) (domain.Horizon, error) {
	h := &e.s.horizon
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return domain.Horizon{}, ctx.Err()
	}
	var last int64
	for try := 0; ; try++ {
		newest, writers, err := e.auditEnd(ctx)
		if err != nil {
			return domain.Horizon{}, err
		}
		if try == 0 {
			last = newest
		}
		h.see(newest, writers, time.Now())
		if h.settled >= last || try == settleTries-1 {
			return domain.Horizon{Settled: h.settled, Last: last}, nil
		}
		select {
		case <-time.After(settlePause << try):
		case <-ctx.Done():
			return domain.Horizon{}, ctx.Err()
		}
	}
}

// auditEnd returns the last id of the audit that was given out, and then the transactions that may
// still bring events.
func (e events) auditEnd(ctx context.Context) (last int64, writers []string, err error) {
	bounded, cancel := deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(lastAuditID).QueryRow(func(row pgx.Row) error { return row.Scan(&last) })
	b.Queue(auditWriters).Query(func(rows pgx.Rows) (err error) {
		writers, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	err = e.s.reads.pool.SendBatch(bounded, b).Close()
	return last, writers, translate(ctx, err)
}

// see takes what auditEnd returned.
func (h *horizon) see(last int64, writers []string, now time.Time) {
	if last < h.settled { // restored to an earlier state
		h.settled, h.writers = last, nil
	}
	h.writers = slices.DeleteFunc(h.writers, func(w string) bool { return !slices.Contains(writers, w) })
	if len(h.writers) == 0 {
		h.settled = max(h.settled, min(h.mark, last))
		h.mark, h.writers, h.marked = last, writers, now
	}
	if len(h.writers) == 0 || last == h.settled {
		h.settled, h.writers = last, nil
	}
	h.lag.Store(0)
	if len(h.writers) > 0 {
		h.lag.Store(int64(now.Sub(h.marked)))
	}
}

// EventLag returns how long live updates of customers have been waiting for a transaction, as of the
// last time that any were read.
func (s *Store) EventLag() time.Duration { return time.Duration(s.horizon.lag.Load()) }
