package niyanta

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/niyanta/niyanta/api/client"
)

// Forever is a duration without an end, for RetryFor and Client.Wait.
const Forever time.Duration = math.MaxInt64

// defaultRetryFor is how long a call is tried again unless RetryFor says otherwise.
const defaultRetryFor = 30 * time.Second

// ClientOption changes how a Client calls the API.
type ClientOption func(*clientOptions)

type clientOptions struct {
	retryFor     time.Duration
	onConnection func(url string, err error)
	http         *http.Client
	tls          TLSFiles
}

// RetryFor sets how long after its beginning a call may begin another try. The default is 30 s. 0
// tries every coordinator once, and Forever leaves the end to the context.
//
// A call is tried again when no coordinator answers, or when the answer is 429 or 503. A pause lies
// between two tries: it grows from 0.1 s to 2 s, half of it is random, and it is never shorter than
// the answer's Retry-After. When the pause would end too late, the call returns the error at once.
//
// A call that a coordinator may have served already is not repeated, unless it only reads or
// carries an idempotency key, as Submit, SubmitBatch, Cancel and the bulk operations do.
func RetryFor(d time.Duration) ClientOption { return func(o *clientOptions) { o.retryFor = d } }

// OnConnection has f called when no coordinator answers, with the last one's URL and what is
// wrong, and once more, with a nil error, when one answers again. It runs within the call that
// found out.
func OnConnection(f func(url string, err error)) ClientOption {
	return func(o *clientOptions) { o.onConnection = f }
}

// WithHTTPClient has the requests sent by hc, for example for a proxy of your own. Redirects are not
// followed unless hc.CheckRedirect says so: no coordinator redirects, and a POST would become a GET.
func WithHTTPClient(hc *http.Client) ClientOption { return func(o *clientOptions) { o.http = hc } }

// NewClient returns a client of the coordinators at urls, one or several separated by commas
// ("http://host:port"), that authenticates with an API key. It stays with a coordinator for as long
// as that one answers.
func NewClient(urls, key string, opts ...ClientOption) (*Client, error) {
	s := &sender{clientOptions{retryFor: defaultRetryFor}, &route{}}
	for address := range strings.SplitSeq(urls, ",") {
		u, err := url.Parse(strings.TrimRight(strings.TrimSpace(address), "/"))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, errors.New("the url must look like http://host:port")
		}
		s.bases = append(s.bases, u)
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("the API key has a space, a line break or another character that no key has")
	}
	for _, opt := range opts {
		opt(&s.clientOptions)
	}
	shown, err := s.tls.open("WithTLSFiles", slog.New(slog.DiscardHandler))
	switch {
	case err != nil:
		return nil, err
	case s.http == nil:
		t := newTransport()
		shown.Equip(t)
		s.http = &http.Client{Transport: t}
	case shown != nil:
		return nil, errors.New("WithTLSFiles and WithHTTPClient exclude each other")
	}
	return s.client(key), nil
}

// With returns a client with other options that shares the connections of c.
func (c *Client) With(opts ...ClientOption) *Client {
	s := *c.sender
	for _, opt := range opts {
		opt(&s.clientOptions)
	}
	return s.client(c.key)
}

// client returns a client whose requests s sends.
func (s *sender) client(key string) *Client {
	if s.http.CheckRedirect == nil {
		own := *s.http
		own.CheckRedirect = client.NoRedirect
		s.http = &own
	}
	api := &client.Client{Server: "http://coordinator/", Client: s} // s puts in its address
	_ = client.WithKey(key)(api)                                    // adds to api, never fails
	return &Client{api: api, sender: s, key: key}
}
