package postgres

import (
	"context"
	"crypto/x509"
	"sync"
	"time"

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

// CertificateExpiry returns when the client certificate that the URL names expires, or the first of
// its intermediates. It is zero if the URL names none.
func (s *Store) CertificateExpiry() (expires time.Time) {
	now := s.shown.look()
	if now == nil || now.TLSConfig == nil {
		return time.Time{}
	}
	for _, pair := range now.TLSConfig.Certificates {
		for _, raw := range pair.Certificate {
			c, err := x509.ParseCertificate(raw)
			if err == nil && (expires.IsZero() || c.NotAfter.Before(expires)) {
				expires = c.NotAfter
			}
		}
	}
	return expires
}

// look parses the URL and returns the last result that was good; nil: there was none.
func (c *certificates) look() *pgconn.Config {
	now, err := pgconn.ParseConfig(c.url)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.lastGood = now
	}
	return c.lastGood
}

// refresh gives a connection that begins now the certificates of now. It is pgxpool's
// BeforeConnect.
func (c *certificates) refresh(_ context.Context, cc *pgx.ConnConfig) error {
	if cc.TLSConfig == nil {
		return nil
	}
	if now := c.look(); now != nil {
		cc.TLSConfig, cc.Fallbacks = now.TLSConfig, now.Fallbacks
	}
	return nil
}
