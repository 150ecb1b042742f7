package http

import (
	"cmp"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

// accessLog writes one line per request, at debug, and counts it.
func (a *api) accessLog(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(ww, r)
		s := scopeOf(r.Context())
		took, status := time.Since(start), cmp.Or(s.answered, ww.Status())
		if a.Measure != nil {
			measured := took
			if !s.began.IsZero() { // how long a client follows says nothing about the coordinator
				measured = s.began.Sub(start)
			}
			method := r.Method
			if s.call != nil { // it counts as its operation
				method = s.op.route.Method
			}
			a.Measure(method, routeOf(r.Context()), status, measured)
		}
		a.Log.Debug("request", "request_id", requestIDOf(r.Context()), "method", r.Method, "path", r.URL.Path,
			"status", status, "bytes", ww.BytesWritten(), "duration_ms", float64(took.Microseconds())/1000,
			"customer_id", string(s.principal.CustomerID), "key_id", string(s.principal.KeyID))
	})
}
