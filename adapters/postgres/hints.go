package postgres

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// LocalHints carries hints within one process.
type LocalHints interface {
	ports.Notifier
	ports.Listener
}

// HintOptions configure Hints.
type HintOptions struct {
	// Name tells this process from the others.
	Name string
	// URL is the connection string of the connection that listens. Empty means that of the store. A
	// pooler in transaction mode cannot be in between.
	URL string
	// Local carries the hints of this process to its own listeners.
	Local    LocalHints
	Observer ports.Observer
	Log      *slog.Logger
}

// Hints implements ports.Notifier and ports.Listener over the database's own notification, for
// processes that share a database and no bus. Each process keeps one connection that listens, and
// sends through the store's pool.
//
// Hints within the process go through Local. To the others go wake-ups, commands without their
// assignments, which are too large and are in the store, and updates while another process follows
// some. While there is no other process, nothing is sent. docs/decisions/0023-server.md says why.
//
// Close it once, before its store.
type Hints struct {
	LocalHints
	store *Store
	o     HintOptions

	mu      sync.Mutex
	pending pendingHints
	peers   map[string]peer
	// heard is when a message of this process last came back to it. Zero means that none has since
	// it began to listen.
	heard time.Time
	// followers is how many subscriptions to updates are open. followed reports whether one was
	// since the last beat.
	followers int
	followed  bool

	work     chan struct{} // holds a token while something is pending
	listened chan struct{} // closed when the first message of this process came back
	stop     context.CancelFunc
	loops    sync.WaitGroup
}

// peer is another process.
type peer struct {
	heard   time.Time
	follows bool
}

const (
	// beatInterval is the time between two messages by which a process says that it is there. They
	// come back to itself too, which proves that its connection still listens.
	beatInterval = 3 * time.Second
	// silenceLimit is how long nothing may be heard: of another process, before it counts as gone,
	// or of this one, before it connects anew.
	silenceLimit = 3 * beatInterval
	// startTimeout bounds how long OpenHints waits until the process hears itself.
	startTimeout = 2 * time.Second
	// partTimeout bounds how long Close sends what is pending.
	partTimeout = time.Second
	// pendingLimit bounds the hints of a kind that wait to be sent.
	pendingLimit = 20_000
)

var (
	_ ports.Notifier = (*Hints)(nil)
	_ ports.Listener = (*Hints)(nil)
)

// OpenHints begins to listen and returns the hints. It waits a short time until they work. While
// the database is disconnected they reach this process only.
func (s *Store) OpenHints(ctx context.Context, o HintOptions) (*Hints, error) {
	connect, err := s.listenConfig(o)
	if err != nil {
		return nil, err
	}
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	h := &Hints{
		LocalHints: o.Local, store: s, o: o, peers: map[string]peer{}, work: make(chan struct{}, 1),
		listened: make(chan struct{}), stop: stop,
	}
	h.loops.Go(func() { h.listenLoop(loops, connect) })
	h.loops.Go(func() { h.sendLoop(loops) })
	select {
	case <-h.listened:
	case <-time.After(startTimeout):
	case <-ctx.Done():
	}
	return h, nil
}

// Close sends what is pending, tells the others that this process leaves, and ends.
func (h *Hints) Close() {
	h.stop()
	h.loops.Wait()
}

// Ping returns nil while this process hears itself through the database.
func (h *Hints) Ping(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.heard.IsZero() {
		return errors.Join(errors.New("notifications of the database do not arrive"), ctx.Err())
	}
	return ctx.Err()
}

// Command implements ports.Notifier.
func (h *Hints) Command(ctx context.Context, worker domain.WorkerID, cs ...ports.Command) {
	h.LocalHints.Command(ctx, worker, cs...)
	h.pend(func(p *pendingHints) (dropped int) {
		for i := range cs {
			if len(p.commands) >= pendingLimit {
				return len(cs) - i
			}
			c := cs[i]
			c.Assignment = nil // the receiver reads it from the store
			p.commands = append(p.commands, addressed{worker, c})
		}
		return 0
	})
}

// Wake implements ports.Notifier.
func (h *Hints) Wake(ctx context.Context, reason string) {
	h.LocalHints.Wake(ctx, reason)
	h.pend(func(p *pendingHints) (dropped int) {
		if !slices.Contains(p.wakes, reason) {
			p.wakes = append(p.wakes, reason)
		}
		return 0
	})
}

// Updated implements ports.Notifier.
func (h *Hints) Updated(ctx context.Context, us ...ports.Update) {
	h.LocalHints.Updated(ctx, us...)
	h.pend(func(p *pendingHints) (dropped int) {
		if !h.followedElsewhereLocked() {
			return 0
		}
		fit := min(len(us), max(pendingLimit-len(p.updates), 0))
		p.updates = append(p.updates, us[:fit]...)
		return len(us) - fit
	})
}

// pend adds to what is sent to the others, if there are any.
func (h *Hints) pend(add func(*pendingHints) (dropped int)) {
	h.mu.Lock()
	dropped, alone := 0, len(h.peers) == 0
	if !alone {
		dropped = add(&h.pending)
	}
	h.mu.Unlock()
	if dropped > 0 {
		h.o.Observer.Count("hint_dropped", dropped)
	}
	if !alone {
		h.wakeSender()
	}
}

func (h *Hints) wakeSender() {
	select {
	case h.work <- struct{}{}:
	default:
	}
}

// followedElsewhereLocked reports whether another process follows updates.
func (h *Hints) followedElsewhereLocked() bool {
	for _, p := range h.peers {
		if p.follows {
			return true
		}
	}
	return false
}

// followed is a subscription to updates, which the other processes know of.
type followed struct {
	ports.Subscription
	hints *Hints
	once  sync.Once
}

// Updates implements ports.Listener. The first subscription makes the others send updates.
func (h *Hints) Updates(ctx context.Context, f ports.Followed, handle func(ports.Update)) (ports.Subscription, error) {
	sub, err := h.LocalHints.Updates(ctx, f, handle)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	first := !h.followsLocked()
	h.followers++
	h.followed = true
	if first {
		h.pending.presence = true
	}
	h.mu.Unlock()
	if first {
		h.wakeSender()
	}
	return &followed{Subscription: sub, hints: h}, nil
}

// followsLocked reports whether this process wants updates. It still does for a beat after the last
// subscription was closed, because the next one is often opened soon.
func (h *Hints) followsLocked() bool { return h.followers > 0 || h.followed }

// Close implements ports.Subscription.
func (f *followed) Close() error {
	f.once.Do(func() {
		f.hints.mu.Lock()
		defer f.hints.mu.Unlock()
		f.hints.followers--
	})
	return f.Subscription.Close()
}
