package redis

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

// delivery is a message on its way to a handler.
type delivery struct {
	frame
	subject string
}

// topic is one subject that this process has subscriptions to.
type topic struct {
	name   string   // the channel or pattern
	tokens []string // of a pattern, else nil
	alone  []*subscription
	groups map[string]*group
}

// group are this process's members of a queue group; they take turns.
type group struct {
	members []*subscription
	turn    int
}

func (t *topic) all() []*subscription {
	out := slices.Clone(t.alone)
	for _, g := range t.groups {
		out = append(out, g.members...)
	}
	return out
}

// matches checks a pattern token by token: in Redis, "*" also crosses dots.
func (t *topic) matches(subject string) bool {
	if t.tokens == nil {
		return true
	}
	got := strings.Split(subject, ".")
	if len(got) != len(t.tokens) {
		return false
	}
	for i, want := range t.tokens {
		if want != "*" && want != got[i] {
			return false
		}
	}
	return true
}

// offer hands a message to every subscription alone and to one member of each group. The bus's mutex is held.
func (t *topic) offer(d delivery) {
	for _, s := range t.alone {
		s.offer(d)
	}
	for _, g := range t.groups {
		g.turn++
		g.members[g.turn%len(g.members)].offer(d)
	}
}

// subscription implements ports.Subscription.
type subscription struct {
	bus    *Bus
	topic  *topic
	group  string
	handle ports.Handler
	inbox  chan delivery
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
}

// Subscribe implements ports.Bus.
func (b *Bus) Subscribe(ctx context.Context, subject, groupName string, h ports.Handler) (ports.Subscription, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &subscription{
		bus: b, group: groupName, handle: h, inbox: make(chan delivery, buffer), stop: make(chan struct{}), done: make(chan struct{}),
	}
	wait := b.add(ctx, subject, s)
	go s.deliver(context.WithoutCancel(ctx))
	if wait == nil {
		return s, nil
	}
	select {
	case <-wait:
	case <-time.After(confirmMax): // made with the next connection
	case <-ctx.Done():
		_ = s.Close()
		return nil, ctx.Err()
	}
	return s, nil
}

// add files the subscription; wait is closed when Redis has confirmed its topic, nil if it did before.
func (b *Bus) add(ctx context.Context, subject string, s *subscription) (wait chan struct{}) {
	name := channel(subject)
	pattern := strings.Contains(subject, "*")
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		t = &topic{name: name, groups: map[string]*group{}}
		subscribe := b.pubsub.Subscribe
		if pattern {
			t.tokens, subscribe = strings.Split(subject, "."), b.pubsub.PSubscribe
		}
		wait = make(chan struct{})
		b.waiting[name] = append(b.waiting[name], wait)
		if err := subscribe(context.WithoutCancel(ctx), name); err != nil {
			b.log.Warn("subscription is made when the bus is back", "subject", subject, "error", err)
		}
		b.topics[name] = t
	}
	s.topic = t
	if s.group == "" {
		t.alone = append(t.alone, s)
		return wait
	}
	g := t.groups[s.group]
	if g == nil {
		g = &group{}
		t.groups[s.group] = g
	}
	g.members = append(g.members, s)
	return wait
}

// offer hands a message over, or drops it when the buffer is full.
func (s *subscription) offer(d delivery) {
	select {
	case s.inbox <- d:
	default:
		s.bus.dropped.Add(1)
	}
}

func (s *subscription) deliver(ctx context.Context) {
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
		case d := <-s.inbox:
			if s.group == "" || s.bus.claim(ctx, s.topic.name, s.group, d.ID) {
				s.bus.handle(ctx, d, s.handle)
			}
		}
	}
}

// end stops deliveries and waits for the handler.
func (s *subscription) end() {
	s.once.Do(func() { close(s.stop) })
	<-s.done
}

// Close implements ports.Subscription.
func (s *subscription) Close() error {
	b, t := s.bus, s.topic
	s.once.Do(func() { close(s.stop) })
	b.mu.Lock()
	same := func(o *subscription) bool { return o == s }
	t.alone = slices.DeleteFunc(slices.Clone(t.alone), same)
	if g := t.groups[s.group]; g != nil {
		if g.members = slices.DeleteFunc(slices.Clone(g.members), same); len(g.members) == 0 {
			delete(t.groups, s.group)
		}
	}
	if len(t.alone) == 0 && len(t.groups) == 0 && b.topics[t.name] == t {
		delete(b.topics, t.name)
		unsubscribe := b.pubsub.Unsubscribe
		if t.tokens != nil {
			unsubscribe = b.pubsub.PUnsubscribe
		}
		if uerr := unsubscribe(context.Background(), t.name); uerr != nil {
			b.log.Debug("unsubscribe", "error", uerr) // the connection is gone, and with it the subscription
		}
	}
	b.mu.Unlock()
	s.end()
	return nil
}

var _ ports.Bus = (*Bus)(nil)
