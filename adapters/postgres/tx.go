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
)

const (
	// txTries bounds how often a transaction is tried that lost to a concurrent one.
	txTries = 6
	// resolveTimeout is how long the fate of a commit is asked for whose answer was lost.
	resolveTimeout = 10 * time.Second
)

// tx is a transaction of two round trips: what was queued until read goes in one, what was queued until commit in another.
type tx struct {
	conn  *pgxpool.Conn
	batch *pgx.Batch
	// xid tells whether the transaction is still under way when the answer to its commit is lost, token what became of it.
	xid, token string
	// now is the store's time after the locks of the first round trip were granted.
	now time.Time
	// ended is set once commit was sent.
	ended bool
}

// queue adds a statement to the round trip that is being prepared.
func (t *tx) queue(sql string, args ...any) *pgx.QueuedQuery { return t.batch.Queue(sql, args...) }

// read sends what was queued, and learns the store's time behind it.
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

// flush sends what was queued.
func (t *tx) flush(ctx context.Context) error {
	b := t.batch
	t.batch = &pgx.Batch{}
	if b.Len() == 0 {
		return nil
	}
	return t.conn.SendBatch(ctx, b).Close()
}

// commit sends what was queued and ends the transaction.
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

// inTx runs f in a transaction that f ends with commit; if it returns before, the transaction is rolled back. A
// transaction that lost to a concurrent one is run again, from the start. When the answer to the commit is lost, the database is asked
// what became of it: f's result stands if it was committed, and f runs again if it certainly was not.
func inTx[R any](ctx context.Context, s *Store, pool *pgxpool.Pool, f func(ctx context.Context, t *tx) (R, error)) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 5*time.Millisecond, 100*time.Millisecond
	for try := 1; ; try++ {
		r, t, err := once(ctx, pool, f)
		switch {
		case err == nil:
			return r, nil
		case repeatable(err) && try < txTries:
		case t.ended && !refused(err) && ctx.Err() == nil:
			s.log.Warn("the answer to a commit was lost, asking for its outcome", "xid", t.xid, "error", err)
			committed, rerr := s.resolve(ctx, t)
			if rerr != nil || committed {
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
func once[R any](ctx context.Context, pool *pgxpool.Pool, f func(ctx context.Context, t *tx) (R, error)) (r R, t *tx, err error) {
	t = &tx{batch: &pgx.Batch{}, token: uuid.NewString()}
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
		// Best effort: a connection that is still in a transaction is closed by the pool.
		_, _ = t.conn.Exec(ctx, "ROLLBACK")
	}
	return r, t, err
}

// resolve asks what became of a transaction: as long as it is under way it waits, then its token tells. The id of a transaction
// alone doesn't: after a crash of the server it may be another one's.
func (s *Store) resolve(ctx context.Context, t *tx) (committed bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	for {
		var underWay bool
		underWay, err = queryOne[bool](bounded, s.pool, "SELECT coalesce(pg_xact_status($1::text::xid8) = 'in progress', false)", t.xid)
		if invalidID(err) {
			underWay, err = false, nil // the server, recovered, has not given out that id yet
		}
		if err == nil && !underWay {
			if committed, err = queryOne[bool](bounded, s.pool, "SELECT EXISTS (SELECT FROM commits WHERE token = $1::text::uuid)", t.token); err == nil {
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

// invalidID reports that the server does not know the id of a transaction: it is in its future.
func invalidID(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "22023"
}

// deadline gives ctx one if it has none.
func deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, queryTimeout)
}

// query runs a statement and reads its rows.
func query[T any](ctx context.Context, pool *pgxpool.Pool, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
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

// exec runs a statement and returns how many rows it touched.
func exec(ctx context.Context, pool *pgxpool.Pool, sql string, args ...any) (int64, error) {
	bounded, cancel := deadline(ctx)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	tag, err := pool.Exec(bounded, sql, args...)
	return tag.RowsAffected(), translate(ctx, err)
}
