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
}

// local is a subscription of this process, which hears this process even while the bus is away.
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
	return &Hints{bus: bus, party: p, observer: o, log: log, local: map[string]map[*local]bool{}}
}

// interested is what a bus may offer to spare the work of making messages that nobody receives.
type interested interface{ Interested(subject string) bool }

// send publishes; what cannot be sent is counted and comes again by other ways.
func (h *Hints) send(ctx context.Context, subject, messageType string, payload any) {
	if b, ok := h.bus.(interested); ok && !b.Interested(subject) {
		return
	}
	data, err := h.party.seal(messageType, "", payload)
	if err == nil {
		err = h.bus.Publish(ctx, subject, data)
	}
	if err != nil {
		h.observer.Count("bus_publish_failed", 1)
		h.log.Debug("hint not sent", "type", messageType, "error", err)
		h.deliver(ctx, subject, data)
	}
}

// deliver hands a message that the bus did not take to whoever wants it in this process.
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

// Command implements ports.Notifier.
func (h *Hints) Command(ctx context.Context, worker domain.WorkerID, c ports.Command) {
	h.send(ctx, h.party.commands(worker), string(c.Kind), c)
}

type wakeMessage struct {
	Reason string `json:"reason"`
}

// Wake implements ports.Notifier.
func (h *Hints) Wake(ctx context.Context, reason string) {
	h.send(ctx, h.party.wake(), typeWake, wakeMessage{reason})
}

// Updated implements ports.Notifier.
func (h *Hints) Updated(ctx context.Context, u ports.Update) {
	h.send(ctx, h.party.updates(u.WorkloadID), typeUpdate, u)
}

// Commands implements ports.Listener.
func (h *Hints) Commands(ctx context.Context, worker domain.WorkerID, f func(ports.Command)) (ports.Subscription, error) {
	return subscribe(ctx, h, h.party.commands(worker), f)
}

// Wakes implements ports.Listener.
func (h *Hints) Wakes(ctx context.Context, f func(reason string)) (ports.Subscription, error) {
	return subscribe(ctx, h, h.party.wake(), func(m wakeMessage) { f(m.Reason) })
}

// Updates implements ports.Listener.
func (h *Hints) Updates(ctx context.Context, id domain.WorkloadID, f func(ports.Update)) (ports.Subscription, error) {
	return subscribe(ctx, h, h.party.updates(id), f)
}

func subscribe[P any](ctx context.Context, h *Hints, subject string, f func(P)) (ports.Subscription, error) {
	s := &local{hints: h, subject: subject, handle: func(_ context.Context, m ports.Message) []byte {
		e, err := open(m.Data)
		var p P
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
