package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	// txTries bounds how often a transaction is tried that lost to a concurrent one.
	txTries = 6
	// resolveTimeout bounds how long the store asks for the outcome of a commit whose answer was
	// lost.
	resolveTimeout = 10 * time.Second
)

// tx is a transaction of two round trips. The statements queued before read travel in the first,
// those queued before commit in the second.
type tx struct {
	conn  *pgxpool.Conn
	batch *pgx.Batch
	lanes *knownLanes
	// xid is the id of the transaction. When the answer to the commit is lost, it tells whether
	// the transaction is still in progress; token tells whether it was committed.
	xid, token string
	// now is the store's time after the locks of the first round trip were granted.
	now time.Time
	// wrote lists the customers that have written; the empty id stands for administrators.
	wrote []domain.CustomerID
	// ended is set once commit was sent.
	ended bool
}

// queue adds a statement to the next round trip.
func (t *tx) queue(sql string, args ...any) *pgx.QueuedQuery { return t.batch.Queue(sql, args...) }

// read sends the queued statements, and reads the store's time after them.
func (t *tx) read(ctx context.Context) error {
	t.queue("SELECT niyanta_now(), pg_current_xact_id()::text").QueryRow(func(row pgx.Row) error {
		return row.Scan(&t.now, &t.xid)
	})
	if err := t.flush(ctx); err != nil {
		return err
	}
	t.now = t.now.UTC()
	return nil
}

// flush sends the queued statements.
func (t *tx) flush(ctx context.Context) error {
	b := t.batch
	t.batch = &pgx.Batch{}
	if b.Len() == 0 {
		return nil
	}
	return t.conn.SendBatch(ctx, b).Close()
}

// commit sends the queued statements and ends the transaction.
func (t *tx) commit(ctx context.Context) error {
	t.queue("INSERT INTO commits (token) VALUES ($1::text::uuid)", t.token)
	t.queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("the transaction ended with %s", tag)
		}
		return nil
	})
	t.ended = true
	return t.flush(ctx)
}

// inTx runs f in a transaction. f ends it with commit; if f returns before, the transaction is
// rolled back. A transaction that lost to a concurrent one is run again from the start. When the
// answer to the commit is lost, the database is asked what became of it. If it was committed, f's
// result stands. If it certainly was not, f runs again.
func inTx[R any](
	ctx context.Context, s *Store, pool *pgxpool.Pool, f func(ctx context.Context, t *tx) (R, error),
) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 5*time.Millisecond, 100*time.Millisecond
	for try := 1; ; try++ {
		r, t, err := once(ctx, s, pool, f)
		switch {
		case err == nil:
			s.replicas.note(t.wrote)
			return r, nil
		case repeatable(err) && try < txTries:
		case t.ended && !refused(err) && ctx.Err() == nil:
			s.log.Warn("the answer to a commit was lost, asking for its outcome", "xid", t.xid, "error", err)
			committed, rerr := s.resolve(ctx, t)
			if rerr != nil || committed {
				s.replicas.note(t.wrote)
				return r, translate(ctx, rerr)
			}
			if try >= txTries || !disconnected(err) {
				return none, translate(ctx, err)
			}
		default:
			return none, translate(ctx, err)
		}
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
}

// once runs f in one transaction.
func once[R any](
	ctx context.Context, s *Store, pool *pgxpool.Pool, f func(ctx context.Context, t *tx) (R, error),
) (r R, t *tx, err error) {
	t = &tx{batch: &pgx.Batch{}, lanes: &s.lanes, token: uuid.NewString()}
	ctx, cancel := deadline(ctx)
	defer cancel()
	if t.conn, err = pool.Acquire(ctx); err != nil {
		return r, t, err
	}
	defer t.conn.Release()
	t.queue("BEGIN")
	if plain(t.conn.Conn().Config()) {
		t.queue(localSettings)
	}
	if r, err = f(ctx, t); err == nil && !t.ended {
		err = errors.New("a transaction was not committed")
	}
	if err != nil && t.conn.Conn().PgConn().TxStatus() != 'I' && !t.conn.Conn().IsClosed() {
		// Best effort: the pool closes a connection that is still in a transaction.
		_, _ = t.conn.Exec(ctx, "ROLLBACK")
	}
	return r, t, err
}

// resolve asks what became of a transaction. It waits while the transaction is in progress; then
// the token tells. The id of a transaction alone does not: after a crash the server may give it
// to another one.
func (s *Store) resolve(ctx context.Context, t *tx) (committed bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	for {
		var underWay bool
		underWay, err = queryOne[bool](
			bounded, s.pool, "SELECT coalesce(pg_xact_status($1::text::xid8) = 'in progress', false)", t.xid,
		)
		if invalidID(err) {
			underWay, err = false, nil // the server, recovered, has not given out that id yet
		}
		if err == nil && !underWay {
			if committed, err = queryOne[bool](bounded, s.pool,
				"SELECT EXISTS (SELECT FROM commits WHERE token = $1::text::uuid)", t.token); err == nil {
				return committed, nil
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-bounded.Done():
			return false, errors.Join(errOutcomeUnknown, err)
		}
	}
}

// invalidID reports whether err means that the server has not given out the id of a transaction
// yet.
func invalidID(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "22023"
}

// deadline returns ctx with the default deadline unless it has one.
func deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, queryTimeout)
}

// query runs a statement and reads its rows.
func query[T any](
	ctx context.Context, pool *pgxpool.Pool, scan pgx.RowToFunc[T], sql string, args ...any,
) ([]T, error) {
	bounded, cancel := deadline(ctx)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows, err := pool.Query(bounded, sql, args...)
	if err != nil {
		return nil, translate(ctx, err)
	}
	out, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, translate(ctx, err)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// queryOne runs a statement that returns one row of one column.
func queryOne[T any](ctx context.Context, pool *pgxpool.Pool, sql string, args ...any) (T, error) {
	var none T
	rows, err := query(ctx, pool, pgx.RowTo[T], sql, args...)
	if err != nil {
		return none, err
	}
	if len(rows) == 0 {
		return none, translate(ctx, pgx.ErrNoRows)
	}
	return rows[0], nil
}

// exec runs a statement and returns how many rows it affected.
func exec(ctx context.Context, pool *pgxpool.Pool, sql string, args ...any) (int64, error) {
	bounded, cancel := deadline(ctx)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	tag, err := pool.Exec(bounded, sql, args...)
	return tag.RowsAffected(), translate(ctx, err)
}
