//go:build explain

package postgres_test

import (
	"context"
	"flag"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
)

// explainRows is how many finished workloads there are at most, and how many the largest customer has
// waiting and finished.
var explainRows = flag.Int("rows", 1_000_000, "how many workloads the statements are compared with")

const (
	fewRows = 1_000
	// indexDepth is what larger indexes may cost: some more levels in each of the indexes that a read
	// descends.
	indexDepth = 12
)

// meter counts the pages that statements read.
type meter struct{ conn *pgx.Conn }

// startMetered starts a server that counts.
func startMetered(t *testing.T) (*servers.Postgres, meter) {
	t.Helper()
	c, err := servers.StartPostgres(true, "shared_preload_libraries=pg_stat_statements",
		"pg_stat_statements.track_utility=off", "max_wal_size=8GB", "shared_buffers=2GB")
	require.NoError(t, err)
	t.Cleanup(c.Remove)
	c.Exec(t, "postgres", "CREATE EXTENSION pg_stat_statements")
	conn, err := pgx.Connect(t.Context(), c.SocketURL("postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return c, meter{conn}
}

// pages returns how many pages a read takes once the caches of the store and of its connections are
// warm, whether they come from memory or from the disk.
func (m meter) pages(t *testing.T, read func() error) int {
	t.Helper()
	var all []int
	for range 5 {
		_, err := m.conn.Exec(t.Context(), "SELECT pg_stat_statements_reset()")
		require.NoError(t, err)
		require.NoError(t, read())
		var n int
		require.NoError(t, m.conn.QueryRow(t.Context(), `SELECT coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint
 FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'`).Scan(&n))
		all = append(all, n)
	}
	return slices.Min(all)
}
