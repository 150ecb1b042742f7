package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
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
	// flushMax bounds how long a subscription waits until the server knows of it.
	flushMax      = 2 * time.Second
	reconnectWait = 250 * time.Millisecond
)

// Options say where the server is and who this is.
type Options struct {
	// URL lists servers, comma separated: nats://user:password@host:4222, tls://…
	URL string
	// Name shows in the server's monitoring.
	Name string
	// CredsFile holds a user's JWT and seed; CAFile, CertFile and KeyFile are for TLS. All optional.
	CredsFile, CAFile, CertFile, KeyFile string
	Log                                  *slog.Logger
}

// Bus implements ports.Bus. Close it once.
type Bus struct {
	conn    *nats.Conn
	link    link
	log     *slog.Logger
	dropped atomic.Int64
	stop    context.CancelFunc
	watched chan struct{} // closed when nobody watches the connection any more

	mu   sync.Mutex
	subs map[*subscription]bool
}

// Connect returns a bus. The server may still be away; the connection is made as soon as it answers.
func Connect(o Options) (*Bus, error) {
	b := &Bus{link: link{log: o.Log}, log: o.Log, watched: make(chan struct{}), subs: map[*subscription]bool{}}
	opts := []nats.Option{
		nats.Name(o.Name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait), nats.ReconnectBufSize(-1), nats.Timeout(flushMax),
		// A write to a connection that has fallen silent holds up all other calls.
		nats.FlusherTimeout(flushMax),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // else it was closed, or given up, here
				b.link.down(err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { b.link.up() }),
		nats.ConnectHandler(func(*nats.Conn) { b.link.up() }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) { b.failed(s, err) }),
	}
	if o.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(o.CredsFile))
	}
	if o.CAFile != "" {
		opts = append(opts, nats.RootCAs(o.CAFile))
	}
	if o.CertFile != "" || o.KeyFile != "" {
		opts = append(opts, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	for server := range strings.SplitSeq(o.URL, ",") {
		if _, err := url.Parse(strings.TrimSpace(server)); err != nil { // the library's error would hold the URL, with its password
			return nil, errors.New("bus: the URL is not valid; it looks like nats://user:password@host:4222")
		}
	}
	var err error
	if b.conn, err = nats.Connect(o.URL, opts...); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	if !b.conn.IsConnected() {
		b.link.down(errUnreachable)
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go b.watch(ctx)
	return b, nil
}

func (b *Bus) failed(s *nats.Subscription, err error) {
	subject := ""
	if s != nil {
		subject = s.Subject
	}
	if errors.Is(err, nats.ErrSlowConsumer) {
		b.dropped.Add(1)
	}
	b.log.Warn("bus", "subject", subject, "error", err)
}

// Connected reports whether the server answers. It does not wait: the library's own answer waits for writes under way.
func (b *Bus) Connected() bool { return b.link.isUp() }

// Dropped counts messages that found a full buffer, and handlers that panicked.
func (b *Bus) Dropped() int64 { return b.dropped.Load() }

// Close ends the connection and all its subscriptions.
func (b *Bus) Close() error {
	b.stop()
	<-b.watched
	b.mu.Lock()
	subs := slices.Collect(maps.Keys(b.subs))
	b.mu.Unlock()
	var errs []error
	for _, s := range subs {
		errs = append(errs, s.Close())
	}
	b.conn.Close()
	return errors.Join(errs...)
}

// message makes a message that carries the trace of ctx.
func (b *Bus) message(ctx context.Context, subject string, data []byte) (*nats.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !b.Connected() {
		return nil, domain.Unavailable(0, "the bus is disconnected")
	}
	if limit := b.conn.MaxPayload(); limit > 0 && int64(len(data)) > limit {
		return nil, domain.NewError(domain.CodeTooLarge, "a message of %d bytes is above the %d that the bus carries", len(data), limit)
	}
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	otel.GetTextMapPropagator().Inject(ctx, propagation.HeaderCarrier(m.Header))
	return m, nil
}

// Publish implements ports.Bus.
func (b *Bus) Publish(ctx context.Context, subject string, data []byte) error {
	m, err := b.message(ctx, subject, data)
	if err != nil {
		return err
	}
	return translate(ctx, b.conn.PublishMsg(m))
}

// Request implements ports.Bus.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	m, err := b.message(ctx, subject, data)
	if err != nil {
		return nil, err
	}
	bounded, cancel := b.link.whileUp(ctx, requestMax)
	defer cancel()
	reply, err := b.conn.RequestMsgWithContext(bounded, m)
	if err != nil {
		return nil, translate(ctx, err)
	}
	return reply.Data, nil
}

func translate(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, nats.ErrNoResponders):
		return &domain.Error{Code: domain.CodeUnavailable, Message: "nobody answers", Cause: err}
	case errors.Is(err, nats.ErrMaxPayload):
		return &domain.Error{Code: domain.CodeTooLarge, Message: "the message is larger than the bus carries", Cause: err}
	}
	return &domain.Error{Code: domain.CodeUnavailable, Message: "the bus is not available", Cause: err}
}

// subscription delivers from a buffer of its own, so that closing can wait for the handler.
type subscription struct {
	bus  *Bus
	sub  *nats.Subscription
	stop chan struct{}
	done chan struct{}
	once sync.Once
}

// Subscribe implements ports.Bus.
func (b *Bus) Subscribe(ctx context.Context, subject, group string, h ports.Handler) (ports.Subscription, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inbox := make(chan *nats.Msg, buffer)
	sub, err := b.conn.ChanQueueSubscribe(subject, group, inbox)
	if err != nil {
		return nil, translate(ctx, err)
	}
	s := &subscription{bus: b, sub: sub, stop: make(chan struct{}), done: make(chan struct{})}
	b.mu.Lock()
	b.subs[s] = true
	b.mu.Unlock()
	go s.deliver(context.WithoutCancel(ctx), inbox, h)
	if b.Connected() {
		bounded, cancel := context.WithTimeout(ctx, flushMax)
		defer cancel()
		// When it does not answer, the subscription is made again with the next connection.
		if err := b.conn.FlushWithContext(bounded); err != nil && ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), s.Close())
		}
	}
	return s, nil
}

func (s *subscription) deliver(ctx context.Context, inbox <-chan *nats.Msg, h ports.Handler) {
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
		case m := <-inbox:
			s.call(ctx, m, h)
		}
	}
}

// call runs the handler; one that panics loses its message and nothing else.
func (s *subscription) call(ctx context.Context, m *nats.Msg, h ports.Handler) {
	defer func() {
		if p := recover(); p != nil {
			s.bus.dropped.Add(1)
			s.bus.log.Error("a handler panicked", "subject", m.Subject, "panic", fmt.Sprint(p))
		}
	}()
	ctx = otel.GetTextMapPropagator().Extract(ctx, propagation.HeaderCarrier(m.Header))
	reply := h(ctx, ports.Message{Subject: m.Subject, Data: m.Data, WantsReply: m.Reply != ""})
	if m.Reply == "" {
		return
	}
	if err := m.Respond(reply); err != nil {
		s.bus.log.Debug("reply not sent", "subject", m.Subject, "error", err)
	}
}

// Close implements ports.Subscription.
func (s *subscription) Close() error {
	var err error
	s.once.Do(func() {
		if err = s.sub.Unsubscribe(); errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
			err = nil
		}
		s.bus.mu.Lock()
		delete(s.bus.subs, s)
		s.bus.mu.Unlock()
		close(s.stop)
	})
	<-s.done
	return err
}
