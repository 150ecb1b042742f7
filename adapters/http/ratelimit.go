package http

import (
	"net/http"
	"strconv"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// limit takes one request from the caller's rate and reports whether it may go on. It sets the
// headers that say what is left, on every answer to an authenticated caller. If the limiter fails,
// the request is served: a limiter that is disconnected must not take the API down.
func (a *api) limit(w http.ResponseWriter, r *http.Request, p domain.Principal) bool {
	d, limits, err := a.Tenancy.Allow(r.Context(), p)
	if err != nil {
		a.Observer.Count("rate_limiter_failed", 1)
		a.Log.Warn("rate limiter failed", "request_id", requestIDOf(r.Context()), "error", err)
		d = ports.RateDecision{Allowed: true, Remaining: limits.Burst}
	}
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.FormatFloat(limits.RatePerSec, 'f', -1, 64))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(d.Remaining))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(ceilUnix(time.Now().Add(d.ResetAfter)), 10))
	if !d.Allowed {
		e := domain.NewError(domain.CodeRateLimited, "more than %g requests per second", limits.RatePerSec)
		e.RetryAfter = max(d.RetryAfter, time.Millisecond)
		a.fail(w, r, e.With("limit", limits.RatePerSec).With("window_seconds", 1))
	}
	return d.Allowed
}

// ceilUnix returns t in whole Unix seconds, rounded up.
func ceilUnix(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
