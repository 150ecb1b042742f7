package memory

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Notifier implements ports.Notifier and ports.Listener within one process by plain calls.
// Nothing is encoded and nothing is lost. Handlers run on the sender's goroutine. Their contract
// allows it: they are quick and never close themselves.
type Notifier struct {
	commands topic[domain.WorkerID, ports.Command]
	updates  topic[ports.Followed, ports.Update]
	wakes    topic[struct{}, string]
}

// NewNotifier returns a Notifier.
func NewNotifier() *Notifier { return &Notifier{} }

// Command implements ports.Notifier.
func (n *Notifier) Command(_ context.Context, worker domain.WorkerID, cs ...ports.Command) {
	for _, c := range cs {
		n.commands.send(worker, c)
	}
}

// Wake implements ports.Notifier.
func (n *Notifier) Wake(_ context.Context, reason string) { n.wakes.send(struct{}{}, reason) }

// Updated implements ports.Notifier.
func (n *Notifier) Updated(_ context.Context, us ...ports.Update) {
	for _, u := range us {
		for _, f := range u.Of() {
			n.updates.send(f, u)
		}
	}
}

// Commands implements ports.Listener.
func (n *Notifier) Commands(
	ctx context.Context, worker domain.WorkerID, h func(ports.Command),
) (ports.Subscription, error) {
	return n.commands.listen(ctx, worker, h)
}

// Wakes implements ports.Listener.
func (n *Notifier) Wakes(ctx context.Context, h func(string)) (ports.Subscription, error) {
	return n.wakes.listen(ctx, struct{}{}, h)
}

// Updates implements ports.Listener.
func (n *Notifier) Updates(
	ctx context.Context, f ports.Followed, h func(ports.Update),
) (ports.Subscription, error) {
	return n.updates.listen(ctx, f, h)
}

// topic is a set of listeners by key.
type topic[K comparable, M any] struct {
	mu        sync.RWMutex
	listeners map[K][]*listener[K, M]
	count     atomic.Int64 // spares the lock when nobody listens at all
}

type listener[K comparable, M any] struct {
	topic *topic[K, M]
	key   K

	mu     sync.Mutex
	handle func(M)
	closed bool
}

func (t *topic[K, M]) send(key K, m M) {
	if t.count.Load() == 0 {
		return
	}
	t.mu.RLock()
	ls := t.listeners[key] // replaced, never changed in place
	t.mu.RUnlock()
	for _, l := range ls {
		l.mu.Lock()
		if !l.closed {
			l.handle(m)
		}
		l.mu.Unlock()
	}
}

func (t *topic[K, M]) listen(ctx context.Context, key K, h func(M)) (ports.Subscription, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := &listener[K, M]{topic: t, key: key, handle: h}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listeners == nil {
		t.listeners = map[K][]*listener[K, M]{}
	}
	t.listeners[key] = append(t.listeners[key][:len(t.listeners[key]):len(t.listeners[key])], l)
	t.count.Add(1)
	return l, nil
}

// Close implements ports.Subscription.
func (l *listener[K, M]) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	t := l.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	var rest []*listener[K, M]
	for _, other := range t.listeners[l.key] {
		if other != l {
			rest = append(rest, other)
		}
	}
	if len(rest) == 0 {
		delete(t.listeners, l.key)
	} else {
		t.listeners[l.key] = rest
	}
	t.count.Add(-1)
	return nil
}
