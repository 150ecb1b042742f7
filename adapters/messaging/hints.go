package messaging

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Hints implements ports.Notifier and ports.Listener over a bus.
type Hints struct {
	bus      ports.Bus
	party    Party
	observer ports.Observer
	log      *slog.Logger

	mu    sync.Mutex
	local map[string]map[*local]bool // this process's subscriptions by subject

	// subscribing is held while the subscription is made that all followers share. It is a channel
	// and not a mutex, because that waits for the bus: a caller that waits for its turn must hear
	// the end of its context, and updates must not wait at all.
	subscribing chan struct{}

	followersMu sync.Mutex
	following   bool // the shared subscription is made
	followers   map[ports.Followed]map[*follower]bool
}

// local is a subscription of this process. It hears this process even while the bus is
// disconnected.
type local struct {
	ports.Subscription
	hints   *Hints
	subject string

	mu     sync.Mutex // handlers are called one at a time
	handle ports.Handler
}

var (
	_ ports.Notifier = (*Hints)(nil)
	_ ports.Listener = (*Hints)(nil)
)

// NewHints returns hints over a bus.
func NewHints(bus ports.Bus, p Party, o ports.Observer, log *slog.Logger) *Hints {
	return &Hints{
		bus: bus, party: p, observer: o, log: log, local: map[string]map[*local]bool{},
		subscribing: make(chan struct{}, 1), followers: map[ports.Followed]map[*follower]bool{},
	}
}

// send publishes a message, and reports whether it is too large. A message that cannot be sent is
// counted; what it says comes again by other ways.
func (h *Hints) send(ctx context.Context, subject, messageType string, payload any) (tooLarge bool) {
	data, err := h.party.encode(messageType, payload)
	if err == nil && len(data) > messageLimit {
		return true
	}
	if err == nil {
		err = h.bus.Publish(ctx, subject, data)
	}
	if domain.IsCode(err, domain.CodeTooLarge) {
		return true
	}
	if err != nil {
		h.observer.Count("bus_publish_failed", 1)
		h.log.Debug("hint not sent", "type", messageType, "error", err)
		h.deliver(ctx, subject, data)
	}
	return false
}

// deliver hands a message that the bus did not take to the subscriptions of this process.
func (h *Hints) deliver(ctx context.Context, subject string, data []byte) {
	h.mu.Lock()
	subs := slices.Collect(maps.Keys(h.local[subject]))
	h.mu.Unlock()
	for _, s := range subs {
		s.call(ctx, ports.Message{Subject: subject, Data: data})
	}
}

func (s *local) call(ctx context.Context, m ports.Message) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handle(ctx, m)
}

// Close implements ports.Subscription.
func (s *local) Close() error {
	s.hints.mu.Lock()
	delete(s.hints.local[s.subject], s)
	if len(s.hints.local[s.subject]) == 0 {
		delete(s.hints.local, s.subject)
	}
	s.hints.mu.Unlock()
	return s.Subscription.Close()
}

// chunk is how many commands or updates travel in one message.
const chunk = 500

// Command implements ports.Notifier. Commands that are too large together travel alone. One that is
// too large by itself, or that comes without its assignment, is fetched by the worker over HTTP.
func (h *Hints) Command(ctx context.Context, worker domain.WorkerID, cs ...ports.Command) {
	for part := range slices.Chunk(cs, chunk) {
		if !h.send(ctx, h.party.commands(worker), typeCommands, part) {
			continue
		}
		for i := range part {
			if len(part) == 1 || h.send(ctx, h.party.commands(worker), typeCommands, part[i:i+1]) {
				h.send(ctx, h.party.commands(worker), typeFetch, nil)
			}
		}
	}
	if slices.ContainsFunc(cs, func(c ports.Command) bool {
		return c.Kind == ports.CommandAssign && c.Assignment == nil
	}) {
		h.send(ctx, h.party.commands(worker), typeFetch, nil)
	}
}

type wakeMessage struct {
	Reason string `json:"reason"`
}

// Wake implements ports.Notifier.
func (h *Hints) Wake(ctx context.Context, reason string) {
	h.send(ctx, h.party.wake(), typeWake, wakeMessage{reason})
}

// Updated implements ports.Notifier.
func (h *Hints) Updated(ctx context.Context, us ...ports.Update) {
	for part := range slices.Chunk(us, chunk) {
		h.send(ctx, h.party.updates(), typeUpdates, part)
	}
}

// Commands implements ports.Listener.
func (h *Hints) Commands(
	ctx context.Context, worker domain.WorkerID, f func(ports.Command),
) (ports.Subscription, error) {
	return subscribe(ctx, h, h.party.commands(worker), func(cs []ports.Command) {
		for _, c := range cs {
			f(c)
		}
	})
}

// Wakes implements ports.Listener.
func (h *Hints) Wakes(ctx context.Context, f func(reason string)) (ports.Subscription, error) {
	return subscribe(ctx, h, h.party.wake(), func(m wakeMessage) { f(m.Reason) })
}

// follower hears the updates of what it follows.
type follower struct {
	hints   *Hints
	follows ports.Followed

	mu     sync.Mutex // handlers are called one at a time
	handle func(ports.Update)
}

// Updates implements ports.Listener. All followers of this process share one subscription, which is
// never closed.
func (h *Hints) Updates(ctx context.Context, f ports.Followed, handle func(ports.Update)) (ports.Subscription, error) {
	if err := h.follow(ctx); err != nil {
		return nil, err
	}
	h.followersMu.Lock()
	defer h.followersMu.Unlock()
	w := &follower{hints: h, follows: f, handle: handle}
	if h.followers[f] == nil {
		h.followers[f] = map[*follower]bool{}
	}
	h.followers[f][w] = true
	return w, nil
}

// follow makes the subscription that all followers share, once.
func (h *Hints) follow(ctx context.Context) error {
	if h.isFollowing() {
		return nil
	}
	select {
	case h.subscribing <- struct{}{}:
		defer func() { <-h.subscribing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if h.isFollowing() {
		return nil
	}
	if _, err := subscribe(ctx, h, h.party.updates(), h.spread); err != nil {
		return err
	}
	h.followersMu.Lock()
	defer h.followersMu.Unlock()
	h.following = true
	return nil
}

func (h *Hints) isFollowing() bool {
	h.followersMu.Lock()
	defer h.followersMu.Unlock()
	return h.following
}

// spread hands each update to those who follow it.
func (h *Hints) spread(us []ports.Update) {
	for _, u := range us {
		var ws []*follower
		h.followersMu.Lock()
		for _, f := range u.Of() {
			ws = slices.AppendSeq(ws, maps.Keys(h.followers[f]))
		}
		h.followersMu.Unlock()
		for _, w := range ws {
			w.mu.Lock()
			if w.handle != nil {
				w.handle(u)
			}
			w.mu.Unlock()
		}
	}
}

// Close implements ports.Subscription.
func (w *follower) Close() error {
	w.mu.Lock()
	w.handle = nil
	w.mu.Unlock()
	h := w.hints
	h.followersMu.Lock()
	defer h.followersMu.Unlock()
	delete(h.followers[w.follows], w)
	if len(h.followers[w.follows]) == 0 {
		delete(h.followers, w.follows)
	}
	return nil
}

func subscribe[P any](ctx context.Context, h *Hints, subject string, f func(P)) (ports.Subscription, error) {
	s := &local{hints: h, subject: subject, handle: func(_ context.Context, m ports.Message) []byte {
		e, err := decode(m.Data)
		var p P
		if err == nil && e.Type == typeFetch {
			return nil // for workers
		}
		if err == nil {
			err = json.Unmarshal(e.Payload, &p)
		}
		if err != nil {
			h.observer.Count("bus_message_bad", 1)
			h.log.Warn("bad message dropped", "subject", m.Subject, "error", err)
			return nil
		}
		f(p)
		return nil
	}}
	sub, err := h.bus.Subscribe(ctx, subject, "", s.call)
	if err != nil {
		return nil, err
	}
	s.Subscription = sub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.local[subject] == nil {
		h.local[subject] = map[*local]bool{}
	}
	h.local[subject][s] = true
	return s, nil
}
