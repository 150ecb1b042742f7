package redis_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/redis"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/ports"
)

// resets fails the first write that contains a text, as that over a connection that was reset, and
// silences connections.
type resets struct {
	mu    sync.Mutex
	text  []byte
	count int
	conns []*reset
}

// on has the next write fail that contains text.
func (r *resets) on(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = []byte(text)
}

func (r *resets) counted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// silence drops what else arrives over the connections with subscriptions. The others stay, so that
// the bus has but one reason to make a new one.
func (r *resets) silence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.silent = c.subscribed
	}
}

func (r *resets) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	made := &reset{Conn: c, by: r}
	r.conns = append(r.conns, made)
	return made, nil
}

// reset is a connection. The mutex of resets guards it.
type reset struct {
	net.Conn
	by                 *resets
	subscribed, silent bool
}

// Write implements net.Conn.
func (c *reset) Write(p []byte) (int, error) {
	c.by.mu.Lock()
	now := len(c.by.text) > 0 && bytes.Contains(p, c.by.text)
	if now {
		c.by.text = nil
		c.by.count++
	}
	c.subscribed = c.subscribed || bytes.Contains(p, []byte("subscribe"))
	c.by.mu.Unlock()
	if now {
		_ = c.Close()
		return 0, syscall.ECONNRESET
	}
	return c.Conn.Write(p)
}

// Read implements net.Conn.
func (c *reset) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		c.by.mu.Lock()
		silent := c.silent
		c.by.mu.Unlock()
		if err != nil || !silent {
			return n, err
		}
	}
}

// TestSubscribe_WhenTheConnectionIsResetMeanwhile_IsMadeWithTheNextOne: the client connects again by
// itself, with what it was told before.
func TestSubscribe_WhenTheConnectionIsResetMeanwhile_IsMadeWithTheNextOne(t *testing.T) {
	s := servers.StartRedis(t)
	var r resets
	c := client.NewClient(&client.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port), Dialer: r.dial})
	t.Cleanup(func() { _ = c.Close() })
	b, other := redis.NewBus(c, randomIDs{}, silent), bus(t, s.URL())
	t.Cleanup(func() { _ = b.Close() })
	got := make(chan string, 100)
	hear := func(_ context.Context, m ports.Message) []byte { got <- m.Subject; return nil }
	arrives := func(subject string) {
		t.Helper()
		require.Eventually(t, func() bool {
			assert.NoError(t, other.Publish(t.Context(), subject, nil))
			select {
			case is := <-got:
				return is == subject
			case <-time.After(50 * time.Millisecond):
				return false
			}
		}, 20*time.Second, time.Millisecond, subject)
	}
	subscribe := func(subject string) {
		t.Helper()
		_, err := b.Subscribe(t.Context(), subject, "", hear)
		require.NoError(t, err)
	}
	subscribe("before")
	for i, c := range []struct{ subject, said string }{{"a.named", "a.named"}, {"b.*", "b.known"}} {
		r.on("niyanta.bus." + c.subject)
		subscribe(c.subject)
		require.Equal(t, i+1, r.counted())
		arrives(c.said)
		arrives("before")
	}
	r.on("psubscribe") // of the connection that replaces a silent one
	r.silence()
	require.Eventually(t, func() bool { return r.counted() == 3 && b.Connected() }, 20*time.Second, time.Millisecond)
	arrives("b.known")
	arrives("a.named")
}
