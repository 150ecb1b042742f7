package nats

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// pulseInterval is the time between two looks at a connection that answers.
	pulseInterval = 500 * time.Millisecond
	// pulseTimeout bounds how long the server may take to answer. After one it is known that the connection is silent;
	// after a second one in a row it is given up for a new one.
	pulseTimeout = time.Second
)

var (
	errUnreachable = errors.New("the server does not answer yet")
	errSilent      = errors.New("the connection has fallen silent")
)

// link is what is known of the connection. Each change is logged once.
type link struct {
	log   *slog.Logger
	mu    sync.Mutex
	since time.Time // when it went down; zero while it is up
	next  int
	ends  map[int]func() // of what is over when it goes down
}

func (l *link) isUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since.IsZero()
}

// whileUp returns a context that also ends when the link goes down: no answer comes any more to what was asked before.
func (l *link) whileUp(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.since.IsZero() {
		cancel()
		return ctx, cancel
	}
	if l.ends == nil {
		l.ends = map[int]func(){}
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

func (l *link) down(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		l.since = time.Now()
		l.log.Warn("bus disconnected", "error", err)
		for _, end := range l.ends {
			end()
		}
		clear(l.ends)
	}
}

func (l *link) up() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.since.IsZero() {
		l.log.Info("bus connected", "after", time.Since(l.since).Round(time.Millisecond).String())
		l.since = time.Time{}
	}
}

// watch asks the server for a sign of life again and again, because a connection that was dropped without a word looks
// like one over which nothing is said. The library's own pings take twice as long at least, and publish meanwhile into
// nothing.
func (b *Bus) watch(ctx context.Context) {
	defer close(b.watched)
	ticks := time.NewTicker(pulseInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if !b.conn.IsConnected() {
			continue
		}
		err := b.pulse(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			b.link.up()
		case !b.conn.IsConnected(): // noticed by the library
		case b.link.isUp():
			b.link.down(errSilent)
		default:
			if err := b.conn.ForceReconnect(); err != nil {
				b.log.Debug("bus: connect anew", "error", err)
			}
		}
	}
}

// pulse returns nil when the server has answered.
func (b *Bus) pulse(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, pulseTimeout)
	defer cancel()
	return b.conn.FlushWithContext(bounded)
}
