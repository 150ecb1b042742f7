package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// connection is a WebSocket as a client sees it.
type connection struct {
	*testing.T

	conn *websocket.Conn
}

// dial opens a WebSocket, and checks the answer against the OpenAPI file. resp is the answer, also of
// one that was refused.
func (a *api) dial(url, path string, header http.Header) (*connection, answer) {
	a.Helper()
	conn, resp, err := websocket.Dial(a.Context(), url+path, &websocket.DialOptions{
		HTTPClient: a.client, HTTPHeader: header,
	})
	require.NotNil(a, resp, "%v", err)
	var body bytes.Buffer
	if resp.Body != nil {
		_, _ = body.ReadFrom(resp.Body)
	}
	require.NoError(a, a.spec.Check(resp.Request, resp, body.Bytes()))
	ans := answer{resp.StatusCode, resp.Header, body.String()}
	if err != nil {
		return nil, ans
	}
	conn.SetReadLimit(4 << 20)
	a.Cleanup(func() { _ = conn.CloseNow() })
	return &connection{a.T, conn}, ans
}

// socket opens a WebSocket that must open.
func (a *api) socket(path, key string) *connection {
	a.Helper()
	header := http.Header{}
	if key != "" {
		header.Set("Authorization", "Bearer "+key)
	}
	c, ans := a.dial(a.dev.App.URL(), path, header)
	require.NotNil(a, c, ans.body)
	return c
}

// ticket makes a ticket with a key.
func (a *api) ticket(key string) string {
	a.Helper()
	ans := a.call("POST", "/v1/ws/tickets", key, nil)
	require.Equal(a, 201, ans.status, ans.body)
	return ans.field("ticket").(string)
}

func (c *connection) say(text string) {
	c.Helper()
	require.NoError(c, c.conn.Write(c.Context(), websocket.MessageText, []byte(text)))
}

// read reads n events.
func (c *connection) read(n int) (all []liveEvent) {
	c.Helper()
	for range n {
		_, text, err := c.conn.Read(c.Context())
		require.NoError(c, err)
		var e liveEvent
		require.NoError(c, json.Unmarshal(text, &e))
		all = append(all, e)
	}
	return all
}

// rest reads until the WebSocket is closed, which must happen with the code and within d.
func (c *connection) rest(code websocket.StatusCode, d time.Duration) (all []liveEvent) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), d)
	defer cancel()
	for {
		_, text, err := c.conn.Read(ctx)
		if err != nil {
			require.Equal(c, code, websocket.CloseStatus(err), "%v", err)
			var closed websocket.CloseError
			require.ErrorAs(c, err, &closed)
			require.NotEmpty(c, closed.Reason)
			return all
		}
		var e liveEvent
		require.NoError(c, json.Unmarshal(text, &e))
		all = append(all, e)
	}
}

func socketPath(id string) string { return "/v1/ws/workloads/" + id }

// later is a workload that waits for an hour.
func (a *api) later() string {
	a.Helper()
	return a.submit(map[string]any{"workload_type": "sleep", "input_params": map[string]any{},
		"run_at": time.Now().Add(time.Hour)})
}

// TestWebSocket_OfAWorkload_TellsWhatServerSentEventsTell compares the two, and goes on over the one
// from the ids of the other.
func TestWebSocket_OfAWorkload_TellsWhatServerSentEventsTell(t *testing.T) {
	a := newAPI(t, 1)
	id := a.submit(shell("echo one; echo two >&2; sleep 0.3"))
	live := a.socket(socketPath(id), a.dev.CustomerKey).rest(websocket.StatusNormalClosure, 30*time.Second)
	all := a.streams("/v1/workloads/"+id+"/events", a.dev.CustomerKey, "").rest()
	require.Equal(t, all, live)
	require.Equal(t, "completed", all[len(all)-1].Type)
	for i, e := range all {
		c := a.socket(socketPath(id)+"?last_event_id="+e.EventID, a.dev.CustomerKey)
		require.Len(t, c.rest(websocket.StatusNormalClosure, 30*time.Second), len(all)-i-1)
	}
	for i, e := range a.socket(socketPath(id), a.key("viewer")).rest(websocket.StatusNormalClosure, 30*time.Second) {
		require.Equal(t, all[i].Type, e.Type)
		require.Empty(t, e.ResultData)
		if e.Type == "log_line" {
			require.Equal(t, "[masked]", e.Message)
		}
	}
	require.Equal(t, all[0].EventID, a.socket(socketPath(id), a.dev.AdminKey).read(1)[0].EventID)
}

// TestWebSocket_HoweverItsKeyComes_OpensAsTheKeyMay tries the three ways with each role.
func TestWebSocket_HoweverItsKeyComes_OpensAsTheKeyMay(t *testing.T) {
	a := newAPI(t, 0)
	id := a.later()
	keys := map[string]string{"customer": a.dev.CustomerKey, "viewer": a.key("viewer"), "admin": a.dev.AdminKey}
	for role, key := range keys {
		for way, c := range map[string]*connection{
			"header": a.socket(socketPath(id), key),
			"ticket": a.socket(socketPath(id)+"?ticket="+a.ticket(key), ""),
			"token": func() *connection {
				c := a.socket(socketPath(id), "")
				c.say(`{"token":"` + key + `"}`)
				return c
			}(),
		} {
			require.Equal(t, "PENDING", c.read(1)[0].Status, "%s by %s", role, way)
		}
	}
	require.Equal(t, 403, a.call("POST", "/v1/ws/tickets", a.dev.WorkerKey, nil).status)
	for key, code := range map[string]websocket.StatusCode{
		a.dev.WorkerKey: 4403, "nonsense": 4401, "nyt_cust_dev_" + strings.Repeat("0", 32): 4401,
	} {
		c := a.socket(socketPath(id), "")
		c.say(`{"token":"` + key + `"}`)
		require.Empty(t, c.rest(code, 30*time.Second))
	}
	c := a.socket(socketPath("wl_none"), "")
	c.say(`{"token":"` + a.dev.CustomerKey + `"}`)
	require.Empty(t, c.rest(4404, 30*time.Second))
}

func TestWebSocket_OfAnotherCustomer_IsAsMissing(t *testing.T) {
	a := newAPI(t, 0)
	require.Equal(t, 201, a.call("POST", "/v1/admin/customers", a.dev.AdminKey, map[string]any{
		"customer_id": "cust_rival", "name": "R", "tier": "enterprise",
	}).status)
	rival := a.call("POST", "/v1/admin/customers/cust_rival/keys", a.dev.AdminKey,
		map[string]any{"role": "customer"}).field("key").(string)
	id := a.later()
	event := a.socket(socketPath(id), a.dev.CustomerKey).read(1)[0].EventID
	bodies := map[string]bool{}
	for _, path := range []string{socketPath(id), socketPath("wl_none"), socketPath(id) + "?ticket=" + a.ticket(rival)} {
		header := http.Header{"Authorization": {"Bearer " + rival}}
		if strings.Contains(path, "ticket") {
			header = nil
		}
		c, ans := a.dial(a.dev.App.URL(), path, header)
		require.Nil(t, c)
		a.refused(ans, 404, "NOT_FOUND", "")
		bodies[strings.ReplaceAll(ans.body, ans.header.Get("X-Request-Id"), "")] = true
	}
	require.Len(t, bodies, 1, "indistinguishable")
	_, ans := a.dial(a.dev.App.URL(), socketPath(id)+"?last_event_id="+changed(event),
		http.Header{"Authorization": {"Bearer " + a.dev.CustomerKey}})
	a.refused(ans, 400, "INVALID_INPUT", "last_event_id")
}

// TestTicket_OfManyWhoUseIt_OpensOneWebSocket has 64 clients use one ticket.
func TestTicket_OfManyWhoUseIt_OpensOneWebSocket(t *testing.T) {
	a := newAPI(t, 0)
	id, ticket := a.later(), a.ticket(a.dev.CustomerKey)
	url := a.dev.App.URL() + socketPath(id) + "?ticket=" + ticket
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			conn, resp, err := websocket.Dial(t.Context(), url, nil)
			if err == nil {
				defer func() { _ = conn.CloseNow() }()
			}
			mu.Lock()
			defer mu.Unlock()
			if resp != nil {
				statuses[resp.StatusCode]++
			}
		})
	}
	wg.Wait()
	require.Equal(t, map[int]int{101: 1, 401: 63}, statuses)
}

func TestTicket_WhenItsKeyEnds_OpensNothingAndWhatItOpenedEnds(t *testing.T) {
	a := newAPI(t, 0)
	id := a.later()
	key, keyID := a.keyID("viewer")
	unused := a.ticket(key)
	open := map[string]*connection{
		"ticket": a.socket(socketPath(id)+"?ticket="+a.ticket(key), ""), "header": a.socket(socketPath(id), key),
	}
	for _, c := range open {
		c.read(1)
	}
	require.Equal(t, 200, a.call("POST", "/v1/admin/customers/cust_dev/suspend", a.dev.AdminKey, nil).status)
	a.socket(socketPath(id)+"?ticket="+a.ticket(key), "").read(1) // a suspended customer reads
	require.Equal(t, 204, a.call("DELETE", "/v1/admin/customers/cust_dev/keys/"+keyID, a.dev.AdminKey, nil).status)
	watch := testfiles.StartStopwatch(t)
	for _, c := range open {
		require.Empty(t, c.rest(4401, time.Minute))
	}
	require.Less(t, watch.Took(), 5*time.Second)
	c, ans := a.dial(a.dev.App.URL(), socketPath(id)+"?ticket="+unused, nil)
	require.Nil(t, c)
	a.refused(ans, 401, "UNAUTHORIZED", "")
}

// TestWebSocket_WithAKeyInTheURL_IsRefusedAndLogsNothingOfIt tries it with and without another,
// right key.
func TestWebSocket_WithAKeyInTheURL_IsRefusedAndLogsNothingOfIt(t *testing.T) {
	var log lockedBuffer
	logged := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"})
	require.NoError(t, err)
	d, err := NewDev(t.Context(), cfg, 0, "test", logged)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close(context.Background())) }()
	a := newAPIOf(t, d)
	id := a.later()
	_, secret, _ := strings.Cut(a.dev.CustomerKey, "nyt_cust_dev_")
	for _, name := range []string{
		"token", "api_key", "apikey", "key", "authorization", "Authorization", "access_token", "ticket", "x",
	} {
		for _, header := range []http.Header{nil, {"Authorization": {"Bearer " + a.dev.CustomerKey}}} {
			c, ans := a.dial(a.dev.App.URL(), socketPath(id)+"?"+name+"="+a.dev.CustomerKey, header)
			require.Nil(t, c, name)
			a.refused(ans, 400, "INVALID_INPUT", name)
			require.NotContains(t, ans.body, secret)
		}
	}
	ticket := a.ticket(a.dev.CustomerKey)
	a.socket(socketPath(id)+"?ticket="+ticket, "").read(1)
	_, ans := a.dial(a.dev.App.URL(), socketPath(id)+"?ticket="+ticket, nil)
	a.refused(ans, 401, "UNAUTHORIZED", "")
	require.Contains(t, log.String(), socketPath(id), "requests are logged, or the test proves nothing")
	require.NotContains(t, log.String(), secret)
	require.NotContains(t, log.String(), ticket)
}

// lockedBuffer collects what is written at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestTicket_AtAnotherCoordinator_IsUsedOnce makes tickets at one coordinator and uses them at both.
func TestTicket_AtAnotherCoordinator_IsUsedOnce(t *testing.T) {
	cluster := servers.SharedPostgres(t, preparePostgres)
	first, second := twoCoordinators(t, cluster.SocketURL(cluster.Database(t)))
	client, key := newCustomer(t, first)
	submitted, err := client.Submit(t.Context(), sleepers(1, 60_000, 1)[0], "")
	require.NoError(t, err)
	a := &api{T: t, dev: &Dev{Server: &Server{App: first}}, client: &http.Client{}}
	a.spec, err = loadSpecification()
	require.NoError(t, err)
	for range 5 {
		ticket := a.ticket(key)
		opened := make(chan bool, 16)
		for i := range cap(opened) {
			at := []*App{first, second}[i%2]
			go func() {
				conn, resp, err := websocket.Dial(t.Context(), at.URL()+socketPath(submitted.WorkloadID)+"?ticket="+ticket, nil)
				if err == nil {
					_, _, err = conn.Read(t.Context())
					err = errors.Join(err, conn.CloseNow())
				} else if resp != nil && resp.StatusCode != http.StatusUnauthorized {
					err = nil // it must be counted: it was not refused as it should be
				}
				opened <- err == nil
			}()
		}
		n := 0
		for range cap(opened) {
			if <-opened {
				n++
			}
		}
		require.Equal(t, 1, n)
	}
}
