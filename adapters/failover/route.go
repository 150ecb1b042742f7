package failover

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

// Route is one way to the coordinators: a transport to one of them, or to whichever answers. Safe
// for concurrent use.
type Route interface {
	// Try returns a view of the coordinators over this route. Each call on it is one try. It fails
	// with CodeUnavailable and ports.ErrUnanswered when nothing was heard or sent for patience,
	// which a poll adds to the time it waits. It fails with CodeTooLarge when the route cannot
	// carry it, and like any control plane otherwise. With fresh, the calls use a new connection,
	// if the transport has several.
	Try(patience time.Duration, fresh bool) ports.ControlPlane
	// Connected reports whether the route is connected, as far as is known. It does not ask.
	Connected() bool
	// String names the route in logs.
	String() string
}

// Push is a route over which coordinators send commands unasked. Its polls return what has arrived.
// They fail with CodeTooLarge when a command must be fetched over another route.
type Push interface {
	Route
	// Ping returns nil when a coordinator has answered over the route.
	Ping(ctx context.Context) error
}

// recently is how long a route comes after the others when a coordinator has said over it that it
// is not available.
const recently = 5 * time.Second

// path is a route and whether it works.
type path struct {
	Route
	log *slog.Logger

	mu sync.Mutex
	// since is when tries began to fail, at is when the last one failed. Both are zero while tries
	// succeed.
	since, at time.Time
	silent    bool // nothing was heard since at
	unlogged  bool // the transport has logged the failure itself
}

// works reports whether the route is connected and answers.
func (p *path) works() bool { return p.Connected() && !p.isSilent() }

func (p *path) isSilent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.silent
}

// rank returns zero for a route that works. Of two others, the earlier rank is tried first.
func (p *path) rank() time.Time {
	connected := p.Connected()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.silent, !p.at.IsZero() && time.Since(p.at) < recently:
		return p.at
	case !connected:
		return time.Unix(1, 0)
	}
	return time.Time{}
}

// fail notes a try that failed. The first one of several is logged.
func (p *path) fail(err error) {
	connected, now := p.Connected(), time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.silent = now, p.silent || errors.Is(err, ports.ErrUnanswered)
	if !p.since.IsZero() {
		return
	}
	if p.since, p.unlogged = now, !connected; !p.unlogged {
		p.log.Warn("coordinators disconnected", "route", p.String(), "error", err)
	}
}

// succeed notes a try that was answered.
func (p *path) succeed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return
	}
	if !p.unlogged {
		after := time.Since(p.since).Round(time.Millisecond).String()
		p.log.Info("coordinators reconnected", "route", p.String(), "after", after)
	}
	p.since, p.at, p.silent, p.unlogged = time.Time{}, time.Time{}, false, false
}
