package workloads

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Why a call failed, in words that say nothing about the worker's network.
var (
	// errPrivate refuses an address that customers may not call.
	errPrivate   = errors.New("private, loopback and link-local addresses are refused")
	errRedirects = fmt.Errorf("more than %d redirects", redirectLimit)
	errScheme    = errors.New("redirect to something that is not http or https")
)

// redirectLimit bounds how many redirects a call follows. The guard checks each of them.
const redirectLimit = 5

// newHTTPClient returns a client that refuses private addresses when it connects, after DNS, so
// that neither a name nor a redirect evades the guard. It uses no proxy.
func newHTTPClient(allowPrivate bool) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if !allowPrivate {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil || !public(ap.Addr()) {
				return errPrivate
			}
			return nil
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 4,
			IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
			// Calls of HTTP/2 share a connection: all of them would fail over a dead one.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			switch {
			case len(via) > redirectLimit:
				return errRedirects
			case req.URL.Scheme != "http" && req.URL.Scheme != "https":
				return errScheme
			}
			withholdHeaders(req, via)
			return nil
		},
	}
}

// followHeaders are the headers that a redirect to another server keeps: those that describe the
// content and the run. Any other header may contain a secret for the first server.
var followHeaders = []string{
	"Accept", "Accept-Language", "Content-Type", "Idempotency-Key", "Niyanta-Attempt", "Niyanta-Generation",
	"Niyanta-Workload-Id", "Traceparent", "User-Agent",
}

// withholdHeaders removes the headers that a redirect must not keep. Once a call has left the first
// server, a redirect back to it also counts as one to another server.
func withholdHeaders(req *http.Request, via []*http.Request) {
	req.Header.Del("Referer") // only the first server may know its path and query
	crossed := !sameServer(via[0].URL, req.URL)
	for _, hop := range via[1:] {
		crossed = crossed || !sameServer(via[0].URL, hop.URL)
	}
	for name := range req.Header {
		if crossed && !slices.Contains(followHeaders, name) {
			req.Header.Del(name)
		}
	}
}

// sameServer reports whether two URLs have the same host and port. A change from http to https on
// the default ports is the same server.
func sameServer(from, to *url.URL) bool {
	if !strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	if from.Scheme == "http" && to.Scheme == "https" && portOf(from) == "80" && portOf(to) == "443" {
		return true
	}
	return from.Scheme == to.Scheme && portOf(from) == portOf(to)
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// globalIPv6 is the part of IPv6 that is routed on the public internet. It excludes loopback,
// link-local and private addresses, and those that contain an IPv4 address (::a.b.c.d,
// ::ffff:a.b.c.d, ::ffff:0:a.b.c.d, NAT64).
var globalIPv6 = netip.MustParsePrefix("2000::/3")

// notPublic are further ranges that netip does not know: shared, protocol, documentation, benchmark
// and reserved space, addresses of clouds' own services, and ranges of global IPv6 that contain an
// IPv4 address (Teredo, 6to4).
var notPublic = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

func prefixes(cidrs ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(cidrs))
	for i, c := range cidrs {
		out[i] = netip.MustParsePrefix(c)
	}
	return out
}

// public reports whether an address is on the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	if a.Is6() && (!globalIPv6.Contains(a) || isatap(a)) {
		return false
	}
	return !slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(a) })
}

// isatap reports whether an address has the form …:0:5efe:a.b.c.d or …:200:5efe:a.b.c.d, which some
// systems route to a.b.c.d.
func isatap(a netip.Addr) bool {
	b := a.As16()
	return (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// callError returns what went wrong, without names and addresses other than those of the input, and
// whether another attempt may help. If the run's context has ended, it returns the cause.
func callError(ctx context.Context, err error) error {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errPrivate):
		return permanent("address_refused", fmt.Errorf("input_params.url: %w", errPrivate))
	case errors.Is(err, errRedirects), errors.Is(err, errScheme):
		return permanent("redirect", fmt.Errorf("input_params.url: %w", innermost(err)))
	case errors.As(err, &dns) && dns.IsNotFound:
		return transient("network", errors.New("the host's name is not known"))
	case errors.As(err, &dns):
		return transient("network", errors.New("the host's name could not be looked up"))
	case errors.As(err, &certificate), errors.As(err, &alert), errors.As(err, &record):
		return transient("network", errors.New("no TLS connection: the certificate or the protocol was not accepted"))
	case errors.As(err, &timeout) && timeout.Timeout():
		return transient("network", errors.New("no answer in time"))
	case errors.Is(err, syscall.ECONNREFUSED):
		return transient("network", errors.New("connection refused"))
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return transient("network", errors.New("the host can't be reached"))
	}
	return transient("network", errors.New("the connection failed before the answer was complete"))
}

// innermost returns the last error of the chain.
func innermost(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}
