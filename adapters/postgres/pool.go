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

// Options configure a Store.
type Options struct {
	// URL is a connection string as libpq knows it. With default_query_exec_mode=exec in it,
	// nothing is prepared and no session parameter is set. Poolers in transaction mode need that.
	URL string
	// ReplicaURL lists replicas that serve lists, audit and logs, but never reads that decisions depend
	// on. A parameter weight, 1 to 100, says how much of them each serves in proportion.
	ReplicaURL string
	// MaxConns is the size of the main pool; 0 means four for each processor, at least 8.
	MaxConns int
	// ReadConns is the size of the pool that serves clients' reads; 0 means two for each
	// processor, at least 4.
	ReadConns int
	// Trace, if set, is called for every query, instead of what records spans.
	Trace pgx.QueryTracer
	// Dial, if set, replaces the default dialer. Tests use it to stand between the store and the
	// database.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
}

const (
	// queryTimeout bounds a query whose caller set no deadline. serverTimeout is the server's own
	// timeout, where sessions may be configured.
	queryTimeout  = 15 * time.Second
	serverTimeout = 20 * time.Second
	// Keepalive probes find idle connections whose other end has gone. userTimeout finds busy
	// ones, by data that nobody acknowledges.
	keepaliveIdle     = 10 * time.Second
	keepaliveInterval = 5 * time.Second
	userTimeout       = 15 * time.Second
	dialTimeout       = 5 * time.Second
	leaseConns        = 3
)

// complete replaces sizes of 0.
func (o *Options) complete() {
	if o.MaxConns == 0 {
		o.MaxConns = max(8, 4*runtime.NumCPU())
	}
	if o.ReadConns == 0 {
		o.ReadConns = max(4, 2*runtime.NumCPU())
	}
}

// Open returns a store. The database need not be up yet: pools connect when they are first used.
func Open(ctx context.Context, o Options) (*Store, error) {
	o.complete()
	s := &Store{
		url: o.URL, shown: certificates{url: o.URL}, dial: o.Dial, log: o.Log, horizon: horizon{turn: make(chan struct{}, 1)},
	}
	var err error
	if s.pool, err = openPool(ctx, o, o.URL, o.MaxConns, onPrimary); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if s.leases, err = openPool(ctx, o, o.URL, leaseConns, onPrimary); err != nil {
		s.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	reads, err := openPool(ctx, o, o.URL, o.ReadConns, readingPrimary)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	s.reads = newReaders(reads)
	if s.replicas, err = openReplicas(ctx, o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// forReading configures connections that only read: no writes, no parallel workers, a short
// timeout. A statement whose caller has gone is cancelled in the server.
func forReading(cc *pgx.ConnConfig) {
	cc.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: time.Second}
	}
	if plain(cc) {
		return
	}
	cc.RuntimeParams["statement_timeout"] = fmt.Sprint(readTimeout.Milliseconds())
	cc.RuntimeParams["max_parallel_workers_per_gather"] = "0"
	onlyRead(cc)
}

func openPool(
	ctx context.Context, o Options, url string, conns int, adapt func(*pgx.ConnConfig),
) (*pgxpool.Pool, error) {
	cfg, err := poolConfig(url, conns)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.Tracer = spanTracer{}
	if o.Trace != nil {
		cfg.ConnConfig.Tracer = o.Trace
	}
	adapt(cfg.ConnConfig)
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
	if err := renewed(cfg, url); err != nil {
		return nil, err
	}
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.HealthCheckPeriod = 15 * time.Second
	cfg.PingTimeout = dialTimeout
	cfg.BeforeConnect = (&certificates{url: url}).refresh
	cfg.AfterConnect = registerArrays
	cc := cfg.ConnConfig
	cc.ConnectTimeout = dialTimeout
	// A pooler may hand over a connection that listens for somebody else.
	cc.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
	cc.DialFunc = dialer().DialContext
	resolve := cc.LookupFunc
	cc.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
		bounded, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return resolve(bounded, host)
	}
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

// plannerSettings make the planner look rows up by index, which is right whatever the size of the
// tables. Otherwise it reads a whole table while that looks cheap, and keeps a plan that it made
// while a table was empty. docs/decisions/0008-postgres.md says what that costs.
var plannerSettings = map[string]string{
	"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
	"random_page_cost": "1.1", "jit": "off",
}

// localSettings is a statement that applies the planner settings to one transaction, for
// connections that have no session of their own.
var localSettings = func() string {
	var calls []string
	for _, name := range slices.Sorted(maps.Keys(plannerSettings)) {
		calls = append(calls, fmt.Sprintf("set_config('%s', '%s', true)", name, plannerSettings[name]))
	}
	return "SELECT " + strings.Join(calls, ", ")
}()

// Pooled reports whether a URL says that a pooler is between, which keeps no session.
func Pooled(url string) bool {
	cfg, err := pgxpool.ParseConfig(url)
	return err == nil && plain(cfg.ConnConfig)
}

// plain reports whether the connection goes through a pooler that keeps no session for it.
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
