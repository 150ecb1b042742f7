package http

import (
	"net/http"
	"runtime/debug"

	"github.com/niyanta/niyanta/core/domain"
)

// recovery turns a panic into a 500 that leaks nothing.
func (a *api) recovery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
				panic(p)
			}
			a.Log.Error("panic", "request_id", requestIDOf(r.Context()), "panic", p, "stack", string(debug.Stack()))
			a.Observer.Count("http_panic", 1)
			a.fail(w, r, domain.NewError(domain.CodeInternal, "panic"))
		}()
		next.ServeHTTP(w, r)
	})
}
