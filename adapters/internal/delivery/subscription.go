package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

// Inbox buffers the messages that wait for one handler.
type Inbox[M any] chan M

// inboxSize is how many messages an inbox buffers.
const inboxSize = 4096

// finishTimeout is how long a closed subscription goes on with what has arrived.
const finishTimeout = time.Second

// NewInbox returns an empty inbox.
func NewInbox[M any]() Inbox[M] { return make(Inbox[M], inboxSize) }

// Subscriptions are the open subscriptions of one bus. Safe for concurrent use.
type Subscriptions[M any] struct {
	log     *slog.Logger
	dropped atomic.Int64

	mu     sync.Mutex
	open   map[*Subscription[M]]struct{}
	closed bool
}

// NewSubscriptions returns an empty set. Handlers that panic are logged.
func NewSubscriptions[M any](log *slog.Logger) *Subscriptions[M] {
	return &Subscriptions[M]{log: log, open: map[*Subscription[M]]struct{}{}}
}

// ErrClosed is returned by Start after Close.
var ErrClosed = errors.New("the bus is closed")

// Start calls handle for each message of the inbox, one at a time, until the subscription is
// closed. handle gets the values of ctx, but not its end. The subscription calls detach once, when
// it is closed: it must stop the messages, and those that it lets through must be in the inbox when
// it returns.
func (ss *Subscriptions[M]) Start(
	ctx context.Context, inbox Inbox[M], handle func(context.Context, M), detach func(*Subscription[M]) error,
) (*Subscription[M], error) {
	s := &Subscription[M]{of: ss, inbox: inbox, detach: detach, stop: make(chan struct{}), done: make(chan struct{})}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.closed {
		return nil, ErrClosed
	}
	ss.open[s] = struct{}{}
	go s.deliver(context.WithoutCancel(ctx), handle)
	return s, nil
}

// Drop counts a message that no handler gets.
func (ss *Subscriptions[M]) Drop() { ss.dropped.Add(1) }

// Dropped counts the messages that found a full buffer, or whose handler panicked.
func (ss *Subscriptions[M]) Dropped() int64 { return ss.dropped.Load() }

// Close closes all subscriptions. None can be started any more.
func (ss *Subscriptions[M]) Close() error {
	ss.mu.Lock()
	ss.closed = true
	open := slices.Collect(maps.Keys(ss.open))
	ss.mu.Unlock()
	var errs []error
	for _, s := range open {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Subscription implements ports.Subscription.
type Subscription[M any] struct {
	of         *Subscriptions[M]
	inbox      Inbox[M]
	detach     func(*Subscription[M]) error
	once       sync.Once
	stop, done chan struct{}
}

var _ ports.Subscription = (*Subscription[any])(nil)

// Offer puts a message into the inbox. It does not wait: when the inbox is full, the message is
// dropped.
func (s *Subscription[M]) Offer(m M) {
	select {
	case s.inbox <- m:
	default:
		s.of.Drop()
	}
}

func (s *Subscription[M]) deliver(ctx context.Context, handle func(context.Context, M)) {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			s.finish(ctx, handle)
			return
		case m := <-s.inbox:
			s.call(ctx, m, handle)
		}
	}
}

// finish handles what has arrived before the subscription was closed: whoever sent a request waits
// for its answer, and asks nobody else before a timeout. A full inbox delays Close by finishTimeout
// at most.
func (s *Subscription[M]) finish(ctx context.Context, handle func(context.Context, M)) {
	for deadline := time.Now().Add(finishTimeout); time.Now().Before(deadline); {
		select {
		case m := <-s.inbox:
			s.call(ctx, m, handle)
		default:
			return
		}
	}
}

// call calls the handler. A panic costs its message and nothing else.
func (s *Subscription[M]) call(ctx context.Context, m M, handle func(context.Context, M)) {
	defer func() {
		if p := recover(); p != nil {
			s.of.Drop()
			s.of.log.Error("bus handler panicked", "panic", fmt.Sprint(p))
		}
	}()
	handle(ctx, m)
}

// Close implements ports.Subscription.
func (s *Subscription[M]) Close() error {
	var err error
	s.once.Do(func() {
		s.of.mu.Lock()
		delete(s.of.open, s)
		s.of.mu.Unlock()
		err = s.detach(s)
		close(s.stop)
	})
	<-s.done
	return err
}
