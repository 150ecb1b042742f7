package http

import (
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
		took := time.Since(start)
		if a.Measure != nil {
			measured := took
			if !s.began.IsZero() { // how long a client follows says nothing about the coordinator
				measured = s.began.Sub(start)
			}
			a.Measure(r.Method, routeOf(r.Context()), ww.Status(), measured)
		}
		a.Log.Debug("request", "request_id", requestIDOf(r.Context()), "method", r.Method, "path", r.URL.Path,
			"status", ww.Status(), "bytes", ww.BytesWritten(), "duration_ms", float64(took.Microseconds())/1000,
			"customer_id", string(s.principal.CustomerID), "key_id", string(s.principal.KeyID))
	})
}
