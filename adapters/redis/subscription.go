package redis

import (
	"context"
	"sync"

	"github.com/niyanta/niyanta/adapters/internal/delivery"
	"github.com/niyanta/niyanta/core/ports"
)

// message is a frame on its way to a handler.
type message struct {
	frame
	subject string
}

// topic is one subject that this process has subscriptions to.
type topic struct {
	*delivery.Topic[message]
	name string // the channel or pattern in Redis
	// confirmed is closed when Redis has confirmed the topic. Whoever subscribes to it waits for
	// that.
	confirmed chan struct{}
	confirm   func()
	shares    map[string]*share // by group
}

func newTopic(subject string) *topic {
	t := &topic{
		Topic: delivery.NewTopic[message](subject), name: channel(subject), confirmed: make(chan struct{}),
		shares: map[string]*share{},
	}
	t.confirm = sync.OnceFunc(func() { close(t.confirmed) })
	return t
}

// Subscribe implements ports.Bus.
func (b *Bus) Subscribe(ctx context.Context, subject, group string, h ports.Handler) (ports.Subscription, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, t, err := b.start(ctx, subject, group, h)
	if err != nil {
		return nil, translate(ctx, err)
	}
	bounded, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	if err := b.tell(bounded, t); err != nil {
		b.log.Debug("subscription is made with the next connection", "subject", subject, "error", err)
	}
	confirming, stop := b.link.WhileConnected(bounded, confirmTimeout)
	defer stop()
	select {
	case <-t.confirmed:
		return s, nil
	case <-confirming.Done(): // else it is made with the next connection
	}
	if ctx.Err() != nil {
		_ = s.Close()
		return nil, ctx.Err()
	}
	return s, nil
}

// start starts a subscription of this process. It does not tell Redis.
func (b *Bus) start(
	ctx context.Context, subject, group string, h ports.Handler,
) (*delivery.Subscription[message], *topic, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[channel(subject)]
	if t == nil {
		t = newTopic(subject)
	}
	if t.shares[group] == nil {
		t.shares[group] = &share{key: group + "." + t.name}
	}
	own := t.shares[group]
	handle := func(ctx context.Context, m message) {
		if group == "" || b.claim(ctx, own, m.ID) {
			b.handle(ctx, m, h)
		}
	}
	detach := func(s *delivery.Subscription[message]) error { b.remove(t, s); return nil }
	s, err := b.subs.Start(ctx, delivery.NewInbox[message](), handle, detach)
	if err != nil {
		return nil, nil, err
	}
	t.Add(group, s)
	b.topics[t.name] = t
	return s, t, nil
}

// remove removes a subscription of this process, and tells Redis when it was the topic's last one.
func (b *Bus) remove(t *topic, s *delivery.Subscription[message]) {
	b.mu.Lock()
	last := t.Remove(s)
	if last {
		delete(b.topics, t.name)
	}
	b.mu.Unlock()
	if !last {
		return
	}
	bounded, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := b.tell(bounded, t); err != nil { // the connection is gone, and with it the subscription
		b.log.Debug("not unsubscribed", "topic", t.name, "error", err)
	}
}

// tell tells Redis whether the topic is wanted, unless it knows. Whether it is wanted is looked up
// after waiting for its turn, so that the last word is right when a topic is left and wanted again
// at once.
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
	var err error // the client keeps what it was told, for its next connection, even if it fails
	switch {
	case wanted && t.Pattern:
		err = insist(ctx, to.PSubscribe, t.name)
	case wanted:
		err = insist(ctx, to.Subscribe, t.name)
	case t.Pattern:
		err = to.PUnsubscribe(ctx, t.name)
	default:
		err = to.Unsubscribe(ctx, t.name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told[t.name] = true; !wanted {
		delete(b.told, t.name)
	}
	return err
}

// insist makes a call that subscribes, and makes it again if it fails: when the write fails, the
// client first connects again with the names that it knew before, and then keeps the new ones for the
// connection after that.
func insist(ctx context.Context, call func(ctx context.Context, names ...string) error, names ...string) error {
	err := call(ctx, names...)
	if err == nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(bounded, names...)
}
