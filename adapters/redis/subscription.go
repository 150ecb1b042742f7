package redis

import (
	"context"
	"slices"
	"strings"
	"sync"

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
	// confirmed is closed when Redis has confirmed the topic. Whoever subscribes to it waits for that.
	confirmed chan struct{}
	confirm   func()
}

func newTopic(subject string) *topic {
	t := &topic{name: channel(subject), groups: map[string]*group{}, confirmed: make(chan struct{})}
	t.confirm = sync.OnceFunc(func() { close(t.confirmed) })
	if strings.Contains(subject, "*") {
		t.tokens = strings.Split(subject, ".")
	}
	return t
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
	b.add(subject, s)
	go s.deliver(context.WithoutCancel(ctx))
	bounded, cancel := context.WithTimeout(ctx, confirmMax)
	defer cancel()
	if err := b.tell(bounded, s.topic); err != nil {
		b.log.Debug("subscription is made with the next connection", "subject", subject, "error", err)
	}
	select {
	case <-s.topic.confirmed:
		return s, nil
	case <-bounded.Done(): // else it is made with the next connection
	}
	if ctx.Err() != nil {
		_ = s.Close()
		return nil, ctx.Err()
	}
	return s, nil
}

// add files the subscription.
func (b *Bus) add(subject string, s *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[channel(subject)]
	if t == nil {
		t = newTopic(subject)
		b.topics[t.name] = t
	}
	s.topic = t
	if s.group == "" {
		t.alone = append(t.alone, s)
		return
	}
	g := t.groups[s.group]
	if g == nil {
		g = &group{}
		t.groups[s.group] = g
	}
	g.members = append(g.members, s)
}

// tell tells Redis whether the topic is wanted, unless it knows. What is wanted is looked at when its turn has come, so
// that the last word is the right one when a topic is left and wanted again at once.
func (b *Bus) tell(ctx context.Context, t *topic) error {
	select {
	case b.telling <- struct{}{}:
		defer func() { <-b.telling }()
	case <-ctx.Done():
		return ctx.Err()
	}
	b.mu.Lock()
	to, wanted, told := b.pubsub, b.topics[t.name] != nil, b.told[t.name]
	b.mu.Unlock()
	if wanted == told {
		return nil
	}
	call := to.Unsubscribe
	switch {
	case wanted && t.tokens != nil:
		call = to.PSubscribe
	case wanted:
		call = to.Subscribe
	case t.tokens != nil:
		call = to.PUnsubscribe
	}
	err := call(ctx, t.name) // the client keeps what it was told, for its next connection, even if it fails
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told[t.name] = true; !wanted {
		delete(b.told, t.name)
	}
	return err
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
	last := len(t.alone) == 0 && len(t.groups) == 0 && b.topics[t.name] == t
	if last {
		delete(b.topics, t.name)
	}
	b.mu.Unlock()
	s.end()
	if last {
		bounded, cancel := context.WithTimeout(context.Background(), callMax)
		defer cancel()
		if err := b.tell(bounded, t); err != nil {
			b.log.Debug("unsubscribe", "error", err) // the connection is gone, and with it the subscription
		}
	}
	return nil
}

var _ ports.Bus = (*Bus)(nil)
