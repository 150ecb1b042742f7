package memory

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// busBuffer is how many messages wait for one subscription's handler.
	busBuffer = 4096
	// busRequestMax bounds a request whose context has no deadline.
	busRequestMax = 10 * time.Second
)

// Bus implements ports.Bus within one process. Handlers run on a goroutine per subscription.
type Bus struct {
	mu      sync.RWMutex
	exact   map[string][]*busSubscription
	wild    []*busSubscription
	closed  bool
	turn    atomic.Uint64
	dropped atomic.Int64
}

// NewBus returns a bus. Close ends all its subscriptions.
func NewBus() *Bus { return &Bus{exact: map[string][]*busSubscription{}} }

type busSubscription struct {
	bus     *Bus
	subject string
	tokens  []string // of a pattern, else nil
	group   string
	handle  ports.Handler
	inbox   chan busMessage
	stop    chan struct{}
	once    sync.Once
	done    chan struct{}
}

type busMessage struct {
	ports.Message
	reply chan<- []byte
}

// Dropped counts messages that found a full buffer, and handlers that panicked.
func (b *Bus) Dropped() int64 { return b.dropped.Load() }

// Publish implements ports.Bus.
func (b *Bus) Publish(ctx context.Context, subject string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	receivers := b.receivers(subject)
	if len(receivers) == 0 {
		return nil
	}
	m := busMessage{Message: ports.Message{Subject: subject, Data: bytes.Clone(data)}}
	for _, s := range receivers {
		s.offer(m)
	}
	return nil
}

// receivers are the subscriptions without a group that match, and one member of each group that does.
func (b *Bus) receivers(subject string) []*busSubscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []*busSubscription
	var groups map[string][]*busSubscription
	add := func(s *busSubscription) {
		if s.group == "" {
			out = append(out, s)
			return
		}
		if groups == nil {
			groups = map[string][]*busSubscription{}
		}
		groups[s.group] = append(groups[s.group], s)
	}
	for _, s := range b.exact[subject] {
		add(s)
	}
	if len(b.wild) > 0 {
		tokens := strings.Split(subject, ".")
		for _, s := range b.wild {
			if matchTokens(s.tokens, tokens) {
				add(s)
			}
		}
	}
	for _, members := range groups {
		out = append(out, members[b.turn.Add(1)%uint64(len(members))])
	}
	return out
}

func matchTokens(pattern, subject []string) bool {
	if len(pattern) != len(subject) {
		return false
	}
	for i, p := range pattern {
		if p != "*" && p != subject[i] {
			return false
		}
	}
	return true
}

// Interested reports whether anybody would receive a message, so that senders can spare the work of making one.
func (b *Bus) Interested(subject string) bool { return len(b.receivers(subject)) > 0 }

// Subscribe implements ports.Bus.
func (b *Bus) Subscribe(ctx context.Context, subject, group string, h ports.Handler) (ports.Subscription, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &busSubscription{
		bus: b, subject: subject, group: group, handle: h,
		inbox: make(chan busMessage, busBuffer), stop: make(chan struct{}), done: make(chan struct{}),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, domain.Unavailable(0, "the bus is closed")
	}
	if strings.Contains(subject, "*") {
		s.tokens = strings.Split(subject, ".")
		b.wild = append(b.wild, s)
	} else {
		b.exact[subject] = append(b.exact[subject], s)
	}
	go s.deliver(context.WithoutCancel(ctx))
	return s, nil
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
	bounded, cancel := context.WithTimeout(ctx, busRequestMax)
	defer cancel()
	reply := make(chan []byte, 1)
	m := busMessage{Message: ports.Message{Subject: subject, Data: bytes.Clone(data), WantsReply: true}, reply: reply}
	receivers[b.turn.Add(1)%uint64(len(receivers))].offer(m)
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

// offer hands a message over, or drops it when the buffer is full.
func (s *busSubscription) offer(m busMessage) {
	select {
	case s.inbox <- m:
	default:
		s.bus.dropped.Add(1)
	}
}

func (s *busSubscription) deliver(ctx context.Context) {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		select {
		case <-s.stop:
			return
		case m := <-s.inbox:
			s.call(ctx, m)
		}
	}
}

// call runs the handler; one that panics loses its message and nothing else.
func (s *busSubscription) call(ctx context.Context, m busMessage) {
	defer func() {
		if recover() != nil {
			s.bus.dropped.Add(1)
		}
	}()
	own := m.Message
	own.Data = bytes.Clone(own.Data) // handlers of one message share nothing
	reply := s.handle(ctx, own)
	if m.reply != nil {
		m.reply <- bytes.Clone(reply)
	}
}

// Close implements ports.Subscription.
func (s *busSubscription) Close() error {
	s.once.Do(func() {
		b := s.bus
		b.mu.Lock()
		same := func(o *busSubscription) bool { return o == s }
		if s.tokens != nil {
			b.wild = slices.DeleteFunc(slices.Clone(b.wild), same)
		} else if rest := slices.DeleteFunc(slices.Clone(b.exact[s.subject]), same); len(rest) > 0 {
			b.exact[s.subject] = rest
		} else {
			delete(b.exact, s.subject)
		}
		b.mu.Unlock()
		close(s.stop)
	})
	<-s.done
	return nil
}

// Close ends all subscriptions.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	all := slices.Clone(b.wild)
	for _, subs := range b.exact {
		all = append(all, subs...)
	}
	b.mu.Unlock()
	for _, s := range all {
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}
