package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/niyanta/niyanta/core/domain"
)

// readTimeout bounds a read that a client asked for, including the wait for its turn. The server
// ends the statement after the same time.
const readTimeout = 5 * time.Second

// readers runs clients' reads on connections of its own. So nothing that decides (leases,
// heartbeats, reports, scheduling, submissions) waits for a connection behind a read. Long reads
// (lists, logs, audit, counts) take turns: half of the connections serve them, and one customer
// uses at most half of those. So a customer that reads much waits for itself. The other
// connections serve point reads.
type readers struct {
	pool *pgxpool.Pool
	// long holds a token for each long read that may run at once.
	long chan struct{}
	// each is how many long reads of one customer may run at once.
	each int

	mu    sync.Mutex
	gates map[domain.CustomerID]*gate
}

// gate bounds how many long reads of one customer run at once.
type gate struct {
	tokens chan struct{}
	users  int // reads that run or wait; the gate goes with the last
}

func newReaders(pool *pgxpool.Pool) *readers {
	long := max(int(pool.Config().MaxConns)/2, 1)
	return &readers{pool: pool, long: make(chan struct{}, long), each: max(long/2, 1),
		gates: map[domain.CustomerID]*gate{}}
}

// enter waits for a turn of the customer, then for a turn among all. leave ends the turn. It
// returns CodeUnavailable if there is none in time.
func (r *readers) enter(ctx context.Context, customer domain.CustomerID) (leave func(), err error) {
	g := r.gate(customer)
	defer func() {
		if err != nil {
			r.forget(customer, g)
		}
	}()
	select {
	case g.tokens <- struct{}{}:
	case <-ctx.Done():
		return nil, tooSlow(ctx.Err())
	}
	select {
	case r.long <- struct{}{}:
	case <-ctx.Done():
		<-g.tokens
		return nil, tooSlow(ctx.Err())
	}
	return func() {
		<-r.long
		<-g.tokens
		r.forget(customer, g)
	}, nil
}

func (r *readers) gate(customer domain.CustomerID) *gate {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gates[customer]
	if g == nil {
		g = &gate{tokens: make(chan struct{}, r.each)}
		r.gates[customer] = g
	}
	g.users++
	return g
}

func (r *readers) forget(customer domain.CustomerID, g *gate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.users--; g.users == 0 {
		delete(r.gates, customer)
	}
}

// tooSlow is the error for a read that did not end in time.
func tooSlow(cause error) error {
	return &domain.Error{
		Code: domain.CodeUnavailable, Message: "the read took too long; ask for less, or try again later",
		RetryAfter: retryAfter, Cause: cause,
	}
}

// inTurn runs a read whose cost grows with what the customer has. It waits for the customer's turn.
func inTurn[R any](
	ctx context.Context, r *readers, customer domain.CustomerID, read func(ctx context.Context) (R, error),
) (R, error) {
	var none R
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	leave, err := r.enter(bounded, customer)
	if err == nil {
		defer leave()
		var out R
		if out, err = read(bounded); err == nil {
			return out, nil
		}
	}
	var pg *pgconn.PgError
	switch {
	case ctx.Err() != nil:
		return none, ctx.Err() // the caller's own
	case bounded.Err() != nil, errors.As(err, &pg) && pg.Code == queryCanceled:
		return none, tooSlow(err)
	}
	return none, err
}

// longRead is inTurn of one statement.
func longRead[T any](
	ctx context.Context, r *readers, customer domain.CustomerID, scan pgx.RowToFunc[T], sql string, args ...any,
) ([]T, error) {
	return inTurn(ctx, r, customer, func(ctx context.Context) ([]T, error) {
		return query(ctx, r.pool, scan, sql, args...)
	})
}
