package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// connectTimeout bounds a connection to the first host of a URL that can be used. Each address is
	// tried for dialTimeout, one after the other, so that some may be dark.
	connectTimeout = 8 * dialTimeout
	// connLifetime is how long a connection of a pool is used, unless the URL says it, and up to
	// connJitter more. After a failover some may lead to what the database was before.
	connLifetime = 10 * time.Minute
	connJitter   = 2 * time.Minute
)

// readOnlyTransaction is the SQLSTATE of a write on a server or in a session that only reads.
const readOnlyTransaction = "25006"

// onPrimary makes connections lead to a server that takes writes. A standby is refused, unless the
// URL says with target_session_attrs what is wanted. A connection on which a write was refused is
// closed, so that the next one asks again who the primary is.
func onPrimary(cc *pgx.ConnConfig) {
	if cc.ValidateConnect == nil {
		cc.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	before := cc.OnPgError
	cc.OnPgError = func(c *pgconn.PgConn, err *pgconn.PgError) bool {
		return err.Code != readOnlyTransaction && before(c, err)
	}
}

// readingPrimary is forReading for connections to the primary, which may be read-only for a while.
func readingPrimary(cc *pgx.ConnConfig) {
	cc.ValidateConnect = nil
	forReading(cc)
	cc.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
}

// onlyRead makes transactions of a connection read-only unless they ask for more.
func onlyRead(cc *pgx.ConnConfig) {
	if cc.ValidateConnect == nil {
		cc.RuntimeParams["default_transaction_read_only"] = "on"
		return
	}
	// What the URL wants of the server (target_session_attrs) may be asked by the same setting.
	cc.AfterConnect = func(ctx context.Context, c *pgconn.PgConn) error {
		bounded, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		_, err := c.Exec(bounded, "SET default_transaction_read_only = on").ReadAll()
		return err
	}
}

// renewed bounds the life of a pool's connections unless the URL does.
func renewed(cfg *pgxpool.Config, url string) error {
	set, err := pgconn.ParseConfig(url)
	if err != nil {
		return errURL
	}
	if set.RuntimeParams["pool_max_conn_lifetime"] == "" {
		cfg.MaxConnLifetime = connLifetime
		if set.RuntimeParams["pool_max_conn_lifetime_jitter"] == "" {
			cfg.MaxConnLifetimeJitter = connJitter
		}
	}
	return nil
}

// connect opens one connection.
func connect(ctx context.Context, cc *pgx.ConnConfig) (*pgx.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return pgx.ConnectConfig(bounded, cc)
}

// ask runs f on a connection to the primary, or to a standby if all servers that answer are standbys.
// f may take dialTimeout.
func ask(ctx context.Context, url string, f func(context.Context, *pgx.Conn) error) error {
	cfg, err := poolConfig(url, 1)
	if err != nil {
		return err
	}
	cc := cfg.ConnConfig
	onPrimary(cc)
	c, err := connect(ctx, cc)
	if standby(err) {
		cc.ValidateConnect = nil
		c, err = connect(ctx, cc)
	}
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	defer func() { _ = c.Close(bounded) }() // nothing is left to lose
	return f(bounded, c)
}

// standby reports whether err means that a server was refused because it takes no writes.
func standby(err error) bool {
	return errors.Is(err, pgconn.ErrStandbyConnection) || errors.Is(err, pgconn.ErrReadOnlyConnection)
}
