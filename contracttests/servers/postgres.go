package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// Postgres is a PostgreSQL cluster.
type Postgres struct {
	dir, bin string
	Port     int
	durable  bool
	settings []string

	mu       sync.Mutex
	server   *process
	template string
	shape    string   // of the template
	free     []string // databases like the template
	n        atomic.Int64

	managing sync.Mutex
	manager  *pgx.Conn
}

// queryTimeout bounds what a test asks the server for.
const queryTimeout = 5 * time.Minute

var shared struct {
	sync.Mutex
	cluster *Postgres
}

// SharedPostgres returns the cluster that the tests of this process share. It has no fsync. prepare
// makes the template of its databases, once.
func SharedPostgres(tb testing.TB, prepare func(url string) error) *Postgres {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		p, err := StartPostgres(false)
		require.NoError(tb, err)
		onExit(p.Remove)
		require.NoError(tb, p.MakeTemplate(prepare))
		shared.cluster = p
	}
	return shared.cluster
}

// StartPostgres makes a cluster in a temporary folder and starts it. durable keeps fsync on.
// Settings look like "name=value".
func StartPostgres(durable bool, settings ...string) (*Postgres, error) {
	initdb, err := find("initdb", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
	if err != nil {
		return nil, err
	}
	p := &Postgres{bin: filepath.Dir(initdb), durable: durable, settings: settings}
	if p.dir, err = testfiles.Folder("pg"); err != nil {
		return nil, err
	}
	cmd, out, err := command(p.dir, initdb, "-D", filepath.Join(p.dir, "data"), "-U", "niyanta", "-A", "trust", "-E",
		"UTF8", "--locale=C", "--no-sync")
	if err != nil {
		return nil, err
	}
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return p, onFreePort(&p.Port, p.Start)
}

// Start starts the server of a stopped cluster.
func (p *Postgres) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	args := []string{
		"-D", filepath.Join(p.dir, "data"), "-k", p.dir, "-h", "127.0.0.1", "-p", fmt.Sprint(p.Port), "-c",
		"max_connections=300",
		"-c", "shared_buffers=256MB", "-c", "timezone=Asia/Kolkata", // whatever the server's zone, times are instants
	}
	if !p.durable {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")
	}
	for _, setting := range p.settings {
		args = append(args, "-c", setting)
	}
	var err error
	if p.server, err = start(p.dir, filepath.Join(p.bin, "postgres"), args...); err != nil {
		return err
	}
	return p.server.ready(func() error { return p.run(context.Background(), "postgres", "SELECT 1") })
}

// Stop ends the server. With immediate, it ends at once and without a checkpoint, as in a crash.
func (p *Postgres) Stop(immediate bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sig := syscall.SIGINT
	if immediate {
		sig = syscall.SIGQUIT
	}
	p.server.end(sig)
}

// Remove ends the server and deletes its data.
func (p *Postgres) Remove() {
	p.Stop(true)
	_ = os.RemoveAll(p.dir) // a temporary folder
}

// Log returns what the server has logged since its start.
func (p *Postgres) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server.out.String()
}

// URL returns the connection string of a database, over TCP.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://niyanta@127.0.0.1:%d/%s?sslmode=disable", p.Port, database)
}

// SocketURL returns the connection string of a database, over the cluster's socket.
func (p *Postgres) SocketURL(database string) string {
	return fmt.Sprintf("postgres://niyanta@/%s?host=%s&port=%d&sslmode=disable", database, p.dir, p.Port)
}

// run executes each statement by itself on a database.
func (p *Postgres) run(ctx context.Context, database string, statements ...string) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.SocketURL(database))
	if err != nil {
		return err
	}
	return errors.Join(execute(ctx, conn, statements), conn.Close(ctx))
}

func execute(ctx context.Context, conn *pgx.Conn, statements []string) error {
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// manage executes statements about databases, over one connection: to connect takes longer than most of
// them.
func (p *Postgres) manage(statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	p.managing.Lock()
	defer p.managing.Unlock()
	if p.manager == nil || p.manager.Ping(ctx) != nil {
		var err error
		if p.manager, err = pgx.Connect(ctx, p.SocketURL("postgres")); err != nil {
			return err
		}
	}
	return execute(ctx, p.manager, statements)
}

// Exec executes statements on a database.
func (p *Postgres) Exec(tb testing.TB, database string, statements ...string) {
	tb.Helper()
	require.NoError(tb, p.run(context.WithoutCancel(tb.Context()), database, statements...))
}

// MakeTemplate prepares the database that the others are copied from.
func (p *Postgres) MakeTemplate(prepare func(url string) error) error {
	const name = "template_niyanta"
	if err := p.run(context.Background(), "postgres", "CREATE DATABASE "+name); err != nil {
		return err
	}
	if err := prepare(p.SocketURL(name)); err != nil {
		return err
	}
	p.template = name
	return p.keep(context.Background(), name)
}

// Database returns a database like the template, for as long as the test runs.
func (p *Postgres) Database(tb testing.TB) string {
	tb.Helper()
	name, ok := p.take()
	if !ok {
		name = p.name()
		require.NoError(tb, p.manage("CREATE DATABASE "+name+" TEMPLATE "+p.template+" STRATEGY FILE_COPY"))
	}
	tb.Cleanup(func() { p.giveBack(tb, name) })
	return name
}

// EmptyDatabase makes an empty database. It is dropped with the test.
func (p *Postgres) EmptyDatabase(tb testing.TB) string {
	tb.Helper()
	name := p.name()
	require.NoError(tb, p.manage("CREATE DATABASE "+name))
	tb.Cleanup(func() { p.Drop(tb, name) })
	return name
}

// name returns a name that no database has had.
func (p *Postgres) name() string { return fmt.Sprintf("t%d", p.n.Add(1)) }

// Empty deletes all rows of a database but those of the tables to keep. It is several times faster
// than a new database.
func (p *Postgres) Empty(tb testing.TB, database string, keep ...string) {
	tb.Helper()
	p.Exec(tb, database, fmt.Sprintf(`DO $$ DECLARE t regclass; BEGIN
 SET LOCAL session_replication_role = replica; -- foreign keys don't matter when everything goes
 FOR t IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
  AND relnamespace = 'public'::regnamespace AND NOT relname = ANY('{%s}'::text[]) LOOP
  EXECUTE 'DELETE FROM ' || t;
 END LOOP; END $$`, strings.Join(keep, ",")))
}

// Drop drops a database before its test ends.
func (p *Postgres) Drop(tb testing.TB, name string) {
	tb.Helper()
	require.NoError(tb, p.manage("DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"))
}
