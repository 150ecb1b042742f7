package postgres_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestMain(m *testing.M) { os.Exit(servers.Run(m, func() error { return goleak.Find() })) }

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// prepare migrates, and replaces the store's clock with one that can be advanced.
func prepare(url string) error {
	if _, err := postgres.MigrateUp(context.Background(), url, silent); err != nil {
		return err
	}
	return postgres.ExecAll(url,
		"CREATE TABLE test_clock (shift interval NOT NULL)", "INSERT INTO test_clock VALUES ('0')",
		"CREATE OR REPLACE FUNCTION niyanta_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT "+
			"statement_timestamp() + (SELECT shift FROM test_clock)'")
}

func open(tb testing.TB, url string) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), postgres.Options{URL: url, Log: silent})
	require.NoError(tb, err)
	tb.Cleanup(s.Close)
	return s
}

// harness gives each test a database of its own. through makes the store's URL from the cluster
// and the database.
func harness(
	through func(t *testing.T, c *servers.Postgres, database string) string,
) func(t *testing.T) contracttests.StoreHarness {
	return func(t *testing.T) contracttests.StoreHarness {
		t.Helper()
		c := servers.SharedPostgres(t, prepare)
		db := c.Database(t)
		url := through(t, c, db)
		return contracttests.StoreHarness{
			Open:  func() ports.Stores { return open(t, url).Stores() },
			Sizes: func(t contracttests.T) map[string]int { return sizes(t, c.SocketURL(db)) },
			Traces: func(t contracttests.T, customer domain.CustomerID, ws []domain.WorkloadID) map[string]int {
				return traces(t, c.SocketURL(db), customer, ws)
			},
			Advance: func(d time.Duration) {
				c.Exec(
					t, db,
					fmt.Sprintf("UPDATE test_clock SET shift = shift + interval '%d microseconds'", d.Microseconds()),
				)
			},
		}
	}
}

// sizes counts the rows of all tables, but of those whose rows live for minutes by the server's own
// clock.
func sizes(t contracttests.T, url string) map[string]int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	rows, err := conn.Query(t.Context(), `SELECT relname::text FROM pg_class
 WHERE relkind IN ('r', 'p') AND NOT relispartition
 AND relnamespace = 'public'::regnamespace AND relname NOT IN ('commits', 'test_clock')`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	n := map[string]int{}
	for _, table := range tables {
		var rows int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&rows))
		n[table] = rows
	}
	return n
}

// traces counts the rows of a customer and its workloads in all tables that name a customer, a
// workload or a lane, as the catalogue has them. So it knows the tables of later migrations.
func traces(
	t contracttests.T, url string, customer domain.CustomerID, workloads []domain.WorkloadID,
) map[string]int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	rows, err := conn.Query(t.Context(), `SELECT c.relname::text, array_agg(a.attname::text)
 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
  AND a.attname IN ('customer_id', 'workload_id', 'lane_id') AND c.relname NOT IN ('admin_audit', 'deleted_customers')
 GROUP BY 1`)
	require.NoError(t, err)
	tables := map[string][]string{}
	var table string
	var columns []string
	_, err = pgx.ForEachRow(rows, []any{&table, &columns}, func() error { tables[table] = columns; return nil })
	require.NoError(t, err)
	require.Greater(t, len(tables), 20)
	conditions := map[string]string{
		"customer_id": "customer_id = $1", "workload_id": "workload_id = ANY($2)",
		"lane_id": "starts_with(lane_id, $1 || '/')",
	}
	n := map[string]int{}
	for table, columns := range tables {
		sql := "SELECT count(*) FROM " + table + " WHERE $1::text = '' OR $2::text[] IS NULL"
		for _, c := range columns {
			sql += " OR " + conditions[c]
		}
		var rows int
		require.NoError(t, conn.QueryRow(t.Context(), sql, customer, workloads).Scan(&rows), sql)
		n[table] = rows
	}
	return n
}

func TestStoresKeepTheirContracts(t *testing.T) {
	contracttests.RunStores(
		t, "postgres", harness(func(_ *testing.T, c *servers.Postgres, db string) string { return c.SocketURL(db) }),
	)
}

// A pooler in transaction mode gives each transaction another session, so nothing may depend on
// one.
func TestStoresKeepTheirContractsBehindAPooler(t *testing.T) {
	contracttests.RunStores(
		t, "pgbouncer", harness(func(t *testing.T, c *servers.Postgres, db string) string { return c.Pooler(t, db) }),
	)
}
