package link

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// probeInterval is the time between two probes of a connection that answers.
	probeInterval = 500 * time.Millisecond
	// probeTimeout bounds one probe. After one without an answer, the connection counts as
	// disconnected. After the next one, it is replaced.
	probeTimeout = time.Second
)

var (
	// ErrSilent is returned by a probe that got no answer over a connection that looks sound.
	ErrSilent = errors.New("the connection has fallen silent")
	// ErrReported is returned by a probe of a connection whose end is reported by a call of
	// Disconnected.
	ErrReported = errors.New("not connected")
)

// Link is the state of a connection. It starts connected. Safe for concurrent use.
type Link struct {
	log *slog.Logger

	mu    sync.Mutex
	since time.Time // of the disconnection; zero while connected
	told  string    // the last reason that was logged since then
	next  int
	ends  map[int]context.CancelFunc // of the requests under way
}

// New returns a link. Changes are logged with address, which must hold no credentials.
func New(address string, log *slog.Logger) *Link {
	return &Link{log: log.With("address", address), ends: map[int]context.CancelFunc{}}
}

// IsConnected reports whether the other end answers, as far as is known. It does not ask.
func (l *Link) IsConnected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since.IsZero()
}

// WhileConnected returns a context that ends after timeout, and as soon as the link is
// disconnected: what was asked before is not answered any more.
func (l *Link) WhileConnected(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.since.IsZero() {
		cancel()
		return ctx, cancel
	}
	l.next++
	id := l.next
	l.ends[id] = cancel
	return ctx, func() {
		cancel()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.ends, id)
	}
}

// Disconnected notes that the connection was lost.
func (l *Link) Disconnected(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.since.IsZero() {
		return
	}
	l.since, l.told = time.Now(), err.Error()
	l.log.Warn("bus disconnected", "error", err)
	for _, end := range l.ends {
		end()
	}
	clear(l.ends)
}

// Refused notes why the other end refuses a new connection. Each reason is logged once.
func (l *Link) Refused(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() || strings.EqualFold(l.told, err.Error()) {
		return
	}
	l.told = err.Error()
	l.log.Warn("bus refuses the connection", "error", err)
}

// Connected notes that the other end answers.
func (l *Link) Connected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		return
	}
	l.log.Info("bus reconnected", "after", time.Since(l.since).Round(time.Millisecond).String())
	l.since, l.told = time.Time{}, ""
}

// Watch probes the connection until ctx ends. A connection that a router has forgotten looks like
// one over which nothing is said, so the other end must be asked. probe returns nil when it has
// answered; replace makes a new connection.
func (l *Link) Watch(ctx context.Context, probe func(ctx context.Context) error, replace func(ctx context.Context)) {
	ticks := time.NewTicker(probeInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		bounded, cancel := context.WithTimeout(ctx, probeTimeout)
		err := probe(bounded)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			l.Connected()
		case errors.Is(err, ErrReported):
		case l.IsConnected():
			l.Disconnected(err)
		case errors.Is(err, ErrSilent):
			replace(ctx)
		}
	}
}
