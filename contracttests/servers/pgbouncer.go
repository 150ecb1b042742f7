package servers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

var sharedPooler struct {
	port int
}

// Pooler starts a pgbouncer in transaction mode for the cluster, once. It returns the connection
// string of a database behind it, on which nothing may be prepared.
func (p *Postgres) Pooler(tb testing.TB, database string) string {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if sharedPooler.port == 0 {
		port, err := p.startPooler()
		require.NoError(tb, err)
		sharedPooler.port = port
	}
	return fmt.Sprintf("postgres://niyanta@127.0.0.1:%d/%s?sslmode=disable&default_query_exec_mode=exec",
		sharedPooler.port, database)
}

func (p *Postgres) startPooler() (int, error) {
	path, err := find("pgbouncer", "/usr/sbin")
	if err != nil {
		return 0, err
	}
	dir, err := testfiles.Folder("pb")
	if err != nil {
		return 0, err
	}
	onExit(func() { _ = os.RemoveAll(dir) }) // a temporary folder
	port := 0
	err = onFreePort(&port, func() error { return p.runPooler(path, dir, port) })
	return port, err
}

func (p *Postgres) runPooler(path, dir string, port int) error {
	ini := fmt.Sprintf(`[databases]
* = host=%s port=%d user=niyanta
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 10
max_db_connections = 10
ignore_startup_parameters = extra_float_digits
server_idle_timeout = 2
`, p.dir, p.Port, port)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(ini), 0o644); err != nil { //nolint:gosec // the server's user reads it
		return err
	}
	proc, err := start(dir, path, file)
	if err != nil {
		return err
	}
	onExit(func() { proc.end(syscall.SIGTERM) })
	return proc.ready(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx,
			fmt.Sprintf("postgres://niyanta@127.0.0.1:%d/postgres?sslmode=disable&default_query_exec_mode=exec", port))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}
