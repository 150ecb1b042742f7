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
		if a.Measure != nil {
			a.Measure(r.Method, routeOf(r.Context()), ww.Status(), time.Since(start))
		}
		a.Log.Debug("request", "request_id", requestIDOf(r.Context()), "method", r.Method, "path", r.URL.Path,
			"status", ww.Status(), "bytes", ww.BytesWritten(), "duration_ms", float64(time.Since(start).Microseconds())/1000,
			"customer_id", string(s.principal.CustomerID), "key_id", string(s.principal.KeyID))
	})
}
