package memory

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/niyanta/niyanta/adapters/internal/delivery"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// requestTimeout bounds a request whose context has no deadline.
const requestTimeout = 10 * time.Second

// Bus implements ports.Bus within one process.
type Bus struct {
	subs *delivery.Subscriptions[busMessage]

	mu     sync.Mutex
	topics map[string]*delivery.Topic[busMessage] // by subject
}

type busMessage struct {
	ports.Message
	reply chan<- []byte // nil: no reply is wanted
}

// NewBus returns a bus.
func NewBus() *Bus {
	return &Bus{
		subs:   delivery.NewSubscriptions[busMessage](slog.New(slog.DiscardHandler)),
		topics: map[string]*delivery.Topic[busMessage]{},
	}
}

// Dropped counts the messages that found a full buffer, or whose handler panicked.
func (b *Bus) Dropped() int64 { return b.subs.Dropped() }

// Close closes all subscriptions.
func (b *Bus) Close() error { return b.subs.Close() }

// Publish implements ports.Bus.
func (b *Bus) Publish(ctx context.Context, subject string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := busMessage{Message: ports.Message{Subject: subject, Data: bytes.Clone(data)}}
	for _, s := range b.receivers(subject) {
		s.Offer(m)
	}
	return nil
}

func (b *Bus) receivers(subject string) (out []*delivery.Subscription[busMessage]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.topics {
		if t.Matches(subject) {
			out = append(out, t.Receivers()...)
		}
	}
	return out
}

// Subscribe implements ports.Bus.
func (b *Bus) Subscribe(ctx context.Context, subject, group string, h ports.Handler) (ports.Subscription, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	handle := func(ctx context.Context, m busMessage) {
		own := m.Message
		own.Data = bytes.Clone(own.Data) // handlers of one message share nothing
		reply := h(ctx, own)
		if m.reply != nil {
			m.reply <- bytes.Clone(reply)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	detach := func(s *delivery.Subscription[busMessage]) error { b.remove(subject, s); return nil }
	s, err := b.subs.Start(ctx, delivery.NewInbox[busMessage](), handle, detach)
	if err != nil {
		return nil, &domain.Error{Code: domain.CodeUnavailable, Message: "the bus is closed", Cause: err}
	}
	t := b.topics[subject]
	if t == nil {
		t = delivery.NewTopic[busMessage](subject)
		b.topics[subject] = t
	}
	t.Add(group, s)
	return s, nil
}

func (b *Bus) remove(subject string, s *delivery.Subscription[busMessage]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics[subject].Remove(s) {
		delete(b.topics, subject)
	}
}

// Request implements ports.Bus.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	receivers := b.receivers(subject)
	if len(receivers) == 0 {
		return nil, domain.Unavailable(0, "nobody answers on %s", subject)
	}
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	reply := make(chan []byte, 1)
	m := ports.Message{Subject: subject, Data: bytes.Clone(data), WantsReply: true}
	receivers[0].Offer(busMessage{m, reply})
	select {
	case r := <-reply:
		return r, nil
	case <-bounded.Done():
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, domain.Unavailable(0, "no answer on %s", subject)
	}
}
