package bootstrap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

func devAt(t *testing.T, environment ...string) *Dev {
	t.Helper()
	return devWith(t, 0, environment...)
}

// devWith returns a development server with workers.
func devWith(t *testing.T, workers int, environment ...string) *Dev {
	t.Helper()
	cfg, err := Load(append([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"}, environment...))
	require.NoError(t, err)
	require.NoError(t, cfg.Validate(RoleDev))
	d, err := NewDev(context.Background(), cfg, workers, "test", silent)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	return d
}

// TestAdminAddr_WhenSet_SeparatesTheAdminsRoutes asks for every operation at both addresses, with
// the key that it needs and without.
func TestAdminAddr_WhenSet_SeparatesTheAdminsRoutes(t *testing.T) {
	d := devAt(t, "NIYANTA_ADMIN_ADDR=127.0.0.1:0")
	require.NotEqual(t, d.App.URL(), d.App.AdminURL())
	a := newAPIOf(t, d)
	ask := func(base, method, path, key string) answer {
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
		require.NoError(t, err)
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		return a.do(req)
	}
	keys := map[string]string{"customer": d.CustomerKey, "admin": d.AdminKey, "worker": d.WorkerKey}
	moved, stayed := 0, 0
	for path, item := range a.spec.Paths.Map() {
		target := strings.NewReplacer(
			"/console/{file}", "/console/console.js",
			"{id}", "wl_none", "{key_id}", "key_none", "{sequence}", "1", "{file}", "start.js",
		).Replace(path)
		for method, op := range item.Operations() {
			what := method + " " + path
			if at := op.Tags[0]; at == "session" || at == "system" && path != "/metrics" {
				want := map[string]int{"session": 401, "system": 200}[at]
				for _, base := range []string{d.App.URL(), d.App.AdminURL()} {
					require.Equal(t, want, ask(base, method, target, "").status, what)
				}
				continue
			}
			there, gone := d.App.URL(), d.App.AdminURL()
			if op.Tags[0] == "admin" || path == "/metrics" {
				there, gone = gone, there
				moved++
			} else {
				stayed++
			}
			for _, key := range []string{"", d.AdminKey, d.CustomerKey, d.WorkerKey} {
				for _, m := range []string{method, "TRACE"} {
					ans := ask(gone, m, target, key)
					require.Equal(t, 404, ans.status, "%s at the other address", what)
					require.Empty(t, ans.header.Get("Allow"))
				}
			}
			if path == "/metrics" {
				require.Equal(t, 200, ask(there, method, target, "").status)
				continue
			}
			require.Equal(t, 401, ask(there, method, target, "").status, what)
			role := op.Extensions["x-roles"].([]any)[0].(string)
			require.NotContains(t, []int{401, 403, 405}, ask(there, method, target, keys[role]).status,
				"%s as %s", what, role)
		}
	}
	require.Greater(t, moved, 10)
	require.Greater(t, stayed, 15)
}

func TestAdminAddr_WhenTaken_FailsTheStartAndFreesTheOther(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(testfiles.OwnHost(), "0"))
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=" + addr, "NIYANTA_ADMIN_ADDR=" + taken.Addr().String()})
	require.NoError(t, err)
	_, err = NewDev(t.Context(), cfg, 0, "test", silent)
	require.ErrorContains(t, err, "NIYANTA_ADMIN_ADDR")
	again, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	require.NoError(t, err, "the public address is free again")
	require.NoError(t, again.Close())
}

func TestServing_OfBadAddressesAndTimes_IsRefused(t *testing.T) {
	for setting, wrong := range map[string]string{
		"NIYANTA_HTTP_ADDR=8080": "HTTP_ADDR", "NIYANTA_ADMIN_ADDR=localhost": "ADMIN_ADDR",
		"NIYANTA_ADMIN_ADDR=127.0.0.1:8080": "ADMIN_ADDR", "NIYANTA_HTTP_IDLE_TIMEOUT=0s": "HTTP_IDLE_TIMEOUT",
		"NIYANTA_HTTP_IDLE_TIMEOUT=2h": "HTTP_IDLE_TIMEOUT",
	} {
		assert.Contains(t, problems(RoleDev, setting), "NIYANTA_"+wrong+":", setting)
		assert.Contains(t, problems(RoleCoordinator, adminKey, workerKey, setting), "NIYANTA_"+wrong+":", setting)
	}
	c, err := Load(nil)
	require.NoError(t, err)
	assert.Greater(t, c.HTTPIdleTimeout, time.Minute,
		"above the 60 s for which common load balancers keep idle connections")
}

// TestIdleTimeout_WhenSet_EndsAnIdleConnectionThen keeps a connection without requests for less
// than the timeout, and for more.
func TestIdleTimeout_WhenSet_EndsAnIdleConnectionThen(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	d := devAt(t, "NIYANTA_HTTP_IDLE_TIMEOUT="+timeout.String())
	address := strings.TrimPrefix(d.App.URL(), "http://")
	// twoRequests opens a connection and makes two requests. idle is when the second began, and gap the
	// time since the answer to the first.
	twoRequests := func() (conn net.Conn, idle time.Time, gap time.Duration, err error) {
		conn, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		in := bufio.NewReader(conn)
		for range 2 {
			gap, idle = time.Since(idle), time.Now()
			if _, err = fmt.Fprint(conn, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return conn, idle, gap, err
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				return conn, idle, time.Since(idle) + gap, err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, errors.Join(err, resp.Body.Close()))
		}
		return conn, idle, gap, nil
	}
	conn, idle, gap, err := twoRequests()
	for err != nil && gap > timeout/2 { // the machine stood still for as long as the timeout
		conn, idle, gap, err = twoRequests()
	}
	require.NoError(t, err, "it is kept that long")
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	assert.GreaterOrEqual(t, time.Since(idle), timeout)
}
