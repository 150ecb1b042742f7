package controlplane

import (
	"context"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// mailboxLimit bounds the commands kept for a worker that does not poll. Beyond it the oldest
	// are dropped: reconciliation sends every command again.
	mailboxLimit = 20_000
	// mailboxIdle is how long a mailbox is kept without being polled. The next poll opens it again.
	mailboxIdle = time.Minute
)

// openTimeout bounds the opening of a mailbox. It does not end with the call that opens it.
const openTimeout = 5 * time.Second

// mailboxes keep commands between the polls of workers that are connected here. A mailbox belongs to
// one session, so that an old session cannot take the commands of its successor. A worker has one:
// only its current session may poll. No mutex is held while a subscription is opened or closed: a
// bus that does not answer delays only the worker concerned.
type mailboxes struct {
	listener ports.Listener
	clock    ports.Clock
	mu       sync.Mutex
	open     map[domain.WorkerID]*mailbox
	swept    time.Time
	closed   bool
}

// mailbox holds the commands of one session.
type mailbox struct {
	session domain.SessionID
	// opened is closed when sub and err are set.
	opened chan struct{}
	sub    ports.Subscription
	err    error

	mu       sync.Mutex
	commands []ports.Command
	arrived  chan struct{} // holds a token while there may be commands
	polled   time.Time
}

// of returns the mailbox of a live session and opens it if necessary. opened reports whether this
// call has opened it: then it lacks the commands that were sent before. Concurrent callers wait
// until it is open.
func (m *mailboxes) of(ctx context.Context, ref ports.SessionRef) (box *mailbox, opened bool, err error) {
	box, mine, old := m.place(ref)
	if old != nil {
		old.close()
	}
	if mine {
		m.subscribe(ctx, ref, box)
	}
	select {
	case <-box.opened:
		return box, mine, box.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// place returns the mailbox of a session and adds it if there is none. mine reports whether the
// caller must open it. old is the one of another session that it replaces, or nil.
func (m *mailboxes) place(ref ports.SessionRef) (box *mailbox, mine bool, old *mailbox) {
	now := m.clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	box = m.open[ref.WorkerID]
	if box == nil || box.session != ref.SessionID {
		old, mine = box, true
		box = &mailbox{session: ref.SessionID, arrived: make(chan struct{}, 1), opened: make(chan struct{})}
		m.open[ref.WorkerID] = box
	}
	box.mu.Lock()
	box.polled = now
	box.mu.Unlock()
	return box, mine, old
}

// drop closes the mailbox of a session that is over, if there is one.
func (m *mailboxes) drop(ref ports.SessionRef) {
	m.mu.Lock()
	box := m.open[ref.WorkerID]
	mine := box != nil && box.session == ref.SessionID
	if mine {
		delete(m.open, ref.WorkerID)
	}
	m.mu.Unlock()
	if mine {
		box.close()
	}
}

// sweep closes the mailboxes that are no longer polled: their workers have gone, poll another
// coordinator, or get their commands over the bus again.
func (m *mailboxes) sweep() {
	now := m.clock.Now()
	m.mu.Lock()
	idle := m.idleLocked(now)
	m.mu.Unlock()
	for _, b := range idle {
		b.close()
	}
}

// subscribe opens a mailbox that its caller has added. If that fails, the mailbox is removed, and
// the next caller tries again.
func (m *mailboxes) subscribe(ctx context.Context, ref ports.SessionRef, box *mailbox) {
	// The subscription outlives the request that opened it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
	defer cancel()
	box.sub, box.err = m.listener.Commands(ctx, ref.WorkerID, box.put)
	close(box.opened)
	m.mu.Lock()
	current := m.open[ref.WorkerID] == box && !m.closed
	if box.err != nil && current {
		delete(m.open, ref.WorkerID)
	}
	m.mu.Unlock()
	if !current {
		box.close()
	}
}

// idleLocked removes the mailboxes that are no longer polled and returns them. It needs m.mu.
func (m *mailboxes) idleLocked(now time.Time) (idle []*mailbox) {
	if now.Sub(m.swept) < mailboxIdle/4 {
		return nil
	}
	m.swept = now
	for worker, box := range m.open {
		box.mu.Lock()
		unused := now.Sub(box.polled) > mailboxIdle
		box.mu.Unlock()
		if unused {
			idle = append(idle, box)
			delete(m.open, worker)
		}
	}
	return idle
}

func (m *mailboxes) close() {
	m.mu.Lock()
	m.closed = true
	open := m.open
	m.open = map[domain.WorkerID]*mailbox{}
	m.mu.Unlock()
	for _, box := range open {
		box.close()
	}
}

// close ends the subscription, if there is one. While it is being opened, subscribe closes it.
func (b *mailbox) close() {
	select {
	case <-b.opened:
		if b.sub != nil {
			_ = b.sub.Close() // nothing depends on it any more
		}
	default:
	}
}

func (b *mailbox) put(c ports.Command) {
	b.mu.Lock()
	if b.session == c.SessionID {
		if len(b.commands) >= mailboxLimit {
			b.commands = b.commands[1:]
		}
		b.commands = append(b.commands, c.Bare()) // what is large is read when it is polled
	}
	b.mu.Unlock()
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// take returns all commands. It waits for the first until wait has passed.
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
