package workerclient

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/niyanta/niyanta/api/client"
)

const (
	dialTimeout = 2 * time.Second
	// idleTimeout is how long an unused connection is kept. It is shorter than the time after which
	// routers, load balancers and servers forget a connection, some of them without notice.
	idleTimeout = 10 * time.Second
	// writeBuffer bounds the bytes in a connection's send buffer.
	writeBuffer = 512 << 10
	// retiredLimit bounds the pools that may still have connections in use.
	retiredLimit = 16
)

// line is a pool of connections for one kind of requests.
type line struct {
	equip   func(*http.Transport)
	mu      sync.Mutex
	pool    *http.Transport
	retired []*http.Transport
}

func newLine(equip func(*http.Transport)) *line { return &line{equip: equip, pool: newPool(equip)} }

func newPool(equip func(*http.Transport)) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
	t.DialContext = dial
	t.TLSHandshakeTimeout = dialTimeout
	t.MaxIdleConnsPerHost = 16
	t.IdleConnTimeout = idleTimeout
	// Requests of HTTP/2 share a connection.
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: idleTimeout / 2, PingTimeout: dialTimeout}
	equip(t)
	return t
}

// dial connects. It bounds the send buffer, so that a write that returns shows that bytes have
// moved.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
	}
	conn, err := d.DialContext(ctx, network, address)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(writeBuffer) // the system's own size is good enough
	}
	return conn, err
}

// RoundTrip implements http.RoundTripper.
func (l *line) RoundTrip(req *http.Request) (*http.Response, error) {
	l.mu.Lock()
	pool := l.pool
	l.mu.Unlock()
	return pool.RoundTrip(req)
}

// renew makes later requests use new connections. Requests under way finish on their old ones.
func (l *line) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = append(l.retired, l.pool)
	for _, old := range l.retired {
		old.CloseIdleConnections()
	}
	if over := len(l.retired) - retiredLimit; over > 0 {
		l.retired = l.retired[over:] // what they have left closes after idleTimeout
	}
	l.pool = newPool(l.equip)
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range append(l.retired, l.pool) {
		t.CloseIdleConnections()
	}
	l.retired = nil
}

// sender sends requests over a line. It cancels one if nothing has been sent or received for
// timeout. A large body may take as long as it moves.
type sender struct {
	line    *line
	timeout time.Duration
}

// drainRate is the lowest rate, in bytes per second, at which a body is expected to leave the
// buffers between here and the coordinator.
const drainRate = 4 << 20

// storeLimit bounds how many bytes the reader of an answer may be storing when it does not read.
const storeLimit = 64 << 20

// drain returns how much longer an answer may take because the body before it is still in buffers.
func drain(size int64) time.Duration {
	return time.Duration(max(size, 0)) * time.Second / drainRate
}

// Do implements the generated client's doer. The request carries its origin.
func (s sender) Do(req *http.Request) (*http.Response, error) {
	client.SendOrigin(req)
	ctx, cancel := context.WithCancelCause(req.Context())
	watch := time.AfterFunc(s.timeout, func() { cancel(errSilent) })
	var got int64
	moved := func(n int) { // who stores what is received needs time for it now and then
		got += int64(n)
		watch.Reset(s.timeout + drain(min(got, storeLimit)))
	}
	var sent int64
	sending := func(n int) {
		sent += int64(n)
		watch.Reset(s.timeout + drain(sent))
	}
	end := func() {
		watch.Stop()
		cancel(nil)
	}
	req = req.WithContext(ctx)
	if get := req.GetBody; get != nil {
		req.Body = &moving{req.Body, sending, nil}
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := get()
			return &moving{body, sending, nil}, err
		}
	}
	resp, err := (&http.Client{Transport: s.line, CheckRedirect: client.NoRedirect}).Do(req)
	if err != nil {
		end()
		if context.Cause(ctx) == errSilent { //nolint:errorlint // as it was given
			err = errSilent
		}
		return nil, err
	}
	resp.Body = &moving{resp.Body, moved, end}
	return resp, nil
}

// moving is a request body that signals when bytes of it are read and when it is closed.
type moving struct {
	io.ReadCloser
	moved  func(n int)
	closed func()
}

// Read implements io.Reader.
func (m *moving) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if n > 0 {
		m.moved(n)
	}
	return n, err
}

// Close implements io.Closer.
func (m *moving) Close() error {
	err := m.ReadCloser.Close()
	if m.closed != nil {
		m.closed()
	}
	return err
}
