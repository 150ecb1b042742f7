package redis

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// pulseInterval is the time between two looks at connections that answer.
	pulseInterval = 500 * time.Millisecond
	// pulseTimeout bounds how long a message to this process itself may take. After one it is known that a connection is
	// silent; after a second one in a row a new one is made.
	pulseTimeout = time.Second
)

var errSilent = errors.New("a connection has fallen silent")

// link is what is known of the connections. Each change is logged once.
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

// watch sends a message to this process itself again and again, because a connection that was dropped without a word
// looks like one over which nothing is said. The message takes both ways: what publishes, and what receives.
func (b *Bus) watch(ctx context.Context) {
	ticks := time.NewTicker(pulseInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		err := b.pulse(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			b.link.up()
		case b.link.isUp():
			b.link.down(err)
		case errors.Is(err, errSilent):
			b.renew(ctx)
		}
	}
}

// pulse returns nil when a message to this process has arrived, and errSilent when it did not arrive in time.
func (b *Bus) pulse(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, pulseTimeout)
	defer cancel()
	f := frame{ID: b.ids.New("")}
	arrived, forget := b.expect(f.ID)
	defer forget()
	if _, err := b.put(bounded, b.inbox, f); err != nil {
		if bounded.Err() != nil {
			return errSilent
		}
		return err
	}
	select {
	case <-arrived:
		return nil
	case <-bounded.Done():
		return errSilent
	}
}

// renew receives over a new connection.
func (b *Bus) renew(ctx context.Context) {
	select {
	case b.telling <- struct{}{}:
		defer func() { <-b.telling }()
	case <-ctx.Done():
		return
	}
	b.mu.Lock()
	channels, patterns := []string{b.inbox}, []string(nil)
	for name, t := range b.topics {
		if t.tokens != nil {
			patterns = append(patterns, name)
		} else {
			channels = append(channels, name)
		}
	}
	b.mu.Unlock()
	fresh := b.client.Subscribe(ctx, channels...)
	if len(patterns) > 0 {
		_ = fresh.PSubscribe(ctx, patterns...) // the client keeps them for its next connection
	}
	b.mu.Lock()
	old := b.pubsub
	b.pubsub = fresh
	clear(b.told)
	for _, name := range append(channels, patterns...) {
		b.told[name] = true
	}
	b.mu.Unlock()
	_ = old.Close() // ends the call that waits for it
}
