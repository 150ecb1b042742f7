package http

import (
	"context"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/niyanta/niyanta/core/domain"
)

type contextKey int

const (
	keyRequestID contextKey = iota
	keyScope
)

// scope is what is learned about a request on its way in, for handlers and the access log.
type scope struct {
	principal domain.Principal
	op        operation
}

func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(keyRequestID).(string)
	return id
}

func scopeOf(ctx context.Context) *scope {
	if s, ok := ctx.Value(keyScope).(*scope); ok {
		return s
	}
	return &scope{}
}

// saneRequestID accepts what is safe to repeat in headers and logs.
func saneRequestID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for _, r := range id {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return false
		}
	}
	return true
}

// requestID accepts or makes the request's id.
func (a *api) requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-ID")
		if !saneRequestID(id) {
			id = a.IDs.New("req_")
		}
		w.Header().Set("X-Request-ID", id)
		ctx := context.WithValue(r.Context(), keyRequestID, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, keyScope, &scope{})))
	})
}

// accessLog writes one line per request; heartbeats and polls of workers only at debug.
func (a *api) accessLog(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(ww, r)
		s := scopeOf(r.Context())
		log := a.Log.Info
		if s.op.tag == "worker" || s.op.tag == "system" {
			log = a.Log.Debug
		}
		log("request", "request_id", requestIDOf(r.Context()), "method", r.Method, "path", r.URL.Path,
			"status", ww.Status(), "bytes", ww.BytesWritten(), "duration_ms", float64(time.Since(start).Microseconds())/1000,
			"customer_id", string(s.principal.CustomerID), "key_id", string(s.principal.KeyID))
	})
}

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
