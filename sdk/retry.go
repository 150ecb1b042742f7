package niyanta

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/api/client"
	"github.com/niyanta/niyanta/core/domain"
)

const (
	// backoffMin and backoffMax are the first and the longest pause between two tries.
	backoffMin = 100 * time.Millisecond
	backoffMax = 2 * time.Second
	// answerTimeout is how long the first try waits for an answer. Each further one waits twice as
	// long, up to answerTimeoutMax: a slow coordinator is reached in the end.
	answerTimeout    = 5 * time.Second
	answerTimeoutMax = time.Minute
	// uploadBytesPerSecond is the throughput below which sending a body times out.
	uploadBytesPerSecond = 64 << 10
	// answerLimit is the size of the largest answer.
	answerLimit = 512 << 20

	idempotencyKeyHeader = "Idempotency-Key"
)

// newTransport returns a transport that notices soon when a coordinator is gone.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
	t.MaxIdleConnsPerHost = 32
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}
	return t
}

// sender sends the requests of a Client: to the coordinator that answered last, or to the next one,
// as often as clientOptions allow. Safe for concurrent use.
type sender struct {
	clientOptions
	*route
}

// route is how coordinators are reached.
type route struct {
	bases []*url.URL

	mu           sync.Mutex
	current      int  // of bases
	disconnected bool // as onConnection was told
}

// Do implements client.HttpRequestDoer. The body of an answer is in memory. What a handler of a
// worker sends belongs to the trace of its run.
func (s *sender) Do(req *http.Request) (*http.Response, error) {
	if strings.Contains(req.URL.Path, noID) {
		return nil, domain.Invalid("id", "is missing, or is no id")
	}
	client.SendOrigin(req)
	begin := time.Now()
	ctx, safe := req.Context(), repeatable(req)
	var last outcome
	failed := 0 // coordinators in a row that could not answer
	for n := 0; ; n++ {
		at, base := s.coordinator()
		tried := time.Now()
		o := s.try(req, base, tryTimeout(req, n, safe && s.retryFor > 0))
		if ctx.Err() != nil {
			// Its deadline says something about the coordinator, a caller who gave up doesn't.
			if o.disconnected && errors.Is(ctx.Err(), context.DeadlineExceeded) && time.Since(tried) > waitOf(req) {
				s.leave(at)
			}
			return nil, ended(ctx, last)
		}
		last = o
		if o.disconnected {
			s.leave(at) // even if this request is not sent again: later ones need not fail as it did
		} else {
			failed = 0
			s.connected(base)
		}
		if !o.again || o.acted && !safe {
			return o.resp, o.err
		}
		pause := pauseAfter(n, o.retryAfter)
		if o.disconnected {
			if failed++; failed < len(s.bases) {
				continue // another one may answer now
			}
			failed = 0
		}
		if time.Since(begin)+pause > s.retryFor {
			return o.resp, o.err
		}
		if o.disconnected {
			s.notConnected(base, o.reason())
		}
		if sleep(ctx, pause) != nil {
			return nil, ended(ctx, last)
		}
	}
}

// repeatable reports whether serving a request twice is the same as serving it once.
func repeatable(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Method == http.MethodHead || req.Header.Get(idempotencyKeyHeader) != ""
}

// tryTimeout bounds the n-th try of a request. One that cannot be repeated gets all the time at
// once.
func tryTimeout(req *http.Request, n int, again bool) time.Duration {
	timeout := answerTimeoutMax
	if again {
		timeout = min(answerTimeout<<min(n, 10), answerTimeoutMax)
	}
	return timeout + waitOf(req) + time.Duration(req.ContentLength/uploadBytesPerSecond)*time.Second
}

// waitOf returns how long a request asks the coordinator to wait before it answers.
func waitOf(req *http.Request) time.Duration {
	wait, _ := time.ParseDuration(req.URL.Query().Get("wait"))
	return wait
}

// pauseAfter is the pause after the n-th try: at least as long as the coordinator asked for. Its
// random part keeps clients that failed together from coming back together.
func pauseAfter(n int, asked time.Duration) time.Duration {
	b := min(backoffMin<<min(n, 10), backoffMax)
	return max(asked, b/2) + rand.N(b/2) //nolint:gosec // it only spreads load
}

// outcome is what became of one try.
type outcome struct {
	resp *http.Response
	err  error // set when resp is nil
	// refusal is why resp is no success; nil: it is one, or there is no resp.
	refusal error
	// again: another try may have another outcome.
	again bool
	// acted: the coordinator may have done what it was asked.
	acted bool
	// disconnected: this coordinator cannot serve now, while another one may.
	disconnected bool
	retryAfter   time.Duration
}

// reason is what went wrong, as the callers of Client see it.
func (o outcome) reason() error {
	if o.refusal != nil {
		return public(o.refusal)
	}
	return public(unanswered(o.err))
}

func unanswered(err error) error {
	return &domain.Error{Code: domain.CodeUnavailable, Message: "the coordinator does not answer", Cause: err}
}

// try sends a request once.
func (s *sender) try(req *http.Request, base *url.URL, timeout time.Duration) outcome {
	ctx, cancel := context.WithCancel(req.Context())
	timer := time.AfterFunc(timeout, cancel)
	var sent atomic.Bool
	resp, err := s.send(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	}), req, base)
	if err == nil && isStream(resp) {
		timer.Reset(streamSilence)
		resp.Body = &streamBody{resp.Body, timer, cancel}
		return outcome{resp: resp}
	}
	defer cancel()
	defer timer.Stop()
	if err == nil {
		err = readWhole(resp)
	}
	if err != nil {
		var certificate *tls.CertificateVerificationError
		if ctx.Err() != nil && req.Context().Err() == nil {
			err = &url.Error{Op: req.Method, URL: base.String(), Err: fmt.Errorf("no answer within %s", timeout)}
		}
		return outcome{err: err, again: !errors.As(err, &certificate), acted: sent.Load(), disconnected: true}
	}
	return judge(resp)
}

// send sends a request to one coordinator.
func (s *sender) send(ctx context.Context, req *http.Request, base *url.URL) (*http.Response, error) {
	r := req.Clone(ctx)
	r.URL.Scheme, r.URL.Host, r.Host = base.Scheme, base.Host, base.Host
	if base.Path != "" {
		path, escaped := base.Path+r.URL.Path, base.EscapedPath()+r.URL.EscapedPath()
		r.URL.Path, r.URL.RawPath = path, escaped
	}
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		r.Body = body
	}
	return s.http.Do(r)
}

// readWhole replaces the body of an answer by one in memory, so that an answer that is cut off is
// noticed in time to ask again.
func readWhole(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	err = errors.Join(err, resp.Body.Close())
	if err == nil && len(body) > answerLimit {
		err = errors.New("the answer is too large")
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return err
}

// judge tells what an answer means for another try.
func judge(resp *http.Response) outcome {
	o := outcome{resp: resp}
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		o.again = true
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		o.again, o.acted, o.disconnected = true, true, true
	default:
		return o
	}
	// The body is in memory: it can be read here and by the caller.
	shown, _ := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(shown))
	twin := *resp
	twin.Body = io.NopCloser(bytes.NewReader(shown))
	o.refusal = client.Answer(context.Background(), &twin, nil, nil)
	var e *domain.Error
	if errors.As(o.refusal, &e) {
		o.retryAfter = e.RetryAfter
		if _, full := e.Details["max_queue_depth"]; full { // everywhere, and nothing was stored
			o.acted, o.disconnected = false, false
		}
	}
	return o
}

// coordinator returns which one requests go to.
func (r *route) coordinator() (at int, base *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current, r.bases[r.current]
}

// leave has further requests go to the coordinator behind the one at this place, unless another
// request has seen to that.
func (r *route) leave(at int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == at {
		r.current = (at + 1) % len(r.bases)
	}
}

func (s *sender) connected(base *url.URL) {
	if s.changed(false) && s.onConnection != nil {
		s.onConnection(base.String(), nil)
	}
}

func (s *sender) notConnected(base *url.URL, reason error) {
	if s.changed(true) && s.onConnection != nil {
		s.onConnection(base.String(), reason)
	}
}

// changed sets whether no coordinator answers, and reports whether that is news.
func (r *route) changed(disconnected bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := r.disconnected != disconnected
	r.disconnected = disconnected
	return changed
}

// ended is the error of a call whose context ended. It says what the last try met.
func ended(ctx context.Context, last outcome) error {
	var e *domain.Error
	switch {
	case last.refusal != nil && errors.As(last.refusal, &e):
	case last.err != nil:
		errors.As(unanswered(last.err), &e)
	default:
		return ctx.Err()
	}
	cause := ctx.Err()
	if e.Cause != nil {
		cause = fmt.Errorf("%w; the last try: %w", cause, e.Cause)
	}
	return &domain.Error{Code: e.Code, Message: e.Message, Details: e.Details, RetryAfter: e.RetryAfter, Cause: cause}
}
