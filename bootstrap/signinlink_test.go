package bootstrap

import (
	"context"
	"log/slog"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// signInLink makes a link with a key and returns its code.
func (a *api) signInLink(key string) string {
	a.Helper()
	ans := a.call("POST", "/v1/session/links", key, nil)
	require.Equal(a, 201, ans.status, ans.body)
	return ans.field("code").(string)
}

// TestSignInLink_WhoeverMadeIt_SignsInOnceWithThoseRights signs in with links of each role.
func TestSignInLink_WhoeverMadeIt_SignsInOnceWithThoseRights(t *testing.T) {
	a := newAPI(t, 0)
	keys := "/v1/admin/customers/cust_dev/keys"
	viewer := a.call("POST", keys, a.dev.AdminKey, map[string]any{"role": "viewer"})
	for role, key := range map[string]string{
		"admin": a.dev.AdminKey, "customer": a.dev.CustomerKey, "viewer": viewer.field("key").(string),
	} {
		code := a.signInLink(key)
		require.NotContains(t, code, key)
		require.Equal(t, 401, a.call("GET", "/v1/session", code, nil).status, "a code does nothing but sign in")
		require.Equal(t, 401, a.call("GET", "/v1/workloads", code, nil).status)
		require.Equal(t, 401, a.call("POST", "/v1/session", code[:len(code)-2], nil).status, "not the whole of it")
		in := a.call("POST", "/v1/session", code, nil)
		require.Equal(t, 200, in.status, in.body)
		require.Equal(t, role, in.field("role"))
		require.Equal(t, 401, a.call("POST", "/v1/session", code, nil).status, "it counts once")

		r := a.request("POST", "/v1/session/links", "", nil)
		r.Header.Set("Cookie", (&http.Response{Header: in.header}).Cookies()[0].String())
		r.Header.Set("X-CSRF-Token", in.field("csrf_token").(string))
		require.Equal(t, 403, a.do(r).status, "a session makes no link")
	}
	require.Equal(t, 403, a.call("POST", "/v1/session/links", a.dev.WorkerKey, nil).status)

	code := a.signInLink(viewer.field("key").(string))
	require.Equal(t, 204, a.call("DELETE", keys+"/"+viewer.field("key_id").(string), a.dev.AdminKey, nil).status)
	require.Equal(t, 401, a.call("POST", "/v1/session", code, nil).status, "its key was revoked")
}

// TestSignInLink_WhenItIsAMinuteOld_SignsNobodyIn makes a link older in the database.
func TestSignInLink_WhenItIsAMinuteOld_SignsNobodyIn(t *testing.T) {
	a, url := newPostgresAPI(t, 0)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	age := func(seconds int) {
		changed, err := conn.Exec(t.Context(),
			"UPDATE tickets SET created_at = created_at - $1 * interval '1 second'", seconds)
		require.NoError(t, err)
		require.EqualValues(t, 1, changed.RowsAffected())
	}
	young := a.signInLink(a.dev.CustomerKey)
	age(40)
	require.Equal(t, 200, a.call("POST", "/v1/session", young, nil).status, "a ticket for a WebSocket would be too old")
	require.Equal(t, 401, a.call("POST", "/v1/session", young, nil).status, "it counts once")
	old := a.signInLink(a.dev.CustomerKey)
	age(60)
	ans := a.call("POST", "/v1/session", old, nil)
	require.Equal(t, 401, ans.status)
	require.Empty(t, ans.header.Get("Set-Cookie"))
}

// TestSignInLink_WhateverIsLogged_ItsCodeIsNot signs in, and is refused, with a log at the level debug.
func TestSignInLink_WhateverIsLogged_ItsCodeIsNot(t *testing.T) {
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"})
	require.NoError(t, err)
	var log lockedBuffer
	d, err := NewDev(context.Background(), cfg, 0, "test",
		slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	a := newAPIOf(t, d)
	code := a.signInLink(d.CustomerKey)
	for _, status := range []int{200, 401} {
		require.Equal(t, status, a.call("POST", "/v1/session", code, nil).status)
	}
	require.Contains(t, log.String(), "/v1/session", "requests are logged")
	require.NotContains(t, log.String(), code[len(code)-20:])
	require.NotContains(t, log.String(), d.CustomerKey[len(d.CustomerKey)-20:])
}
