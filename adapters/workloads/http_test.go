package workloads

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func httpRun(t *testing.T, allowPrivate bool, input any) (domain.JSON, error) {
	t.Helper()
	b, err := json.Marshal(input)
	require.NoError(t, err)
	client := newHTTPClient(allowPrivate)
	t.Cleanup(client.CloseIdleConnections)
	return run(t.Context(), &call{client: client}, task(string(b)), &recorder{})
}

func TestHTTP_AtAnyGeneration_CallsItsEndpointOnce(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{
			"Niyanta-Workload-Id": "wl_1", "Niyanta-Generation": "7", "Niyanta-Attempt": "2",
			"Idempotency-Key": "wl_1", "X-Mine": "1", "Traceparent": span,
		} {
			assert.Equal(t, want, r.Header.Get(name))
		}
		_, _ = fmt.Fprint(w, `{"ok":true}`)
	}))
	defer server.Close()
	out, err := httpRun(t, true, map[string]any{"url": server.URL, "headers": map[string]string{"X-Mine": "1"},
		"body": map[string]int{"a": 1}})
	require.NoError(t, err)
	assert.Contains(t, string(out), `"body":{"ok":true}`)
}

func TestHTTP_WhenACallFails_TellsWhetherTryingAgainMayHelp(t *testing.T) {
	for status, permanent := range map[int]bool{400: true, 404: true, 408: false, 429: false, 500: false, 503: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		}))
		_, err := httpRun(t, true, map[string]any{"url": server.URL})
		server.Close()
		requireRunError(t, err, "http_status", permanent)
		var re *ports.RunError
		require.ErrorAs(t, err, &re)
		if !permanent {
			assert.Equal(t, 7*time.Second, *re.RetryAfter)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "10000000000")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	_, err := httpRun(t, true, map[string]any{"url": server.URL})
	var re *ports.RunError
	require.ErrorAs(t, err, &re)
	assert.Equal(t, domain.MaxRetryAfter, *re.RetryAfter, "more seconds than a duration has")
	_, err = httpRun(t, true, map[string]any{"url": "http://127.0.0.1:1"})
	requireRunError(t, err, "network", false)
}

func TestHTTP_WhenANameResolvesToAPrivateAddress_Refuses(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	require.NoError(t, err)
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"} {
		_, err := httpRun(t, false, map[string]any{"url": "http://" + host + ":" + port})
		require.Error(t, err, host)
		if host != "2130706433" { // an integer is a name to Go's resolver, and names nobody
			requireRunError(t, err, "address_refused", true)
		}
	}
}

func TestHTTP_WhenRedirected_ChecksTheAddressAgain(t *testing.T) {
	client := newHTTPClient(false)
	req := httptest.NewRequest("GET", "http://169.254.169.254/latest", nil)
	_, err := client.Transport.RoundTrip(req)
	require.ErrorIs(t, err, errPrivate)
	require.Error(t, client.CheckRedirect(httptest.NewRequest("GET", "http://x", nil), make([]*http.Request, 6)))
}

func TestPublic_OfEachKindOfAddress_SaysWhetherItIsPublic(t *testing.T) {
	for _, hidden := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "8.8.8.8"} { // in IPv6, none is called
		v4 := netip.MustParseAddr(hidden).As4()
		hex := fmt.Sprintf("%02x%02x:%02x%02x", v4[0], v4[1], v4[2], v4[3])
		for _, form := range []string{
			"::" + hex, "::" + hidden, "::ffff:0:" + hex, "64:ff9b::" + hex, "64:ff9b:1::" + hex,
			"2002:" + hex + "::1", "2001:0:1:1:0:0:" + hex,
			"2606:4700::5efe:" + hex, "2606:4700:0:0:200:5efe:" + hex, "fec0::" + hex,
		} {
			assert.False(t, public(netip.MustParseAddr(form)), form)
		}
		assert.Equal(t, hidden == "8.8.8.8", public(netip.MustParseAddr("::ffff:"+hidden)),
			"the same address, written otherwise")
	}
	for _, addr := range []string{
		"0.1.2.3", "100.100.100.200", "100.127.255.255", "168.63.129.16", "192.0.0.192", "169.254.170.2",
		"fe80::1%eth0", "240.0.0.1", "3fff::1",
		"4000::1", "5f00::1", "fd00::1", "::1%lo", "ff0e::1",
	} {
		assert.False(t, public(netip.MustParseAddr(addr)), addr)
	}
	for _, addr := range []string{"1.1.1.1", "100.63.255.255", "100.128.0.1", "2a00:1450:4001::1", "2001:200::1"} {
		assert.True(t, public(netip.MustParseAddr(addr)), addr)
	}
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false,
		"127.0.0.1":       false,
		"169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false,
		"198.18.0.1": false,
		"::1":        false, "::": false, "fe80::1": false, "fc00::1": false, "ff02::1": false, "::ffff:10.0.0.1": false,
		"64:ff9b::a00:1": false,
		"2002:a00:1::":   false, "fd00:ec2::254": false,
	} {
		assert.Equal(t, want, public(netip.MustParseAddr(addr)), addr)
	}
}

// hop returns a server that records the headers of its last call and redirects it.
func hop(t *testing.T, to func() string) (*httptest.Server, *http.Header) {
	t.Helper()
	got := &http.Header{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*got = r.Header.Clone()
		if next := to(); next != "" {
			http.Redirect(w, r, next, http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(server.Close)
	return server, got
}

func TestHTTP_ARedirectToAnotherServer_TakesNoSecretsAlong(t *testing.T) {
	var lastURL, thirdURL string
	last, lastGot := hop(t, func() string { return "" })
	lastURL = last.URL
	third, thirdGot := hop(t, func() string { return lastURL })
	thirdURL = third.URL
	second, secondGot := hop(t, func() string { return thirdURL })
	first := 0
	start, startGot := hop(t, func() string {
		if first++; first == 1 {
			return "/again" // the same server
		}
		return second.URL
	})
	secrets := map[string]string{
		"Authorization": "s", "Cookie": "s", "X-Api-Key": "s", "Api-Token": "s", "X-Custom": "s",
		"Proxy-Authenticate": "s", "X-Amz-Security-Token": "s",
	}
	headers := map[string]string{"Content-Type": "text/plain", "Accept": "text/html"}
	for name, value := range secrets {
		headers[name] = value
	}
	_, err := httpRun(t, true, map[string]any{"url": start.URL + "/x?token=s", "headers": headers, "body": "b"})
	require.NoError(t, err)
	for name := range secrets {
		assert.Equal(t, "s", startGot.Get(name), "the same server gets it again")
		for _, got := range []*http.Header{secondGot, thirdGot, lastGot} {
			assert.Empty(t, got.Get(name), name)
		}
	}
	for _, got := range []*http.Header{secondGot, thirdGot, lastGot} {
		assert.Equal(t, "text/plain", got.Get("Content-Type"))
		assert.Equal(t, "wl_1", got.Get("Idempotency-Key"))
		assert.Empty(t, got.Get("Referer"))
	}
}

func TestSameServer_OfTwoURLs_SaysWhetherTheyShareAServer(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"http://a/x", "http://A/y", true}, {"http://a", "http://a:80", true}, {"https://a", "https://a:443/x",
			true}, {"http://a", "https://a", true},
		{"https://a", "http://a", false}, {"http://a", "http://b.a", false}, {"http://a", "http://a:81",
			false}, {"http://a:8080", "https://a", false},
	} {
		from, to := httptest.NewRequest("GET", c.from, nil).URL, httptest.NewRequest("GET", c.to, nil).URL
		assert.Equal(t, c.want, sameServer(from, to), "%s %s", c.from, c.to)
	}
}

func TestHTTP_WhenItFails_TellsNothingOfTheNetwork(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = w.Write([]byte("x"))
		panic(http.ErrAbortHandler)
	}))
	defer cut.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	internal := "http://metadata.internal.example:1/"
	away := httptest.NewServer(http.RedirectHandler(internal, http.StatusFound))
	defer away.Close()
	private := httptest.NewServer(http.RedirectHandler(dead.URL, http.StatusFound))
	defer private.Close()
	for what, url := range map[string]string{
		"refused": dead.URL, "cut": cut.URL, "certificate": secure.URL, "a name nobody has, behind a redirect": away.URL,
		"refused behind a redirect": private.URL, "not HTTP": strings.Replace(cut.URL, "http:", "https:", 1),
	} {
		_, err := httpRun(t, true, map[string]any{"url": url})
		requireRunError(t, err, "network", false)
		for _, secret := range []string{"127.0.0.1", "internal", "lookup", "[::", "dial", ":53", "example.com"} {
			assert.NotContains(t, err.Error(), secret, what)
		}
	}
	_, err := httpRun(t, false, map[string]any{"url": "http://localhost:1"})
	requireRunError(t, err, "address_refused", true)
	assert.NotContains(t, err.Error(), "127.0.0.1")
	loop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		http.Redirect(w, r, "/x", http.StatusFound)
	}))
	defer loop.Close()
	_, err = httpRun(t, true, map[string]any{"url": loop.URL})
	requireRunError(t, err, "redirect", true)
	assert.NotContains(t, err.Error(), "127.0.0.1")
}

func TestHTTP_WhenItsRunIsEnded_SaysWhy(t *testing.T) {
	held := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(held)
		<-r.Context().Done()
	}))
	defer server.Close()
	client := newHTTPClient(true)
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-held; cancel(ports.ErrDraining) }()
	_, err := run(ctx, &call{client: client}, task(`{"url":"`+server.URL+`"}`), &recorder{})
	require.ErrorIs(t, err, ports.ErrDraining)
}

func TestHTTP_WhatAnEndpointReturns_IsKeptExactlyAndNeverFailsTheRun(t *testing.T) {
	var body, contentType string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	get := func() (r struct {
		Body        json.RawMessage
		ContentType string `json:"content_type"`
		Truncated   bool
	}) {
		t.Helper()
		out, err := httpRun(t, true, map[string]any{"url": server.URL})
		require.NoError(t, err)
		require.Equal(t, out, domain.CleanResult(out), "every store takes it as it is")
		require.NoError(t, json.Unmarshal([]byte(out), &r))
		return r
	}
	for sent, flaw := range map[string]domain.Flaw{
		"a\x00b": domain.FlawNUL, "\xff\xd8\xff\xe0": domain.FlawInvalidUTF8, `"\u0000"`: domain.FlawNUL,
		`{"a":1,"a":2}`: domain.FlawDuplicateKey,
		strings.Repeat("[", 70) + strings.Repeat("]", 70): domain.FlawTooDeep, "\"\xff\"": domain.FlawInvalidUTF8,
	} {
		body, contentType = sent, "image/jpeg"
		r := get()
		assert.Equal(t, flaw, flawOf(t, r.Body, sent), "%q", sent)
		e, _, _ := domain.DecodeResult(domain.JSON(r.Body))
		assert.Equal(t, "image/jpeg", e.ContentType)
		assert.False(t, e.Truncated)
	}
	body, contentType = "plain €", "text/plain"
	assert.Equal(t, `"plain €"`, string(get().Body))
	body = strings.Repeat("€", answerLimit)
	r := get()
	assert.True(t, r.Truncated)
	assert.Equal(t, byte('"'), r.Body[0], "still text, cut between characters")
	body = strings.Repeat("\x00", 2*answerLimit)
	r = get()
	assert.True(t, r.Truncated)
	assert.Equal(t, domain.FlawNUL, flawOf(t, r.Body, strings.Repeat("\x00", answerLimit)))
	body = ""
	assert.Equal(t, "null", string(get().Body))
}

func TestHTTP_AddressesAreCheckedAfterDNSOnEveryHop(t *testing.T) {
	client := newHTTPClient(false)
	defer client.CloseIdleConnections()
	// The guard sits below DNS and redirects, where connections are made.
	transport, ok := client.Transport.(*http.Transport)
	require.True(t, ok)
	for _, address := range []string{"127.0.0.1:1", "[::1]:1", "localhost:1", "[::ffff:10.0.0.1]:1", "[::7f00:1]:1",
		"0.0.0.0:1"} {
		_, err := transport.DialContext(t.Context(), "tcp", address)
		require.Error(t, err, address)
		require.ErrorIs(t, err, errPrivate, address)
	}
}
