package http

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// admit resolves the operation of the route that matched, authenticates the caller, and checks its
// rate and role, and whether its customer may do this while it is suspended. It is the only place
// that resolves an operation, so what is checked is what runs. A route without an operation is a
// 404.
func (a *api) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op, known := a.ops.of(r.Method, chi.RouteContext(r.Context()).RoutePattern())
		if known && op.path != r.URL.RawPath && a.paths[r.URL.RawPath] {
			// The path is one of its own, which the router takes for a parameter: it has no such method.
			a.methodNotAllowed(chi.RouteContext(r.Context()).Routes)(w, r)
			return
		}
		if !known || !a.Part.serves(op) {
			a.fail(w, r, errNoRoute(r))
			return
		}
		s := scopeOf(r.Context())
		s.op = op
		if op.rpc != nil {
			s.call = &call{method: op.rpc, w: w, r: r}
		}
		if op.open() {
			next.ServeHTTP(w, r)
			return
		}
		if op.isUpgrade() {
			a.serveSocket(w, r, a.authorize(next))
			return
		}
		a.authorize(next).ServeHTTP(w, r)
	})
}

// authorize lets a request pass that its sender may make.
func (a *api) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := scopeOf(r.Context())
		p, err := a.authenticate(w, r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		s.principal = p
		if !a.limit(w, r, s.costAtOnce()) {
			return
		}
		if err := s.session.checkCSRF(r); err != nil {
			a.refuse(w, r, err)
			return
		}
		if !slices.Contains(s.op.roles, p.Role) {
			a.refuse(w, r, domain.NewError(domain.CodeForbidden, "role %s may not do this", p.Role))
			return
		}
		if err := a.checkCertificate(w, r); err != nil {
			a.refuse(w, r, err)
			return
		}
		if p.CustomerID != "" && !s.op.whileSuspended {
			if err := a.Tenancy.CheckActive(r.Context(), p); err != nil {
				a.refuse(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// authenticate returns who sends a request.
func (a *api) authenticate(w http.ResponseWriter, r *http.Request) (domain.Principal, error) {
	s := scopeOf(r.Context())
	if s.socket != nil {
		return s.socket.credentials(w)
	}
	s.key, s.session = a.credentials(r)
	if s.op.route.Operation.OperationID == "signIn" {
		var err error
		if s.key, err = a.signingIn(r.Context(), s.key); err != nil {
			return domain.Principal{}, err
		}
	}
	return a.Tenancy.Authenticate(r.Context(), s.key)
}

// methodNotAllowed answers for a path that exists with other methods: 405, with those methods in
// Allow.
func (a *api) methodNotAllowed(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range a.ops.methods() {
			op, known := a.ops.of(method, routes.Find(chi.NewRouteContext(), method, r.URL.RawPath))
			other := a.paths[r.URL.RawPath] && op.path != r.URL.RawPath
			if known && !other && a.Part.serves(op) {
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

// bearer returns the key of the Authorization header, or "". Several headers count as none: what
// stands between may have judged the request by another one.
func bearer(r *http.Request) string {
	sent := r.Header.Values("Authorization")
	if len(sent) != 1 {
		return ""
	}
	scheme, key, ok := strings.Cut(sent[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}
