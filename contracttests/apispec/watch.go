package apispec

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
)

// Watch makes the default transport of net/http, and its clones, check the answers on connections
// that are made from now on. It returns a function that returns the number of checked answers, and
// an error if one was not as the file declares. Answers without a request id are not checked,
// because they come from other servers. Encrypted connections are not checked either.
//
// The checks change nothing and delay nothing. Of very many answers of one operation and status,
// the first are checked and then a sample.
func Watch() (stop func() (checked int, err error), err error) {
	spec, err := Load()
	if err != nil {
		return nil, err
	}
	w := &watcher{spec: spec, open: map[*watched]bool{}, seen: map[string]int{}}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("the default transport is a %T", http.DefaultTransport)
	}
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return w.watch(conn), nil
	}
	return func() (int, error) {
		transport.DialContext = dial
		return w.report()
	}, nil
}

// Main runs the tests of a package with Watch and returns the exit code: run's, or 1 if an answer
// was not as the file declares.
func Main(run func() int) int {
	stop, err := Watch()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := run()
	if _, err := stop(); err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: answers that the OpenAPI file does not declare:\n%v\n", err)
		return max(code, 1)
	}
	return code
}

// Of each operation and status, the first checkedAll answers are checked, then one in sample.
const (
	checkedAll = 200
	sample     = 50
	// maxBody is the size of the largest body that is checked.
	maxBody = 4 << 20
)

type watcher struct {
	spec      *Spec
	following sync.WaitGroup

	mu      sync.Mutex
	open    map[*watched]bool
	seen    map[string]int
	checked int
	errs    []string
}

// report stops watching, and returns the number of checked answers and the errors.
func (w *watcher) report() (int, error) {
	w.mu.Lock()
	for c := range w.open {
		c.end()
	}
	w.mu.Unlock()
	w.following.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.errs) == 0 {
		return w.checked, nil
	}
	return w.checked, fmt.Errorf("%s", strings.Join(w.errs, "\n"))
}

// due counts an answer, and reports whether it must be checked.
func (w *watcher) due(kind string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[kind]++
	n := w.seen[kind]
	if n > checkedAll && n%sample != 0 {
		return false
	}
	w.checked++
	return true
}

func (w *watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text := err.Error(); len(w.errs) < 20 {
		w.errs = append(w.errs, text)
	}
}

// watch returns a connection whose traffic is checked.
func (w *watcher) watch(conn net.Conn) net.Conn {
	c := &watched{Conn: conn, sent: newStream(), received: newStream()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[c] = true
	w.following.Go(func() {
		w.follow(c.sent, c.received)
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, c)
	})
	return c
}

// follow reads the requests and answers of a connection in turn. It ends with the connection, or
// when the connection does not speak HTTP any more.
func (w *watcher) follow(sent, received *stream) {
	defer sent.drop()
	defer received.drop()
	requests, answers := bufio.NewReader(sent), bufio.NewReader(received)
	for {
		if first, err := requests.Peek(1); err != nil || first[0] < 'A' || first[0] > 'z' {
			return
		}
		req, err := http.ReadRequest(requests)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		resp, err := http.ReadResponse(answers, req) //nolint:bodyclose // the connection is read on, body and all
		for err == nil && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			resp, err = http.ReadResponse(answers, req) //nolint:bodyclose // an interim answer has no body
		}
		if err != nil || !w.answered(req, resp) {
			return
		}
	}
}

// answered checks an answer, and reports whether another one may follow on the connection.
func (w *watcher) answered(req *http.Request, resp *http.Response) bool {
	endless := resp.StatusCode == http.StatusSwitchingProtocols ||
		strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
	var body []byte
	if !endless {
		content, err := decoded(resp)
		if err != nil {
			return false
		}
		if body, err = io.ReadAll(io.LimitReader(content, maxBody)); err != nil {
			return false // the connection broke
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return false
		}
	}
	if resp.Header.Get("X-Request-Id") == "" || len(body) == maxBody {
		return !endless
	}
	kind := fmt.Sprintf("%s %d", req.Method, resp.StatusCode)
	if op := w.spec.Operation(req); op != nil {
		kind = fmt.Sprintf("%s %d", op.OperationID, resp.StatusCode)
	}
	if w.due(kind) {
		if err := w.spec.Check(req, resp, body); err != nil {
			w.fail(err)
		}
	}
	return !endless
}

// decoded returns the body as the client sees it. A transport that asked for compression
// decompresses the body.
func decoded(resp *http.Response) (io.Reader, error) {
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return resp.Body, nil
	}
	resp.Header.Del("Content-Encoding")
	content, err := gzip.NewReader(resp.Body)
	if errors.Is(err, io.EOF) { // to HEAD
		return resp.Body, nil
	}
	return content, err
}

// watched is a connection whose bytes are copied.
type watched struct {
	net.Conn

	sent, received *stream
}

// Read implements net.Conn.
func (c *watched) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.add(p[:n])
	return n, err
}

// Write implements net.Conn.
func (c *watched) Write(p []byte) (int, error) {
	c.sent.add(p)
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *watched) Close() error {
	c.end()
	return c.Conn.Close()
}

func (c *watched) end() {
	c.sent.end()
	c.received.end()
}

// maxBacklog is the number of bytes that may wait to be read by follow. A connection with more is
// not watched any further.
const maxBacklog = 16 << 20

// stream holds bytes until they are read. Adding never waits.
type stream struct {
	mu    sync.Mutex
	more  sync.Cond
	bytes []byte
	ended bool
	lost  bool
}

func newStream() *stream {
	s := &stream{}
	s.more.L = &s.mu
	return s
}

func (s *stream) add(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost {
		return
	}
	if len(s.bytes)+len(p) > maxBacklog {
		s.lost, s.bytes = true, nil
	} else {
		s.bytes = append(s.bytes, p...)
	}
	s.more.Signal()
}

// end tells the reader that nothing follows.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.more.Signal()
}

// drop discards the bytes that it holds and those that are added later.
func (s *stream) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost, s.bytes = true, nil
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.bytes) == 0 && !s.ended && !s.lost {
		s.more.Wait()
	}
	if s.lost || len(s.bytes) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, s.bytes)
	s.bytes = s.bytes[n:]
	return n, nil
}
