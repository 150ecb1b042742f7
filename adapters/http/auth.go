package http

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// admit stands between the router and every handler. It takes the operation of the route that was matched, so that what
// is checked is what runs, then authenticates the caller and checks its role and its rate. A route without an operation
// has no handler.
func (a *api) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op, known := a.ops.of(r.Method, chi.RouteContext(r.Context()).RoutePattern())
		if !known || !a.Part.serves(op) {
			a.fail(w, r, errNoRoute(r))
			return
		}
		s := scopeOf(r.Context())
		s.op = op
		if op.open() {
			next.ServeHTTP(w, r)
			return
		}
		s.key = bearer(r)
		p, err := a.Tenancy.Authenticate(r.Context(), s.key)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		s.principal = p
		if !a.limit(w, r, p) {
			return
		}
		if !slices.Contains(op.roles, p.Role) {
			a.fail(w, r, domain.NewError(domain.CodeForbidden, "role %s may not do this", p.Role))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// noMethod answers for a path that is known with other methods only: 405 with those in Allow.
func (a *api) noMethod(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range a.ops.methods() {
			op, known := a.ops.of(method, routes.Find(chi.NewRouteContext(), method, r.URL.RawPath))
			if known && a.Part.serves(op) {
				allowed = append(allowed, method)
			}
		}
		if slices.Contains(allowed, http.MethodGet) {
			allowed = append(allowed, http.MethodHead)
			slices.Sort(allowed)
		}
		if len(allowed) == 0 {
			a.fail(w, r, errNoRoute(r)) // the router doesn't know the method and so says nothing of the path
			return
		}
		list := strings.Join(allowed, ", ")
		w.Header().Set("Allow", list)
		a.fail(w, r, errNoMethod(r, list))
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
