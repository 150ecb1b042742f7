package controlplane

import (
	"context"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// mailboxMax bounds the commands kept for a worker that does not poll; beyond it the oldest go, because every command
	// comes again by reconciliation.
	mailboxMax = 20_000
	// mailboxIdle is how long a mailbox stays without being polled.
	mailboxIdle = 2 * time.Minute
)

// mailboxes keep commands between the polls of workers that are connected here.
type mailboxes struct {
	listener ports.Listener
	clock    ports.Clock
	mu       sync.Mutex
	open     map[domain.WorkerID]*mailbox
	swept    time.Time
}

// mailbox is one worker's.
type mailbox struct {
	sub ports.Subscription

	mu       sync.Mutex
	session  domain.SessionID
	commands []ports.Command
	arrived  chan struct{} // holds a token while there may be commands
	polled   time.Time
}

// of returns the mailbox of a session, opening it when needed. A newer session empties it.
func (m *mailboxes) of(ctx context.Context, ref ports.SessionRef) (*mailbox, error) {
	now := m.clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	box := m.open[ref.WorkerID]
	if box == nil {
		box = &mailbox{arrived: make(chan struct{}, 1), session: ref.SessionID}
		// The subscription outlives the request that opened it.
		sub, err := m.listener.Commands(context.WithoutCancel(ctx), ref.WorkerID, box.put)
		if err != nil {
			return nil, err
		}
		box.sub = sub
		m.open[ref.WorkerID] = box
	}
	box.mu.Lock()
	defer box.mu.Unlock()
	box.polled = now
	if box.session != ref.SessionID {
		box.session, box.commands = ref.SessionID, nil
	}
	return box, nil
}

// sweep closes mailboxes that nobody polls any more; m.mu is held.
func (m *mailboxes) sweep(now time.Time) {
	if now.Sub(m.swept) < mailboxIdle/4 {
		return
	}
	m.swept = now
	for id, box := range m.open {
		box.mu.Lock()
		idle := now.Sub(box.polled) > mailboxIdle
		box.mu.Unlock()
		if idle {
			_ = box.sub.Close() // nothing depends on it any more
			delete(m.open, id)
		}
	}
}

func (m *mailboxes) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, box := range m.open {
		_ = box.sub.Close() // shutting down
		delete(m.open, id)
	}
}

func (b *mailbox) put(c ports.Command) {
	b.mu.Lock()
	if b.session == c.SessionID {
		if len(b.commands) >= mailboxMax {
			b.commands = b.commands[1:]
		}
		b.commands = append(b.commands, c)
	}
	b.mu.Unlock()
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// take returns all commands, waiting for the first at most as long as wait.
func (b *mailbox) take(ctx context.Context, wait time.Duration) ([]ports.Command, error) {
	waited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		b.mu.Lock()
		commands := b.commands
		b.commands = nil
		b.mu.Unlock()
		if len(commands) > 0 {
			return commands, nil
		}
		select {
		case <-b.arrived:
		case <-waited.Done():
			return nil, ctx.Err()
		}
	}
}
