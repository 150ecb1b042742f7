package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options say where the database is.
type Options struct {
	// URL is a connection string of libpq's form. With default_query_exec_mode=exec in it, nothing is prepared and no
	// session parameter is set, as poolers in transaction mode need it.
	URL string
	// ReplicaURL, if set, serves lists and audit reads; decisions never.
	ReplicaURL string
	// MaxConns bounds the main pool; 0: four for each processor, at least 8.
	MaxConns int
	// ReadConns bounds the pool of what clients read; 0: two for each processor, at least 4.
	ReadConns int
	// Trace, if set, is told of every query.
	Trace pgx.QueryTracer
	// Dial, if set, connects in place of the default; it is how tests stand between the store and the database.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
}

const (
	// queryTimeout bounds a query whose caller set no deadline; serverTimeout is the same in the server, if sessions may be configured.
	queryTimeout  = 15 * time.Second
	serverTimeout = 20 * time.Second
	// keepalive finds a connection whose other end has gone: idle ones by probes, busy ones by unacknowledged data.
	keepaliveIdle  = 10 * time.Second
	keepaliveInterval = 5 * time.Second
	userTimeout    = 15 * time.Second
	dialTimeout        = 5 * time.Second
	leaseConns     = 3
)

// Open returns a store. It does not need the database to be there yet: pools connect when first used.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.MaxConns == 0 {
		o.MaxConns = max(8, 4*runtime.NumCPU())
	}
	if o.ReadConns == 0 {
		o.ReadConns = max(4, 2*runtime.NumCPU())
	}
	s := &Store{log: o.Log}
	var err error
	if s.pool, err = openPool(ctx, o, o.URL, o.MaxConns, nil); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if s.leases, err = openPool(ctx, o, o.URL, leaseConns, nil); err != nil {
		s.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	reads, err := openPool(ctx, o, o.URL, o.ReadConns, forReading)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	s.reads = newReaders(reads)
	s.history = s.reads
	if o.ReplicaURL != "" {
		replica, err := openPool(ctx, o, o.ReplicaURL, o.MaxConns, forReading)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("read replica: %w", err)
		}
		s.history = newReaders(replica)
	}
	return s, nil
}

// forReading sets up connections that only read: no writes, no parallel workers, an early end. A statement whose caller has gone is
// cancelled in the server.
func forReading(cc *pgx.ConnConfig) {
	cc.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: time.Second}
	}
	if plain(cc) {
		return
	}
	cc.RuntimeParams["statement_timeout"] = fmt.Sprint(readTimeout.Milliseconds())
	cc.RuntimeParams["max_parallel_workers_per_gather"] = "0"
	cc.RuntimeParams["default_transaction_read_only"] = "on"
}

func openPool(ctx context.Context, o Options, url string, conns int, adapt func(*pgx.ConnConfig)) (*pgxpool.Pool, error) {
	cfg, err := poolConfig(url, conns)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.Tracer = o.Trace
	if adapt != nil {
		adapt(cfg.ConnConfig)
	}
	if o.Dial != nil {
		cfg.ConnConfig.DialFunc = o.Dial
	}
	return pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg)
}

var errURL = errors.New("the URL is not valid; it looks like postgres://user:password@host:5432/database")

func poolConfig(url string, conns int) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errURL
	}
	cfg.MaxConns = int32(min(conns, 1000)) //nolint:gosec // bounded
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.HealthCheckPeriod = 15 * time.Second
	cfg.PingTimeout = dialTimeout
	cc := cfg.ConnConfig
	cc.ConnectTimeout = dialTimeout
	cc.DialFunc = dialer().DialContext
	if cc.RuntimeParams["application_name"] == "" {
		cc.RuntimeParams["application_name"] = "niyanta"
	}
	if !plain(cc) {
		for name, value := range plannerSettings {
			cc.RuntimeParams[name] = value
		}
		cc.RuntimeParams["statement_timeout"] = fmt.Sprint(serverTimeout.Milliseconds())
		cc.RuntimeParams["idle_in_transaction_session_timeout"] = fmt.Sprint(serverTimeout.Milliseconds())
		cc.RuntimeParams["timezone"] = "UTC"
	}
	return cfg, nil
}

// plannerSettings keep the planner to what is right whatever the tables' sizes: by index, row by row. Left alone, it reads a
// whole table as long as that looks cheap, and keeps a plan that it made for a table when that was empty. See
// docs/decisions/0008-postgres.md for what it costs otherwise.
var plannerSettings = map[string]string{
	"plan_cache_mode": "force_custom_plan", "enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
	"random_page_cost": "1.1", "jit": "off",
}

// localSettings is a statement that makes the planner settings hold for one transaction, for where sessions are not ours.
var localSettings = func() string {
	var calls []string
	for _, name := range slices.Sorted(maps.Keys(plannerSettings)) {
		calls = append(calls, fmt.Sprintf("set_config('%s', '%s', true)", name, plannerSettings[name]))
	}
	return "SELECT " + strings.Join(calls, ", ")
}()

// plain reports whether the connection goes through something that keeps no session for us.
func plain(cc *pgx.ConnConfig) bool {
	return cc.DefaultQueryExecMode == pgx.QueryExecModeExec || cc.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol
}

func dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepaliveIdle, Interval: keepaliveInterval, Count: 3},
		Control: func(network, _ string, c syscall.RawConn) error {
			if network != "tcp4" && network != "tcp6" {
				return nil
			}
			var serr error
			err := c.Control(func(fd uintptr) {
				serr = boundUnacknowledged(fd, userTimeout)
			})
			return errors.Join(err, serr)
		},
	}
}
