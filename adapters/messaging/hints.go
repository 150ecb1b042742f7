package messaging

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// LocalHints carries hints within one process.
type LocalHints interface {
	ports.Notifier
	ports.Listener
}

// Hints implements ports.Notifier and ports.Listener over a bus. The listeners of this process hear
// at once what it sends, whether the bus is there or not. They take no notice when the bus brings it
// back.
type Hints struct {
	local    LocalHints
	bus      ports.Bus
	party    Party
	observer ports.Observer
	log      *slog.Logger

	// subscribing is held while the subscription is made that all followers share. It is a channel
	// and not a mutex, because that waits for the bus: a caller that waits for its turn must hear
	// the end of its context, and updates must not wait at all.
	subscribing chan struct{}
	subscribed  atomic.Bool // the shared subscription is made
	following   following
}

var (
	_ ports.Notifier = (*Hints)(nil)
	_ ports.Listener = (*Hints)(nil)
)

// NewHints returns hints over a bus. local carries those of this process to its own listeners.
func NewHints(bus ports.Bus, local LocalHints, p Party, o ports.Observer, log *slog.Logger) *Hints {
	p.origin = p.IDs.New("origin_")
	return &Hints{
		local: local, bus: bus, party: p, observer: o, log: log, subscribing: make(chan struct{}, 1),
		following: following{clock: p.Clock},
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
	}
	return false
}

// chunk is how many commands or updates travel in one message.
const chunk = 500

// Command implements ports.Notifier. Commands that are too large together travel alone. One that is
// too large by itself, or that comes without its assignment, is fetched by the worker over HTTP.
func (h *Hints) Command(ctx context.Context, worker domain.WorkerID, cs ...ports.Command) {
	h.local.Command(ctx, worker, cs...)
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
	h.local.Wake(ctx, reason)
	h.send(ctx, h.party.wake(), typeWake, wakeMessage{reason})
}

// Updated implements ports.Notifier. Other processes get the updates while one of them follows some.
func (h *Hints) Updated(ctx context.Context, us ...ports.Update) {
	h.local.Updated(ctx, us...)
	if !h.following.elsewhere() {
		return
	}
	for part := range slices.Chunk(us, chunk) {
		h.send(ctx, h.party.updates(), typeUpdates, part)
	}
}

// Commands implements ports.Listener.
func (h *Hints) Commands(
	ctx context.Context, worker domain.WorkerID, f func(ports.Command),
) (ports.Subscription, error) {
	one := inTurn(f)
	local, err := h.local.Commands(ctx, worker, one)
	if err != nil {
		return nil, err
	}
	remote, err := subscribe(ctx, h, h.party.commands(worker), func(cs []ports.Command) {
		for _, c := range cs {
			one(c)
		}
	})
	return both(local, remote, err)
}

// Wakes implements ports.Listener.
func (h *Hints) Wakes(ctx context.Context, f func(reason string)) (ports.Subscription, error) {
	one := inTurn(f)
	local, err := h.local.Wakes(ctx, one)
	if err != nil {
		return nil, err
	}
	remote, err := subscribe(ctx, h, h.party.wake(), func(m wakeMessage) { one(m.Reason) })
	if err != nil {
		return both(local, remote, err)
	}
	h.following.hears(true)
	return ending{pair{local, remote}, func() { h.following.hears(false) }, new(sync.Once)}, nil
}

// inTurn returns f, called by one caller at a time.
func inTurn[M any](f func(M)) func(M) {
	var mu sync.Mutex
	return func(m M) {
		mu.Lock()
		defer mu.Unlock()
		f(m)
	}
}

// pair is a subscription in this process and one on the bus.
type pair struct{ local, remote ports.Subscription }

// both returns a pair. If the second could not be made, it closes the first.
func both(local, remote ports.Subscription, err error) (ports.Subscription, error) {
	if err != nil {
		return nil, errors.Join(err, local.Close())
	}
	return pair{local, remote}, nil
}

// Close implements ports.Subscription.
func (p pair) Close() error { return errors.Join(p.local.Close(), p.remote.Close()) }

// Updates implements ports.Listener. All followers of this process share one subscription on the
// bus, which is never closed.
func (h *Hints) Updates(ctx context.Context, f ports.Followed, handle func(ports.Update)) (ports.Subscription, error) {
	if err := h.follow(ctx); err != nil {
		return nil, err
	}
	sub, err := h.local.Updates(ctx, f, handle)
	if err != nil {
		return nil, err
	}
	h.following.add(h.sayFollows(ctx))
	return ending{sub, h.following.remove, new(sync.Once)}, nil
}

// follow makes the subscription that all followers share, once.
func (h *Hints) follow(ctx context.Context) error {
	if h.subscribed.Load() {
		return nil
	}
	select {
	case h.subscribing <- struct{}{}:
		defer func() { <-h.subscribing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if h.subscribed.Load() {
		return nil
	}
	_, err := subscribe(ctx, h, h.party.updates(), func(us []ports.Update) {
		h.local.Updated(context.WithoutCancel(ctx), us...)
	})
	if err == nil {
		h.subscribed.Store(true)
	}
	return err
}

// subscribe calls f with what others send to a subject.
func subscribe[P any](ctx context.Context, h *Hints, subject string, f func(P)) (ports.Subscription, error) {
	return h.bus.Subscribe(ctx, subject, "", func(_ context.Context, m ports.Message) []byte {
		e, err := decode(m.Data)
		var p P
		if err == nil && (e.Origin == h.party.origin || e.Type == typeFetch) {
			return nil // this process has heard it, or it is for workers
		}
		if err == nil && e.Type == typeFollows {
			h.following.another()
			return nil
		}
		if err == nil {
			p, err = open[P](&e)
		}
		if err != nil {
			h.observer.Count("bus_message_bad", 1)
			h.log.Warn("bad message dropped", "subject", m.Subject, "error", err)
			return nil
		}
		f(p)
		return nil
	})
}
