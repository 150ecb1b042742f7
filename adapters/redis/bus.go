package redis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/niyanta/niyanta/adapters/internal/delivery"
	"github.com/niyanta/niyanta/adapters/internal/link"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// requestTimeout bounds a request whose context has no deadline.
	requestTimeout = 10 * time.Second
	// confirmTimeout bounds how long a subscription waits until Redis knows of it.
	confirmTimeout = 2 * time.Second
	// MaxMessage bounds a message, as NATS does by default. While a larger one is read, the probes of
	// the connection behind it could seem to be lost.
	MaxMessage = 1 << 20
)

// frame is what travels.
type frame struct {
	ID      string            `json:"id"`
	ReplyTo string            `json:"reply_to,omitempty"`
	Trace   map[string]string `json:"trace,omitempty"`
	Data    []byte            `json:"data"`
	// TooLarge stands in an empty reply, in place of one that is too large.
	TooLarge bool `json:"too_large,omitempty"`
}

// Bus implements ports.Bus. Close it once.
type Bus struct {
	client  *redis.Client
	ids     ports.IDs
	log     *slog.Logger
	link    *link.Link
	subs    *delivery.Subscriptions[message]
	inbox   string
	stop    context.CancelFunc
	working sync.WaitGroup // receive and watch
	// telling is held by who tells Redis what topics are wanted. It is a channel, because telling
	// waits for Redis: who waits for its turn must hear the end of its context, and messages must
	// not wait at all.
	telling chan struct{}

	mu      sync.Mutex // never held while Redis is waited for
	pubsub  *redis.PubSub
	topics  map[string]*topic       // by channel or pattern
	told    map[string]bool         // the channels and patterns that Redis was told of
	replies map[string]chan<- frame // by id of the request
}

// NewBus returns a bus on a client, which it doesn't close.
func NewBus(client *redis.Client, ids ports.IDs, log *slog.Logger) *Bus {
	ctx, stop := context.WithCancel(context.Background())
	b := &Bus{
		client: client, ids: ids, log: log, link: link.New(client.Options().Addr, log),
		subs: delivery.NewSubscriptions[message](log), inbox: "niyanta.inbox." + ids.New(""), stop: stop,
		telling: make(chan struct{}, 1), topics: map[string]*topic{}, told: map[string]bool{},
		replies: map[string]chan<- frame{},
	}
	b.pubsub = client.Subscribe(ctx)
	_ = insist(ctx, b.pubsub.Subscribe, b.inbox) // else with the next connection
	b.working.Go(func() { b.receive(ctx) })
	b.working.Go(func() { b.link.Watch(ctx, b.probe, b.renew) })
	return b
}

// Connected reports whether Redis answers, over the connections of both directions.
func (b *Bus) Connected() bool { return b.link.IsConnected() }

// Dropped counts the messages that found a full buffer, or whose handler panicked.
func (b *Bus) Dropped() int64 { return b.subs.Dropped() }

// Ping returns nil when Redis has answered.
func (b *Bus) Ping(ctx context.Context) error { return translate(ctx, b.client.Ping(ctx).Err()) }

// Close ends all subscriptions.
func (b *Bus) Close() error {
	b.stop()
	first := b.current()
	err := first.Close()
	b.working.Wait()
	if last := b.current(); last != first { // made meanwhile
		err = errors.Join(err, last.Close())
	}
	return errors.Join(err, b.subs.Close())
}

// channel is the name of a subject in Redis.
func channel(subject string) string { return "niyanta.bus." + subject }

func (b *Bus) send(ctx context.Context, to string, f frame) (receivers int64, err error) {
	if !b.Connected() {
		return 0, domain.Unavailable(0, "the bus is disconnected")
	}
	return b.put(ctx, to, f)
}

// put is send, also while the bus is disconnected.
func (b *Bus) put(ctx context.Context, to string, f frame) (receivers int64, err error) {
	if len(f.Data) > MaxMessage {
		return 0, domain.NewError(domain.CodeTooLarge,
			"a message of %d bytes is above the %d that the bus carries", len(f.Data), MaxMessage)
	}
	f.Trace = delivery.Headers(ctx)
	raw, err := json.Marshal(f)
	if err != nil {
		return 0, err
	}
	receivers, err = b.client.Publish(ctx, to, raw).Result()
	return receivers, translate(ctx, err)
}

// Publish implements ports.Bus.
func (b *Bus) Publish(ctx context.Context, subject string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := b.send(ctx, channel(subject), frame{ID: b.ids.New(""), Data: data})
	return err
}

// Request implements ports.Bus. It goes to one receiver if all of them are of one group; else to
// several, of which the first answer counts.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	bounded, cancel := b.link.WhileConnected(ctx, requestTimeout)
	defer cancel()
	f := frame{ID: b.ids.New(""), ReplyTo: b.inbox, Data: data}
	reply, forget := b.expect(f.ID)
	defer forget()
	n, err := b.send(bounded, channel(subject), f)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case bounded.Err() != nil:
		return nil, domain.Unavailable(0, "no answer on %s", subject)
	case err != nil:
		return nil, err
	case n == 0:
		return nil, domain.Unavailable(0, "nobody answers on %s", subject)
	}
	select {
	case r := <-reply:
		if r.TooLarge {
			return nil, domain.NewError(domain.CodeTooLarge, "the reply is larger than the bus carries")
		}
		return r.Data, nil
	case <-bounded.Done():
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, domain.Unavailable(0, "no answer on %s", subject)
	}
}

// expect returns where the frame with this id arrives that is sent to this process's inbox.
func (b *Bus) expect(id string) (reply <-chan frame, forget func()) {
	c := make(chan frame, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replies[id] = c
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.replies, id)
	}
}

// current returns the connection that receives.
func (b *Bus) current() *redis.PubSub {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pubsub
}

// receive hands on what Redis sends. The client connects again by itself, subscriptions included.
func (b *Bus) receive(ctx context.Context) {
	for ctx.Err() == nil {
		from := b.current()
		got, err := from.Receive(ctx)
		switch m := got.(type) {
		case *redis.Subscription:
			if m.Kind == "subscribe" || m.Kind == "psubscribe" {
				b.confirmed(m.Channel)
			}
		case *redis.Message:
			b.arrived(m)
		}
		if err != nil && ctx.Err() == nil && from == b.current() {
			b.link.Disconnected(err)
			select {
			case <-time.After(250 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

func (b *Bus) confirmed(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.topics[name]; t != nil {
		t.confirm()
	}
}

func (b *Bus) arrived(m *redis.Message) {
	var f frame
	if err := json.Unmarshal([]byte(m.Payload), &f); err != nil {
		b.subs.Drop()
		b.log.Warn("bad message dropped", "channel", m.Channel, "error", err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.Channel == b.inbox {
		if reply := b.replies[f.ID]; reply != nil {
			select {
			case reply <- f:
			default: // the first answer counts
			}
		}
		return
	}
	name := m.Channel
	if m.Pattern != "" {
		name = m.Pattern
	}
	subject := strings.TrimPrefix(m.Channel, channel(""))
	if t := b.topics[name]; t != nil && t.Matches(subject) { // in Redis, "*" also crosses dots
		for _, s := range t.Receivers() {
			s.Offer(message{subject: subject, frame: f})
		}
	}
}

func (b *Bus) handle(ctx context.Context, m message, h ports.Handler) {
	ctx = delivery.WithHeaders(ctx, func(name string) string { return m.Trace[name] })
	reply := h(ctx, ports.Message{Subject: m.subject, Data: bytes.Clone(m.Data), WantsReply: m.ReplyTo != ""})
	if m.ReplyTo == "" {
		return
	}
	_, err := b.send(ctx, m.ReplyTo, frame{ID: m.ID, Data: reply})
	if domain.IsCode(err, domain.CodeTooLarge) {
		_, err = b.send(ctx, m.ReplyTo, frame{ID: m.ID, TooLarge: true})
	}
	if err != nil {
		b.log.Debug("reply not sent", "subject", m.subject, "error", err)
	}
}

// probe sends a message to this process itself. It takes both ways: over what publishes, and over
// what receives.
func (b *Bus) probe(ctx context.Context) error {
	f := frame{ID: b.ids.New("")}
	arrived, forget := b.expect(f.ID)
	defer forget()
	if _, err := b.put(ctx, b.inbox, f); err != nil {
		if ctx.Err() != nil {
			return link.ErrSilent
		}
		return err
	}
	select {
	case <-arrived:
		return nil
	case <-ctx.Done():
		return link.ErrSilent
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
		if t.Pattern {
			patterns = append(patterns, name)
		} else {
			channels = append(channels, name)
		}
	}
	b.mu.Unlock()
	fresh := b.client.Subscribe(ctx)
	_ = insist(ctx, fresh.Subscribe, channels...) // the client keeps them for its next connection
	if len(patterns) > 0 {
		_ = insist(ctx, fresh.PSubscribe, patterns...)
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

var _ ports.Bus = (*Bus)(nil)
