package workerclient

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	dialTimeout = 2 * time.Second
	// idleTimeout is how long a connection is kept that nothing uses. It is shorter than after what routers, balancers
	// and servers forget a connection, some of them without a word.
	idleTimeout = 10 * time.Second
	// writeBuffer is how many bytes wait in a connection's buffer at most.
	writeBuffer = 512 << 10
	// retiredLimit bounds the pools that may still have connections in use.
	retiredLimit = 16
)

// line is a pool of connections for one kind of requests.
type line struct {
	mu      sync.Mutex
	pool    *http.Transport
	retired []*http.Transport
}

func newLine() *line { return &line{pool: newPool()} }

func newPool() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
	t.DialContext = dial
	t.TLSHandshakeTimeout = dialTimeout
	t.MaxIdleConnsPerHost = 16
	t.IdleConnTimeout = idleTimeout
	// Requests of HTTP/2 share a connection.
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: idleTimeout / 2, PingTimeout: dialTimeout}
	return t
}

// dial connects. What was written to the connection and has not been sent is bounded, so that writing shows whether
// anything moves.
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

// renew has the requests that follow use new connections. Those under way end over their old ones.
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
	l.pool = newPool()
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range append(l.retired, l.pool) {
		t.CloseIdleConnections()
	}
	l.retired = nil
}

// sender sends requests over a line, and gives one up when nothing has been sent or received for patience. A large body
// takes as long as it moves.
type sender struct {
	line     *line
	patience time.Duration
}

// drainRate is how many bytes of a body per second are expected at least to leave the buffers on its way, which have
// taken it before the other end has.
const drainRate = 4 << 20

// drain is how much longer an answer may take because of the body before it.
func drain(size int64) time.Duration {
	return time.Duration(max(size, 0)) * time.Second / drainRate
}

// Do implements the generated client's doer.
func (s sender) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	watch := time.AfterFunc(s.patience, func() { cancel(errSilent) })
	moved := func(int) { watch.Reset(s.patience) }
	var sent int64
	sending := func(n int) {
		sent += int64(n)
		watch.Reset(s.patience + drain(sent))
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
	resp, err := (&http.Client{Transport: s.line}).Do(req)
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

// moving is a body that tells when some of it has moved, and when it is closed.
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
