package bootstrap

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

func TestWebSocket_WhenTheFirstMessageIsNoToken_IsClosed(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 0)
	id := a.later()
	late := a.socket(socketPath(id), "")
	for text, code := range map[string]websocket.StatusCode{
		`{"token"`: 4400, `{}`: 4400, `{"token":7}`: 4400, `[]`: 4400, `null`: 4400, ``: 4400,
		`{"token":"` + strings.Repeat("x", 20_000) + `"}`: websocket.StatusMessageTooBig,
	} {
		c := a.socket(socketPath(id), "")
		c.say(text)
		require.Empty(t, c.rest(code, 30*time.Second), "%.40q", text)
	}
	c := a.socket(socketPath(id), "")
	require.NoError(t, c.conn.Write(t.Context(), websocket.MessageBinary, []byte(`{"token":"`+a.dev.CustomerKey+`"}`)))
	require.Empty(t, c.rest(4400, 30*time.Second))
	require.Empty(t, late.rest(4408, 30*time.Second), "one that sends nothing")
}

func TestWebSocket_WhenTheClientSendsTooMuch_IsClosed(t *testing.T) {
	a := newAPI(t, 0)
	id := a.later()
	c := a.socket(socketPath(id), a.dev.CustomerKey)
	c.read(1)
	for range 10 {
		c.say("hello")
	}
	time.Sleep(200 * time.Millisecond)
	require.Equal(t, 1, a.dev.App.coordinator.Live.Streams(), "some messages are ignored")
	flood := func(send func() error) {
		for range 200 {
			if send() != nil {
				return // closed meanwhile
			}
		}
	}
	flood(func() error { return c.conn.Write(t.Context(), websocket.MessageText, []byte("hello")) })
	c.rest(websocket.StatusPolicyViolation, 30*time.Second)

	c = a.socket(socketPath(id), a.dev.CustomerKey)
	c.read(1)
	require.NoError(t, c.conn.Write(t.Context(), websocket.MessageText, bytes.Repeat([]byte("x"), 20_000)))
	c.rest(websocket.StatusMessageTooBig, 30*time.Second)

	raw := a.rawSocket(socketPath(id))
	for range 100 {
		if _, err := raw.Write([]byte{0x89, 0x80, 1, 2, 3, 4}); err != nil { // a ping
			break
		}
	}
	live := a.dev.App.coordinator.Live
	require.Eventually(t, func() bool { return live.Streams() == 0 }, 30*time.Second, 10*time.Millisecond)
}

// rawSocket opens a WebSocket over a connection that the test reads and writes, or doesn't.
func (a *api) rawSocket(path string) net.Conn {
	a.Helper()
	conn, err := (&net.Dialer{}).DialContext(a.Context(), "tcp", strings.TrimPrefix(a.dev.App.URL(), "http://"))
	require.NoError(a, err)
	a.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
		path, a.dev.CustomerKey)
	require.NoError(a, err)
	a.answered(conn, http.StatusSwitchingProtocols)
	return conn
}

// answered reads the status and the headers of an answer, and nothing behind them. The stream is open
// then.
func (a *api) answered(conn net.Conn, status int) {
	a.Helper()
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one...) {
		_, err := conn.Read(one)
		require.NoError(a, err, "%s", head)
	}
	require.Contains(a, string(head), fmt.Sprintf("HTTP/1.1 %d ", status))
}

// TestWebSocket_WhenTheClientIsGoneWithoutAWord_IsDropped has a client neither answer pings nor read
// what it is sent.
func TestWebSocket_WhenTheClientIsGoneWithoutAWord_IsDropped(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 1, func(c *Config) { c.StreamHeartbeat = time.Second })
	id := a.later()
	live := a.dev.App.coordinator.Live
	stays := a.socket(socketPath(id), a.dev.CustomerKey)
	go func() { // answers pings
		for {
			if _, _, err := stays.conn.Read(context.Background()); err != nil {
				return
			}
		}
	}()
	a.rawSocket(socketPath(id))
	require.Eventually(t, func() bool { return live.Streams() == 1 }, time.Minute, 10*time.Millisecond)
	time.Sleep(3 * time.Second)
	require.Equal(t, 1, live.Streams(), "who answers pings stays")
}

// endless is a workload that writes more than connections hold.
func (a *api) endless() string {
	a.Helper()
	return a.submit(shell(
		`i=0; while [ $i -lt 9000 ]; do echo ` + strings.Repeat("x", 20_000) + `; i=$((i+1)); done; sleep 60`,
	))
}

func TestWebSocket_WhenAClientDoesNotRead_IsDropped(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 1, func(c *Config) { c.StreamHeartbeat = time.Second })
	a.rawSocket(socketPath(a.endless()))
	live := a.dev.App.coordinator.Live
	require.Eventually(t, func() bool { return live.Streams() == 0 }, time.Minute, 10*time.Millisecond)
}

// TestLiveUpdates_WhenTheKeyOfAClientThatDoesNotReadEnds_EndWithin5s has the heartbeat of production,
// so that the writes would last longer.
func TestLiveUpdates_WhenTheKeyOfAClientThatDoesNotReadEnds_EndWithin5s(t *testing.T) {
	t.Parallel()
	for name, upgrade := range map[string]string{
		"server-sent events": "",
		"WebSocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, 1)
			id := a.endless()
			path := "/v1/workloads/" + id + "/events"
			if upgrade != "" {
				path = socketPath(id)
			}
			key, keyID := a.keyID("customer")
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(a.dev.App.URL(), "http://"))
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n", path, key, upgrade)
			require.NoError(t, err)
			status := http.StatusOK
			if upgrade != "" {
				status = http.StatusSwitchingProtocols
			}
			a.answered(conn, status)
			time.Sleep(4 * time.Second) // the buffers are full by then
			require.Equal(t, 204, a.call("DELETE", "/v1/admin/customers/cust_dev/keys/"+keyID, a.dev.AdminKey, nil).status)
			live, watch := a.dev.App.coordinator.Live, testfiles.StartStopwatch(t)
			require.Eventually(t, func() bool { return live.Streams() == 0 }, time.Minute, 10*time.Millisecond)
			require.Less(t, watch.Took(), 5*time.Second)
		})
	}
}

func TestWebSocket_BeyondTheLimits_IsRefused(t *testing.T) {
	a := newAPI(t, 0, func(c *Config) { c.MaxStreams, c.MaxStreamsPerKey = 3, 2 })
	id := a.later()
	first := a.socket(socketPath(id), a.dev.CustomerKey)
	a.streams("/v1/workloads/"+id+"/events", a.dev.CustomerKey, "")
	header := http.Header{"Authorization": {"Bearer " + a.dev.CustomerKey}}
	_, ans := a.dial(a.dev.App.URL(), socketPath(id), header)
	a.refused(ans, 503, "SERVICE_UNAVAILABLE", "")
	_, ans = a.dial(a.dev.App.URL(), socketPath(id)+"?ticket="+a.ticket(a.dev.CustomerKey), nil)
	a.refused(ans, 503, "SERVICE_UNAVAILABLE", "")
	a.refused(a.call("GET", "/v1/events", a.dev.CustomerKey, nil), 503, "SERVICE_UNAVAILABLE", "")
	a.socket(socketPath(id), a.dev.AdminKey)
	over := a.socket(socketPath(id), "")
	over.say(`{"token":"` + a.key("viewer") + `"}`)
	require.Empty(t, over.rest(4503, 30*time.Second))
	require.NoError(t, first.conn.CloseNow())
	require.Eventually(t, func() bool {
		c, _ := a.dial(a.dev.App.URL(), socketPath(id), header)
		return c != nil
	}, 30*time.Second, 20*time.Millisecond, "its place is free again")
}

func TestWebSocket_OfAPageElsewhere_NeedsAnAllowedOrigin(t *testing.T) {
	a := newAPI(t, 0, func(c *Config) { c.SocketOrigins = []string{"app.example.com", "https://*.example.org"} })
	id := a.later()
	for origin, status := range map[string]int{
		"": 101, a.dev.App.URL(): 101, "http://app.example.com": 101, "https://one.example.org": 101,
		"http://one.example.org": 403, "https://example.com": 403, "https://evil.com/app.example.com": 403, "null": 403,
	} {
		header := http.Header{"Authorization": {"Bearer " + a.dev.CustomerKey}}
		if origin != "" {
			header.Set("Origin", origin)
		}
		_, ans := a.dial(a.dev.App.URL(), socketPath(id), header)
		require.Equal(t, status, ans.status, origin)
	}
	// What is no handshake of a WebSocket.
	for _, method := range []string{"GET", "HEAD"} {
		ans := a.call(method, socketPath(id), a.dev.CustomerKey, nil)
		require.Equal(t, 400, ans.status)
	}
	req := a.request("GET", socketPath(id), a.dev.CustomerKey, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "8")
	a.refused(a.do(req), 400, "INVALID_INPUT", "Upgrade")
	a.refused(a.call("GET", socketPath(id), "", nil), 401, "UNAUTHORIZED", "")
}

func TestWebSocket_WhenTheServerStops_IsToldToConnectAgain(t *testing.T) {
	a := newAPI(t, 0)
	id := a.later()
	c, waits := a.socket(socketPath(id), a.dev.CustomerKey), a.socket(socketPath(id), "")
	c.read(1)
	mute := make(chan error, 1)
	go func() { mute <- a.dev.App.Close(context.Background()) }()
	require.Empty(t, c.rest(websocket.StatusGoingAway, 30*time.Second))
	require.Empty(t, waits.rest(websocket.StatusGoingAway, 30*time.Second), "also one that has not sent its key")
	require.NoError(t, <-mute)
	require.Zero(t, a.dev.App.coordinator.Live.Streams())
}

// TestWebSocket_WhenAClientIsMuteWhileTheServerStops_IsCut has a client not confirm that the WebSocket
// is closed.
func TestWebSocket_WhenAClientIsMuteWhileTheServerStops_IsCut(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 0)
	a.rawSocket(socketPath(a.later()))
	watch := testfiles.StartStopwatch(t)
	require.NoError(t, a.dev.App.Close(context.Background()))
	require.Less(t, watch.Took(), shutdownTimeout)
	require.Zero(t, a.dev.App.coordinator.Live.Streams())
}
