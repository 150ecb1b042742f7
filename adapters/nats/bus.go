package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/niyanta/niyanta/adapters/internal/delivery"
	"github.com/niyanta/niyanta/adapters/internal/link"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// requestTimeout bounds a request whose context has no deadline.
	requestTimeout = 10 * time.Second
	// flushTimeout bounds how long a subscription waits until the server knows of it.
	flushTimeout  = 2 * time.Second
	reconnectWait = 250 * time.Millisecond
)

// tooLargeHeader stands in an empty reply, in place of one that is too large.
const tooLargeHeader = "Niyanta-Too-Large"

// Options say where the server is and who this is.
type Options struct {
	// URL lists servers, comma separated: nats://user:password@host:4222, tls://…
	URL string
	// Name shows in the server's monitoring.
	Name string
	// CredsFile holds a user's JWT and seed. Optional.
	CredsFile string
	// TLS, if set, switches TLS on. It returns the authorities and the certificate, each time a
	// connection is made.
	TLS func() *tls.Config
	Log *slog.Logger
}

// Bus implements ports.Bus. Close it once.
type Bus struct {
	conn    *nats.Conn
	link    *link.Link
	log     *slog.Logger
	subs    *delivery.Subscriptions[*nats.Msg]
	stop    context.CancelFunc
	watcher sync.WaitGroup
}

// Connect returns a bus. It does not need the server: the bus connects as soon as that answers.
func Connect(o Options) (*Bus, error) {
	address, err := addressOf(o.URL)
	if err != nil {
		return nil, err
	}
	b := &Bus{link: link.New(address, o.Log), log: o.Log, subs: delivery.NewSubscriptions[*nats.Msg](o.Log)}
	refused := make(chan error, 1) // the first failure, which the library tells only here
	opts := []nats.Option{
		nats.Name(o.Name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait), nats.ReconnectBufSize(-1), nats.Timeout(flushTimeout),
		// The server's password may change before the client's, or after.
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			select {
			case refused <- err:
			default:
			}
		}),
		// A write over a silent connection holds up all other calls.
		nats.FlusherTimeout(flushTimeout),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // otherwise this process closed it
				b.link.Disconnected(err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { b.link.Connected() }),
		nats.ConnectHandler(func(*nats.Conn) { b.link.Connected() }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) { b.failed(s, err) }),
	}
	if o.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(o.CredsFile))
	}
	if o.TLS != nil {
		opts = append(opts, secured(o.TLS))
	}
	if b.conn, err = nats.Connect(o.URL, opts...); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	if !b.conn.IsConnected() {
		b.link.Disconnected(<-refused)
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.watcher.Go(func() { b.link.Watch(ctx, b.probe, b.reconnect) })
	return b, nil
}

// secured has each connection use the authorities and the certificate that it finds.
func secured(now func() *tls.Config) nats.Option {
	certificate := func() (tls.Certificate, error) {
		if c := now().Certificates; len(c) > 0 {
			return c[0], nil
		}
		return tls.Certificate{}, nil // shows none
	}
	return nats.ClientTLSConfig(certificate, func() (*x509.CertPool, error) { return now().RootCAs, nil })
}

// addressOf returns the hosts of a list of URLs, without credentials.
func addressOf(list string) (string, error) {
	var hosts []string
	for server := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil { // the library's error would hold the URL, with its password
			return "", errors.New("bus: the URL is not valid; it looks like nats://user:password@host:4222")
		}
		hosts = append(hosts, u.Host)
	}
	return strings.Join(hosts, ","), nil
}

func (b *Bus) failed(s *nats.Subscription, err error) {
	subject := ""
	if s != nil {
		subject = s.Subject
	}
	switch {
	case errors.Is(err, nats.ErrSlowConsumer):
		b.subs.Drop()
	case !b.conn.IsConnected(): // it comes with each attempt, and probe tells it once
		return
	}
	b.log.Warn("bus error", "subject", subject, "error", err)
}

// Connected reports whether the server answers. It does not wait, unlike the library's method,
// which waits for writes under way.
func (b *Bus) Connected() bool { return b.link.IsConnected() }

// Dropped counts the messages that found a full buffer, or whose handler panicked.
func (b *Bus) Dropped() int64 { return b.subs.Dropped() }

// Close ends the connection and all its subscriptions.
func (b *Bus) Close() error {
	b.stop()
	b.watcher.Wait()
	err := b.subs.Close()
	b.conn.Close()
	return err
}

// message makes a message that carries the origin of ctx.
func (b *Bus) message(ctx context.Context, subject string, data []byte) (*nats.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !b.Connected() {
		return nil, domain.Unavailable(0, "the bus is disconnected")
	}
	if limit := b.conn.MaxPayload(); limit > 0 && int64(len(data)) > limit {
		return nil, domain.NewError(domain.CodeTooLarge,
			"a message of %d bytes is above the %d that the bus carries", len(data), limit)
	}
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	for name, value := range delivery.Headers(ctx) {
		m.Header.Set(name, value)
	}
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
	bounded, cancel := b.link.WhileConnected(ctx, requestTimeout)
	defer cancel()
	reply, err := b.conn.RequestMsgWithContext(bounded, m)
	switch {
	case err != nil:
		return nil, translate(ctx, err)
	case reply.Header.Get(tooLargeHeader) != "":
		return nil, domain.NewError(domain.CodeTooLarge, "the reply is larger than the bus carries")
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

// Subscribe implements ports.Bus.
func (b *Bus) Subscribe(ctx context.Context, subject, group string, h ports.Handler) (ports.Subscription, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inbox := delivery.NewInbox[*nats.Msg]()
	sub, err := b.conn.ChanQueueSubscribe(subject, group, inbox)
	if err != nil {
		return nil, translate(ctx, err)
	}
	s, err := b.subs.Start(ctx, inbox, func(ctx context.Context, m *nats.Msg) { b.handle(ctx, m, h) },
		func(*delivery.Subscription[*nats.Msg]) error { return b.unsubscribe(sub) })
	if err != nil {
		return nil, errors.Join(translate(ctx, err), b.unsubscribe(sub))
	}
	if b.Connected() {
		bounded, cancel := context.WithTimeout(ctx, flushTimeout)
		defer cancel()
		// When the server does not answer, the subscription is made again with the next connection.
		if err := b.conn.FlushWithContext(bounded); err != nil && ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), s.Close())
		}
	}
	return s, nil
}

func (b *Bus) handle(ctx context.Context, m *nats.Msg, h ports.Handler) {
	ctx = delivery.WithHeaders(ctx, m.Header.Get)
	reply := h(ctx, ports.Message{Subject: m.Subject, Data: m.Data, WantsReply: m.Reply != ""})
	if m.Reply == "" {
		return
	}
	err := m.Respond(reply)
	if errors.Is(err, nats.ErrMaxPayload) {
		err = m.RespondMsg(&nats.Msg{Header: nats.Header{tooLargeHeader: {"true"}}})
	}
	if err != nil {
		b.log.Debug("reply not sent", "subject", m.Subject, "error", err)
	}
}

// unsubscribe ends a subscription, whether the connection is still open or not. Messages that the
// server had sent before it knew are in the inbox afterwards.
func (b *Bus) unsubscribe(s *nats.Subscription) error {
	if b.Connected() {
		bounded, cancel := context.WithTimeout(context.Background(), flushTimeout)
		defer cancel()
		// Drain keeps the subscription until the server has answered; without that answer nothing more
		// comes that could be waited for.
		if err := s.Drain(); err == nil {
			_ = b.conn.FlushWithContext(bounded)
		}
	}
	err := s.Unsubscribe()
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
		return nil
	}
	return err
}

// probe asks the server for a sign of life. The library's own pings take twice as long at least,
// and messages are published into nothing meanwhile.
func (b *Bus) probe(ctx context.Context) error {
	if !b.conn.IsConnected() {
		if err := b.conn.LastError(); refuses(err) {
			b.link.Refused(err)
		}
		return link.ErrReported
	}
	err := b.conn.FlushWithContext(ctx)
	switch {
	case err == nil:
		return nil
	case !b.conn.IsConnected():
		return link.ErrReported
	}
	return link.ErrSilent
}

// refuses reports whether err is the answer of a server that refuses a connection, such as one for a
// wrong password, and not that of a network without an answer.
func refuses(err error) bool {
	var network net.Error
	return err != nil && !errors.As(err, &network) && !errors.Is(err, io.EOF) && !errors.Is(err, nats.ErrNoServers)
}

func (b *Bus) reconnect(context.Context) {
	if err := b.conn.ForceReconnect(); err != nil {
		b.log.Debug("bus not reconnected", "error", err)
	}
}

var _ ports.Bus = (*Bus)(nil)
