package netfault

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Proxy stands between a client and a TCP server, and disturbs their connections on demand. Safe
// for concurrent use.
type Proxy struct {
	Port    int
	targets []string
	listen  net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
	down  bool
	// A chunk of data towards the client (or the server) that contains the text is not delivered,
	// and its connection is cut.
	cutToClient, cutToServer []byte
	cuts                     int
	downAfterCut             bool
	held                     chan struct{} // while it is open, nothing passes
	next                     int
	pairs                    map[*pair]bool
	idleLimit                time.Duration // 0: none
}

// pair is a connection of a client and the proxy's connection to the server for it. Once it is
// silent, the data of both ends is dropped, and neither end is told. A router that has forgotten a
// connection behaves like that. The proxy's mutex guards the pair.
type pair struct {
	silent bool
	moved  time.Time
}

// NewProxy starts a proxy to a port of loopback, or to any of several that answers. It ends with
// the test.
func NewProxy(tb testing.TB, ports ...int) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener it is one
	p := &Proxy{Port: port, listen: l, conns: map[net.Conn]bool{}, pairs: map[*pair]bool{}}
	for _, port := range ports {
		p.targets = append(p.targets, fmt.Sprintf("127.0.0.1:%d", port))
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.Release()
		p.Cut()
		wg.Wait()
	})
	return p
}

func (p *Proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server := p.dial()
	if server == nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !p.track(client, server) {
		return
	}
	defer p.forget(client, server)
	both := &pair{moved: time.Now()}
	p.mu.Lock()
	p.pairs[both] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pairs, both)
	}()
	var wg sync.WaitGroup
	for _, way := range []struct {
		from, to net.Conn
		cut      *[]byte
	}{{client, server, &p.cutToServer}, {server, client, &p.cutToClient}} {
		wg.Go(func() {
			p.copy(way.from, way.to, way.cut, both)
			_ = way.from.Close()
			if !p.isSilent(both) {
				_ = way.to.Close()
			}
		})
	}
	wg.Wait()
}

func (p *Proxy) isSilent(both *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return both.silent
}

// dial connects to the next target that answers. It returns nil if none does.
func (p *Proxy) dial() net.Conn {
	p.mu.Lock()
	first := p.next
	p.next++
	p.mu.Unlock()
	for i := range p.targets {
		if c, err := net.DialTimeout("tcp", p.targets[(first+i)%len(p.targets)], time.Second); err == nil {
			return c
		}
	}
	return nil
}

func (p *Proxy) track(cs ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range cs {
		p.conns[c] = true
	}
	return !p.down
}

func (p *Proxy) forget(cs ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range cs {
		delete(p.conns, c)
	}
}

func (p *Proxy) copy(from io.Reader, to io.Writer, cut *[]byte, both *pair) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.mu.Lock()
			for p.held != nil {
				held := p.held
				p.mu.Unlock()
				<-held
				p.mu.Lock()
			}
			harm := len(*cut) > 0 && bytes.Contains(buf[:n], *cut)
			if harm {
				*cut = nil
				p.cuts++
				p.down = p.down || p.downAfterCut
			}
			if p.idleLimit > 0 && time.Since(both.moved) > p.idleLimit {
				both.silent = true
			}
			both.moved = time.Now()
			silent := both.silent
			p.mu.Unlock()
			if harm {
				return
			}
			if silent {
				continue
			}
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// CutAnswer cuts the connection that next carries text towards its client, once. The text is not
// delivered.
func (p *Proxy) CutAnswer(text string) { p.set(&p.cutToClient, text) }

// CutRequest cuts the connection that next carries text towards the server, once. The text is not
// delivered.
func (p *Proxy) CutRequest(text string) { p.set(&p.cutToServer, text) }

// DownAfterCut has the proxy go down with the next cut by a text, until Up.
func (p *Proxy) DownAfterCut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.downAfterCut = true
}

func (p *Proxy) set(where *[]byte, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*where = []byte(text)
}

// Hold holds back everything that arrives until Release.
func (p *Proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = make(chan struct{})
	}
}

// Release lets through what was held.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

// Silence silences all open connections for good. New connections work. It returns the number of
// silenced connections.
func (p *Proxy) Silence() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for both := range p.pairs {
		if !both.silent {
			n++
		}
		both.silent = true
	}
	return n
}

// SilenceIdle silences each connection over which no data has passed for d.
func (p *Proxy) SilenceIdle(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idleLimit = d
}

// Cuts returns the number of connections that CutAnswer and CutRequest have cut.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Cut cuts all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Down cuts all connections and refuses new ones until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	p.Cut()
}

// Up lets connections through again.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.downAfterCut = false, false
}
