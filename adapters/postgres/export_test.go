package postgres

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// ExecAll executes statements on a database.
func ExecAll(url string, statements ...string) error {
	db, err := openSQL(url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for _, s := range statements {
		if _, err := db.ExecContext(context.Background(), s); err != nil {
			return err
		}
	}
	return nil
}

// SelectAuditOfAll is the statement that reads the events of all customers.
var SelectAuditOfAll = selectAuditOfAll

// Promote is the statement that moves what has become due from delayed to waiting.
var Promote = promoteSQL

// PromoteLimit bounds how many workloads Promote moves.
const PromoteLimit = promoteLimit

// CopyToArchive is the statement that copies all finished workloads to the archive.
var CopyToArchive = "INSERT INTO workload_archive (" + archivedRow.names("") + ") SELECT " + wholeColumns +
	", niyanta_now() FROM " + wholeTables + " WHERE w.finished_at IS NOT NULL"

// HintChannel is the expression of the channel's name, WakeMissed what the loops are woken for when
// a process begins to listen.
const (
	HintChannel = hintChannel
	WakeMissed  = wakeMissed
)

// Peers returns how many other processes h knows.
func Peers(h *Hints) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.peers)
}

// Know reports whether h knows what another process is there for.
func Know(h, other *Hints) bool {
	other.mu.Lock()
	follows := other.followsLocked()
	other.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	p, known := h.peers[other.o.Name]
	return known && p.follows == follows
}

// CustomPlans returns how many plans the sessions of a store's main pool have made for one
// execution only.
func CustomPlans(ctx context.Context, s *Store) (n int64, err error) {
	conns := s.pool.AcquireAllIdle(ctx)
	for _, c := range conns {
		var of int64
		rerr := c.QueryRow(ctx, "SELECT coalesce(sum(custom_plans), 0)::bigint FROM pg_prepared_statements").Scan(&of)
		err = errors.Join(err, rerr)
		n += of
		c.Release()
	}
	return n, err
}

// Query reads the one value of a query on the main pool.
func Query[T any](ctx context.Context, s *Store, query string) (v T, err error) {
	err = s.pool.QueryRow(ctx, query).Scan(&v)
	return v, err
}

// Reset has the main pool use new connections.
func Reset(s *Store) { s.pool.Reset() }

// UseArrays replaces the driver's codecs of arrays in a map of types.
var UseArrays = useArrays

// LockWorkloads and LockAssigned are the statements that lock the workloads of a batch.
var (
	LockWorkloads = lockWorkloads
	LockAssigned  = lockAssigned
)

// Plan returns the plan of a statement of one argument on the main pool.
func Plan(ctx context.Context, s *Store, statement, argument string) ([]string, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "PREPARE planned(text[]) AS "+statement); err != nil {
		return nil, err
	}
	defer func() { _, _ = conn.Exec(ctx, "DEALLOCATE planned") }()
	rows, err := conn.Query(ctx, "EXPLAIN EXECUTE planned("+argument+")", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// RareColumns returns the names of the columns that a usual transition leaves alone and in which the states
// differ. Usual reports whether a transition between them is usual.
func RareColumns(a, b *domain.State) (names []string) {
	for _, c := range changedTable.columns {
		if c.writes&byUsual == 0 &&
			!reflect.DeepEqual(c.array([]*workload{{State: *a}}), c.array([]*workload{{State: *b}})) {
			names = append(names, c.name)
		}
	}
	return names
}

var Usual = usual

// QueryReads is Query on the pool of reads.
func QueryReads[T any](ctx context.Context, s *Store, query string) (v T, err error) {
	err = s.reads.pool.QueryRow(ctx, query).Scan(&v)
	return v, err
}

// Lifetimes returns how long the connections of each pool are used, without the jitter.
func Lifetimes(s *Store) map[string]time.Duration {
	return map[string]time.Duration{
		"main": s.pool.Config().MaxConnLifetime, "leases": s.leases.Config().MaxConnLifetime,
		"reads": s.reads.pool.Config().MaxConnLifetime,
	}
}
