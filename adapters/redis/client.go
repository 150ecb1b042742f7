package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	dialTimeout = 2 * time.Second
	callTimeout = 2 * time.Second
	// idleTimeout is how long an unused connection is kept. One that has fallen silent is not tried
	// after it.
	idleTimeout = 5 * time.Second
)

// quiet keeps the client library from writing lines of its own to standard error, between the lines
// of the log. What fails is returned to callers, and logged by them.
type quiet struct{}

// Printf implements the library's logger.
func (quiet) Printf(context.Context, string, ...any) {}

var setLogger = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// Connect returns a client. It does not need Redis: the client connects when it is used. url looks
// like redis://user:password@host:6379/0 or rediss://…. secure, if set, returns the authorities and
// the certificate that a connection with rediss:// uses, each time one is made.
func Connect(url string, secure func() *tls.Config) (*redis.Client, error) {
	setLogger()
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("the Redis URL is not valid; it looks like redis://user:password@host:6379/0")
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, callTimeout, callTimeout
	o.ContextTimeoutEnabled = true
	o.ConnMaxIdleTime = idleTimeout
	o.MaxRetries = 1
	o.ClientName = "niyanta"
	if secure != nil && o.TLSConfig != nil {
		o.Dialer = dialer(o.TLSConfig, secure)
	}
	return redis.NewClient(o), nil
}

// dialer returns a function that connects as base says, with the authorities and the certificate of
// secure.
func dialer(
	base *tls.Config, secure func() *tls.Config,
) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		now, c := secure(), base.Clone()
		c.RootCAs, c.Certificates = now.RootCAs, now.Certificates
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: c}
		return d.DialContext(ctx, network, address)
	}
}

// translate makes a domain error of the client's. The end of ctx surfaces as itself.
func translate(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	cause := fmt.Errorf("redis: %w", err)
	return &domain.Error{Code: domain.CodeUnavailable, Message: "Redis is not available", Cause: cause}
}
