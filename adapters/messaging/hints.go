package messaging

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Hints implements ports.Notifier and ports.Listener over a bus.
type Hints struct {
	bus      ports.Bus
	party    Party
	observer ports.Observer
	log      *slog.Logger
}

var (
	_ ports.Notifier = (*Hints)(nil)
	_ ports.Listener = (*Hints)(nil)
)

// NewHints returns hints over a bus.
func NewHints(bus ports.Bus, p Party, o ports.Observer, log *slog.Logger) *Hints {
	return &Hints{bus: bus, party: p, observer: o, log: log}
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
	}
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
	return h.bus.Subscribe(ctx, subject, "", func(_ context.Context, m ports.Message) []byte {
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
	})
}
