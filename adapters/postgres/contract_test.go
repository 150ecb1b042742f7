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
	return postgres.ExecAll(url, servers.SlowClock...)
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
				conn, err := pgx.Connect(t.Context(), c.SocketURL(db))
				require.NoError(t, err)
				defer func() { require.NoError(t, conn.Close(t.Context())) }()
				n, err := servers.Traces(t.Context(), conn, customer, ws)
				require.NoError(t, err)
				return n
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

func TestStoresKeepTheirContracts(t *testing.T) {
	contracttests.RunStores(
		t, "postgres", harness(func(_ *testing.T, c *servers.Postgres, db string) string { return c.SocketURL(db) }),
	)
}

// A pooler in transaction mode gives each transaction another session, so nothing may depend on
// one.
func TestStoresKeepTheirContractsBehindAPooler(t *testing.T) {
	contracttests.RunSomeStores(t, "pgbouncer", 8,
		harness(func(t *testing.T, c *servers.Postgres, db string) string { return c.Pooler(t, db) }))
}
