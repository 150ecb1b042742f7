package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
)

// insertEvent inserts an audit event of cust_a, and returns its id.
func insertEvent(t *testing.T, tx pgx.Tx) (id int64) {
	t.Helper()
	require.NoError(t, tx.QueryRow(t.Context(), `INSERT INTO audit (at, workload_id, customer_id, type, actor_kind,
 actor_id, from_status, to_status, generation, worker_id, checkpoint_sequence, reason)
 VALUES (now(), 'wl_1', 'cust_a', 'workload.created', 'user', 'key', '', 'PENDING', 0, '', 0, '')
 RETURNING audit_id`).Scan(&id))
	return id
}

// TestHorizon_WhenCommitsOvertake_StopsBeforeTheFirstThatIsOpen has transactions commit in another
// order than that in which they drew their ids, while one that writes no events stays open.
func TestHorizon_WhenCommitsOvertake_StopsBeforeTheFirstThatIsOpen(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	url := c.SocketURL(c.Database(t))
	s := open(t, url)
	events := s.Stores().Events
	begin := func() pgx.Tx {
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		return tx
	}
	visible := func() (ids []int64, h domain.Horizon) {
		h, err := events.Horizon(t.Context())
		require.NoError(t, err)
		es, err := events.OfCustomer(t.Context(), "cust_a", 0, h.Settled, 100)
		require.NoError(t, err)
		for _, e := range es {
			ids = append(ids, e.ID)
		}
		return ids, h
	}
	foreign := begin()
	_, err := foreign.Exec(t.Context(), "CREATE TABLE of_somebody_else AS SELECT pg_current_xact_id()::text AS id")
	require.NoError(t, err)

	first, second, third := begin(), begin(), begin()
	a, b := insertEvent(t, first), insertEvent(t, second)
	require.NoError(t, second.Commit(t.Context()))
	ids, h := visible()
	require.Empty(t, ids, "an event that a lower id may still precede is not read")
	require.Less(t, h.Settled, a)
	require.Equal(t, b, h.Last)
	time.Sleep(5 * time.Millisecond)
	_, _ = visible()
	require.Greater(t, s.EventLag(), 5*time.Millisecond)

	last := insertEvent(t, third)
	require.NoError(t, first.Commit(t.Context()))
	ids, h = visible()
	require.Equal(t, []int64{a, b}, ids, "a transaction that drew its id later holds back only what is behind it")
	require.Equal(t, b, h.Settled)
	require.NoError(t, third.Rollback(t.Context()))
	ids, h = visible()
	require.Equal(t, []int64{a, b}, ids)
	require.Equal(t, last, h.Settled)
	require.Zero(t, s.EventLag(), "a transaction that writes no events holds nothing back")
	require.NoError(t, foreign.Rollback(t.Context()))
}

func TestHorizon_WhenTheStoreIsRestored_FallsBack(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	db := c.Database(t)
	s := open(t, c.SocketURL(db))
	c.Exec(t, db, "SELECT setval('audit_ids', 1000)")
	h, err := s.Stores().Events.Horizon(t.Context())
	require.NoError(t, err)
	require.Equal(t, domain.Horizon{Settled: 1000, Last: 1000}, h)
	c.Exec(t, db, "SELECT setval('audit_ids', 10)")
	h, err = s.Stores().Events.Horizon(t.Context())
	require.NoError(t, err)
	assert.Equal(t, domain.Horizon{Settled: 10, Last: 10}, h)
}

// TestOfAll_WithAThousandCustomers_ReadsAsMuchAsWithTen counts the pages that a read of a page of
// events touches.
func TestOfAll_WithAThousandCustomers_ReadsAsMuchAsWithTen(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	url := c.SocketURL(c.Database(t))
	s := open(t, url)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	// grow gives each of n customers five events, in turns, and returns how many pages it takes to read
	// the last hundred.
	grow := func(n int) (pages int) {
		_, err := conn.Exec(t.Context(), `INSERT INTO customers (customer_id, name, tier, created_at, updated_at)
 SELECT 'cust_' || g, 'C', 'free', now(), now() FROM generate_series(1, $1) g ON CONFLICT DO NOTHING`, n)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), `INSERT INTO audit (at, workload_id, customer_id, type, actor_kind, actor_id,
 from_status, to_status, generation, worker_id, checkpoint_sequence, reason)
 SELECT now() - interval '1 month' * (e % 2), 'wl_' || g, 'cust_' || g, 'workload.created', 'user', 'key', '',
  'PENDING', 0, '', 0, '' FROM generate_series(1, 5) e, generate_series(1, $1) g`, n)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "VACUUM ANALYZE audit")
		require.NoError(t, err)
		h, err := s.Stores().Events.Horizon(t.Context())
		require.NoError(t, err)
		events, err := s.Stores().Events.OfAll(t.Context(), h.Settled-50, h.Settled, 100)
		require.NoError(t, err)
		require.Len(t, events, 50)
		var plan []struct {
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		require.NoError(t, conn.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+postgres.SelectAuditOfAll,
			h.Settled-50, h.Settled, 100).Scan(&plan))
		return plan[0].Plan.Hit + plan[0].Plan.Read
	}
	ten := grow(10)
	thousand := grow(1000)
	require.Positive(t, ten)
	require.Less(t, thousand, 40, "a look at each customer takes some pages for each")
	t.Logf("%d pages with 10 customers, %d with 1,000", ten, thousand)
}
