package http

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// newSessionSurface is the API with its own handlers of sessions. Every other operation that is
// reached answers 501.
func newSessionSurface(t *testing.T) *surface {
	t.Helper()
	s := newSurface(t)
	var err error
	s.router, err = s.api.router(onlySessions{gen.NewStrictHandlerWithOptions(s.api, nil,
		gen.StrictHTTPServerOptions{RequestErrorHandlerFunc: s.failBody, ResponseErrorHandlerFunc: s.fail})})
	require.NoError(t, err)
	return s
}

type onlySessions struct{ gen.ServerInterface }

func (onlySessions) CancelWorkload(
	w http.ResponseWriter, r *http.Request, id gen.WorkloadID, p gen.CancelWorkloadParams,
) {
	gen.Unimplemented{}.CancelWorkload(w, r, id, p)
}

func (onlySessions) GetWorkload(w http.ResponseWriter, r *http.Request, id gen.WorkloadID, p gen.GetWorkloadParams) {
	gen.Unimplemented{}.GetWorkload(w, r, id, p)
}

func (onlySessions) ListWorkers(w http.ResponseWriter, r *http.Request, p gen.ListWorkersParams) {
	gen.Unimplemented{}.ListWorkers(w, r, p)
}

// ask makes a request with these headers, each one a name and a value.
func (s *surface) ask(t *testing.T, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	s.router.ServeHTTP(rec, r)
	return rec
}

// signIn exchanges a key for a cookie and its CSRF token.
func (s *surface) signIn(t *testing.T, key string, headers ...string) (cookie *http.Cookie, csrf string) {
	t.Helper()
	rec := s.ask(t, "POST", "/v1/session", append(headers, "Authorization", "Bearer "+key)...)
	require.Equal(t, 200, rec.Code, rec.Body)
	var out gen.Session
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &out))
	require.Len(t, rec.Result().Cookies(), 1)
	return rec.Result().Cookies()[0], *out.CsrfToken
}

func cookieHeader(c *http.Cookie) string { return c.Name + "=" + c.Value }

func TestSession_WhenAKeyIsExchanged_TheCookieIsOutOfReachOfScripts(t *testing.T) {
	s := newSessionSurface(t)
	key := s.keys[domain.RoleCustomer]
	cookie, _ := s.signIn(t, key)
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	require.Equal(t, "/v1", cookie.Path)
	require.Equal(t, int(sessionLength.Seconds()), cookie.MaxAge)
	require.False(t, cookie.Secure, "plain HTTP would never get it back")
	require.NotContains(t, cookie.Value, key[len(key)-20:])

	cookie, _ = s.signIn(t, key, "X-Forwarded-Proto", "https")
	require.True(t, cookie.Secure)

	rec := s.ask(t, "DELETE", "/v1/session", "Authorization", "Bearer "+key)
	require.Equal(t, 204, rec.Code)
	require.Negative(t, rec.Result().Cookies()[0].MaxAge, "the browser forgets it")
	require.Empty(t, rec.Result().Cookies()[0].Value)
}

// TestSession_WhateverTheRole_HasTheRightsOfItsKey asks for operations of each role with the cookie
// and with the key.
func TestSession_WhateverTheRole_HasTheRightsOfItsKey(t *testing.T) {
	s := newSessionSurface(t)
	for _, role := range []domain.Role{domain.RoleCustomer, domain.RoleViewer, domain.RoleAdmin} {
		cookie, csrf := s.signIn(t, s.keys[role])
		for _, op := range [][2]string{
			{"GET", "/v1/workloads/x"}, {"POST", "/v1/workloads/x/cancel"}, {"GET", "/v1/admin/workers"}, {"GET", "/v1/nowhere"},
		} {
			byKey := s.ask(t, op[0], op[1], "Authorization", "Bearer "+s.keys[role])
			byCookie := s.ask(t, op[0], op[1], "Cookie", cookieHeader(cookie), csrfHeader, csrf)
			require.Equal(t, byKey.Code, byCookie.Code, "%s %s as %s", op[0], op[1], role)
		}
	}
	rec := s.ask(t, "POST", "/v1/session", "Authorization", "Bearer "+s.keys[domain.RoleWorker])
	require.Equal(t, 403, rec.Code)
	require.Empty(t, rec.Result().Cookies())
	require.Equal(t, 401, s.ask(t, "POST", "/v1/session").Code)
	require.Equal(t, 401, s.ask(t, "POST", "/v1/session", "Authorization", "Bearer nyt_cust_a_x").Code)
}

func TestSession_WhenTheRequestChangesSomething_NeedsTheTokenOfThisSession(t *testing.T) {
	s := newSessionSurface(t)
	cookie, csrf := s.signIn(t, s.keys[domain.RoleCustomer])
	_, other := s.signIn(t, s.keys[domain.RoleCustomer])
	cancel := func(headers ...string) int {
		return s.ask(t, "POST", "/v1/workloads/x/cancel", append(headers, "Cookie", cookieHeader(cookie))...).Code
	}
	require.Equal(t, 501, cancel(csrfHeader, csrf))
	require.Equal(t, 403, cancel())
	require.Equal(t, 403, cancel(csrfHeader, ""))
	require.Equal(t, 403, cancel(csrfHeader, other))
	require.Equal(t, 403, s.ask(t, "DELETE", "/v1/session", "Cookie", cookieHeader(cookie)).Code, "signing out, too")
	require.Equal(t, 501, s.ask(t, "GET", "/v1/workloads/x", "Cookie", cookieHeader(cookie)).Code)

	rec := s.ask(t, "GET", "/v1/session", "Cookie", cookieHeader(cookie))
	require.Equal(t, 200, rec.Code)
	require.Contains(t, rec.Body.String(), csrf, "a page that was loaded again gets it again")
}

func TestSession_WhenAnotherSiteCausesTheRequest_CountsForNothing(t *testing.T) {
	s := newSessionSurface(t)
	cookie, csrf := s.signIn(t, s.keys[domain.RoleCustomer])
	for site, status := range map[string]int{
		"same-origin": 501, "none": 501, "same-site": 401, "cross-site": 401, "x": 401,
	} {
		rec := s.ask(t, "POST", "/v1/workloads/x/cancel", "Cookie", cookieHeader(cookie), csrfHeader, csrf,
			"Sec-Fetch-Site", site)
		require.Equal(t, status, rec.Code, site)
	}
}

func TestSession_WhenTheCookieIsNotWhatTheServerMade_IsRefused(t *testing.T) {
	s := newSessionSurface(t)
	cookie, _ := s.signIn(t, s.keys[domain.RoleCustomer])
	for _, value := range []string{
		"", "x", cookie.Value[1:], cookie.Value + "AAAA", strings.ToUpper(cookie.Value), s.keys[domain.RoleCustomer],
	} {
		rec := s.ask(t, "GET", "/v1/workloads/x", "Cookie", sessionCookie+"="+value)
		require.Equal(t, 401, rec.Code, value)
	}
	strange := newSessionSurface(t) // with another key
	require.Equal(t, 401, strange.ask(t, "GET", "/v1/workloads/x", "Cookie", cookieHeader(cookie)).Code)
	// A request that sends a key as well is judged by the key.
	rec := s.ask(t, "GET", "/v1/workloads/x", "Cookie", cookieHeader(cookie), "Authorization", "Bearer nyt_cust_a_x")
	require.Equal(t, 401, rec.Code)
}

func TestSession_WhenItsTimeIsOver_EndsAndNothingProlongsIt(t *testing.T) {
	s := newSessionSurface(t)
	cookie, csrf := s.signIn(t, s.keys[domain.RoleCustomer])
	made := s.sessions.decode(cookie.Value, time.Now())
	require.WithinDuration(t, time.Now().Add(sessionLength), made.Expires, time.Minute)
	require.NotNil(t, s.sessions.decode(cookie.Value, made.Expires.Add(-time.Second)))
	require.Nil(t, s.sessions.decode(cookie.Value, made.Expires))

	rec := s.ask(t, "POST", "/v1/session", "Cookie", cookieHeader(cookie), csrfHeader, csrf)
	require.Equal(t, 403, rec.Code)
	require.Empty(t, rec.Result().Cookies())

	// What waits or streams ends with the session.
	old := &scope{
		principal: domain.Principal{KeyID: "key_a"}, session: &session{Expires: time.Now().Add(50 * time.Millisecond)},
	}
	welcome, end := s.whileWelcome(context.WithValue(t.Context(), keyScope, old))
	defer end()
	select {
	case <-welcome.Done():
	case <-time.After(time.Minute):
		t.Fatal("the session's stream goes on")
	}
}
