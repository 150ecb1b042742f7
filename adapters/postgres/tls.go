package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// certificates are the ones that a URL names, with sslrootcert, sslcert and sslkey. The library
// reads them when it parses the URL, so the URL is parsed again for each new connection. Files that
// cannot be used leave the earlier ones in use. Safe for concurrent use.
type certificates struct {
	url string

	mu       sync.Mutex
	lastGood *pgconn.Config // nil: there was nothing better than what the pool began with
}

// refresh gives a connection that begins now the certificates of now. It is pgxpool's
// BeforeConnect.
func (c *certificates) refresh(_ context.Context, cc *pgx.ConnConfig) error {
	if cc.TLSConfig == nil {
		return nil
	}
	now, err := pgconn.ParseConfig(c.url)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.lastGood = now
	}
	if c.lastGood != nil {
		cc.TLSConfig, cc.Fallbacks = c.lastGood.TLSConfig, c.lastGood.Fallbacks
	}
	return nil
}
