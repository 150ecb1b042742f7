package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// buffer is how many messages wait for one subscription's handler.
	buffer = 4096
	// requestMax bounds a request whose context has no deadline.
	requestMax = 10 * time.Second
	// confirmMax bounds how long a subscription waits until Redis knows of it.
	confirmMax = 2 * time.Second
	// claimTTL is how long it is remembered which process of a group took a message.
	claimTTL = 30 * time.Second
	// courtesy is how long the winner of a claim waits with its next one while it has rivals: while it lost one within rivalsFor.
	courtesy  = 300 * time.Microsecond
	rivalsFor = 10 * time.Second
	// MaxMessage bounds a message.
	MaxMessage = 8 << 20
)

// frame is what travels.
type frame struct {
	ID      string            `json:"id"`
	ReplyTo string            `json:"reply_to,omitempty"`
	Trace   map[string]string `json:"trace,omitempty"`
	Data    []byte            `json:"data"`
}

// Bus implements ports.Bus. Close it once.
type Bus struct {
	client  *redis.Client
	ids     ports.IDs
	log     *slog.Logger
	inbox   string
	pubsub  *redis.PubSub
	stop    context.CancelFunc
	done    chan struct{}
	dropped atomic.Int64
	// favoured tells that the last claim was won, lost when one was lost last.
	favoured atomic.Bool
	lost     atomic.Int64

	mu      sync.Mutex
	topics  map[string]*topic          // by channel or pattern
	replies map[string]chan<- []byte   // by id of the request
	waiting map[string][]chan struct{} // for Redis to confirm a topic
}

// NewBus returns a bus on a client, which it doesn't close.
func NewBus(client *redis.Client, ids ports.IDs, log *slog.Logger) *Bus {
	ctx, stop := context.WithCancel(context.Background())
	b := &Bus{
		client: client, ids: ids, log: log, inbox: "niyanta.inbox." + ids.New(""), stop: stop, done: make(chan struct{}),
		topics: map[string]*topic{}, replies: map[string]chan<- []byte{}, waiting: map[string][]chan struct{}{},
	}
	b.pubsub = client.Subscribe(ctx, b.inbox)
	go b.receive(ctx)
	return b
}

// Dropped counts messages that found a full buffer, and handlers that panicked.
func (b *Bus) Dropped() int64 { return b.dropped.Load() }

// Ping tells whether Redis answers.
func (b *Bus) Ping(ctx context.Context) error { return translate(ctx, b.client.Ping(ctx).Err()) }

// Close ends all subscriptions.
func (b *Bus) Close() error {
	b.stop()
	err := b.pubsub.Close()
	<-b.done
	b.mu.Lock()
	var all []*subscription
	for _, t := range b.topics {
		all = append(all, t.all()...)
	}
	b.mu.Unlock()
	for _, s := range all {
		s.end()
	}
	return err
}

// channel is the name of a subject in Redis.
func channel(subject string) string { return "niyanta.bus." + subject }

func (b *Bus) send(ctx context.Context, to string, f frame) (receivers int64, err error) {
	if len(f.Data) > MaxMessage {
		return 0, domain.NewError(domain.CodeTooLarge, "a message of %d bytes is above the %d that the bus carries", len(f.Data), MaxMessage)
	}
	f.Trace = map[string]string{}
	otel.GetTextMapPropagator().Inject(ctx, propagation.MapCarrier(f.Trace))
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

// Request implements ports.Bus. It goes to one receiver if all of them are of one group; else to several, of which the
// first answer counts.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, requestMax)
	defer cancel()
	f := frame{ID: b.ids.New(""), ReplyTo: b.inbox, Data: data}
	reply := make(chan []byte, 1)
	b.mu.Lock()
	b.replies[f.ID] = reply
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.replies, f.ID)
	}()
	n, err := b.send(bounded, channel(subject), f)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case n == 0:
		return nil, domain.Unavailable(0, "nobody answers on %s", subject)
	}
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

// receive hands on what Redis sends. The client connects again by itself, subscriptions included.
func (b *Bus) receive(ctx context.Context) {
	defer close(b.done)
	for ctx.Err() == nil {
		got, err := b.pubsub.Receive(ctx)
		switch m := got.(type) {
		case *redis.Subscription:
			b.confirmed(m.Channel)
		case *redis.Message:
			b.arrived(m)
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("bus away", "error", err)
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
	for _, c := range b.waiting[name] {
		close(c)
	}
	delete(b.waiting, name)
}

func (b *Bus) arrived(m *redis.Message) {
	var f frame
	if err := json.Unmarshal([]byte(m.Payload), &f); err != nil {
		b.dropped.Add(1)
		b.log.Warn("bad message dropped", "channel", m.Channel, "error", err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.Channel == b.inbox {
		if reply := b.replies[f.ID]; reply != nil {
			select {
			case reply <- f.Data:
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
	if t := b.topics[name]; t != nil && t.matches(subject) {
		t.offer(delivery{subject: subject, frame: f})
	}
}

// claim takes a message for this process's members of a group. Whoever took one and has rivals lets them go first the next
// time, so that the group shares its messages whoever is nearest to Redis.
func (b *Bus) claim(ctx context.Context, topic, group, id string) bool {
	bounded, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	if b.favoured.Load() && time.Now().UnixNano()-b.lost.Load() < rivalsFor.Nanoseconds() {
		time.Sleep(courtesy)
	}
	won, err := b.client.SetNX(bounded, "niyanta.claim."+id+"."+group+"."+topic, b.inbox, claimTTL).Result()
	if err != nil {
		b.log.Warn("a message of a group was not claimed", "group", group, "error", err)
		return false
	}
	b.favoured.Store(won)
	if !won {
		b.lost.Store(time.Now().UnixNano())
	}
	return won
}

func (b *Bus) handle(ctx context.Context, d delivery, h ports.Handler) {
	defer func() {
		if p := recover(); p != nil {
			b.dropped.Add(1)
			b.log.Error("a handler panicked", "subject", d.subject, "panic", fmt.Sprint(p))
		}
	}()
	ctx = otel.GetTextMapPropagator().Extract(ctx, propagation.MapCarrier(d.Trace))
	reply := h(ctx, ports.Message{Subject: d.subject, Data: append([]byte(nil), d.Data...), WantsReply: d.ReplyTo != ""})
	if d.ReplyTo == "" {
		return
	}
	if _, err := b.send(ctx, d.ReplyTo, frame{ID: d.ID, Data: reply}); err != nil {
		b.log.Debug("reply not sent", "subject", d.subject, "error", err)
	}
}
