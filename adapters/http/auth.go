package http

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// admit finds the operation, authenticates the caller, checks its role and its rate.
func (a *api) admit(router chi.Router) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			route := chi.NewRouteContext()
			if !router.Match(route, r.Method, r.URL.Path) {
				next.ServeHTTP(w, r) // the router says 404
				return
			}
			s := scopeOf(r.Context())
			s.op = a.ops[r.Method+" "+route.RoutePattern()]
			p, err := a.Tenancy.Authenticate(r.Context(), bearer(r))
			if err != nil {
				a.fail(w, r, err)
				return
			}
			s.principal = p
			if !slices.Contains(s.op.roles, p.Role) {
				a.fail(w, r, domain.NewError(domain.CodeForbidden, "role %s may not do this", p.Role))
				return
			}
			if !a.limit(w, r, p) {
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// bearer returns the key of the Authorization header, or nothing.
func bearer(r *http.Request) string {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// limit takes one request from the customer's rate and says in headers what is left. A limiter that fails lets requests
// through: being away is its adapter's to bridge.
func (a *api) limit(w http.ResponseWriter, r *http.Request, p domain.Principal) bool {
	if p.CustomerID == "" {
		return true
	}
	d, limits, err := a.Tenancy.Allow(r.Context(), p)
	if err != nil {
		a.Observer.Count("rate_limiter_failed", 1)
		a.Log.Warn("rate limiter failed", "request_id", requestIDOf(r.Context()), "error", err)
		return true
	}
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(limits.Burst))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(d.Remaining))
	h.Set("X-RateLimit-Reset", strconv.Itoa(int(math.Ceil(d.ResetAfter.Seconds()))))
	if !d.Allowed {
		e := domain.NewError(domain.CodeRateLimited, "more than %g requests per second", limits.RatePerSec)
		e.RetryAfter = max(d.RetryAfter, time.Millisecond)
		a.fail(w, r, e)
	}
	return d.Allowed
}
