package http

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// rateHeaders say what is left of the caller's rate.
var rateHeaders = [...]string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}

// limit takes cost tokens from the caller's rate and reports whether the request may go on. It sets
// the headers that say what is left, on every answer to an authenticated caller. If the limiter
// fails, the request is served: a limiter that is disconnected must not take the API down.
func (a *api) limit(w http.ResponseWriter, r *http.Request, cost int) bool {
	d, limits, err := a.Tenancy.Allow(r.Context(), scopeOf(r.Context()).principal, cost)
	if err != nil {
		if r.Context().Err() == nil { // otherwise the client has gone
			a.Observer.Count("rate_limiter_failed", 1)
			a.Log.Warn("rate limiter failed", "request_id", requestIDOf(r.Context()), "error", err)
		}
		d = ports.RateDecision{Allowed: true, Remaining: limits.Burst}
	}
	h := w.Header()
	h.Set(rateHeaders[0], strconv.FormatFloat(limits.RatePerSec, 'f', -1, 64))
	h.Set(rateHeaders[1], strconv.Itoa(d.Remaining))
	h.Set(rateHeaders[2], strconv.FormatInt(ceilUnix(time.Now().Add(d.ResetAfter)), 10))
	if !d.Allowed {
		a.throttled(r.Context(), "rate")
		e := domain.NewError(domain.CodeRateLimited,
			"more than %g requests per second, each submission of a batch counted", limits.RatePerSec)
		e.RetryAfter = max(d.RetryAfter, time.Millisecond)
		a.fail(w, r, e.With("limit", limits.RatePerSec).With("window_seconds", 1))
	}
	return d.Allowed
}

// throttled counts a request that is refused because there are too many.
func (a *api) throttled(ctx context.Context, reason string) {
	a.Throttled(a.Tenancy.TierOf(ctx, scopeOf(ctx).principal), reason)
}

// costAtOnce is what a request costs before its body is read. A batch is charged when it was; until
// then it is only refused if earlier requests left a debt.
func (s *scope) costAtOnce() int {
	if s.op.costsItems() {
		return 0
	}
	return 1
}

// refuse answers a request that is refused before its body was read.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if a.charge(w, r) {
		a.fail(w, r, err)
	}
}

// charge takes what a batch costs, and reports whether the request may go on: one token for each
// item, whatever becomes of it, and one for a batch that is refused before its items are known.
func (a *api) charge(w http.ResponseWriter, r *http.Request) bool {
	s := scopeOf(r.Context())
	return !s.op.costsItems() || a.limit(w, r, max(s.items, 1))
}

// ceilUnix returns t in whole Unix seconds, rounded up.
func ceilUnix(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
