package http

import (
	"context"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/niyanta/niyanta/core/domain"
)

type contextKey int

const (
	keyRequestID contextKey = iota
	keyScope
)

// scope is what is learned about a request on its way in, for handlers and the access log.
type scope struct {
	key       string // as the client sent it, to be looked at again while the request waits
	principal domain.Principal
	op        operation
	refused   map[int]error // items of the body that were refused on their own; see each
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

// requestID accepts or makes the request's id. From here on the path has one form, the escaped one: the router splits it
// before anything is decoded, and each variable is decoded once.
func (a *api) requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-ID")
		if !saneRequestID(id) {
			id = a.IDs.New("req_")
		}
		w.Header().Set("X-Request-ID", id)
		ctx := context.WithValue(r.Context(), keyRequestID, id)
		r = r.WithContext(context.WithValue(ctx, keyScope, &scope{}))
		path := *r.URL
		path.RawPath = r.URL.EscapedPath()
		r.URL = &path
		next.ServeHTTP(w, r)
	})
}

// Content security policies. An answer of the API is data: nothing may be loaded for it, and nothing may frame it. The
// documentation loads its own files only.
const (
	policyOfAPI  = "default-src 'none'; frame-ancestors 'none'"
	policyOfDocs = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

// secured sets what browsers and caches may do with an answer. Handlers that need other values set them afterwards.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", policyOfAPI)
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// traced makes a span of the request, as part of the client's trace if it sent one.
func (a *api) traced(next http.Handler) http.Handler {
	tracer := otel.Tracer("github.com/niyanta/niyanta/adapters/http")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := otel.GetTextMapPropagator().Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(ww, r.WithContext(ctx))
		if !span.IsRecording() {
			return
		}
		route := routeOf(ctx)
		if scopeOf(ctx).op.path != "" { // or its method is the client's invention
			span.SetName(r.Method + " " + route)
		}
		span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", ww.Status()),
			attribute.String("niyanta.request_id", requestIDOf(ctx)))
		if ww.Status() >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(ww.Status()))
		}
	})
}

// routeOf is the pattern of the request's operation, bounded in number.
func routeOf(ctx context.Context) string {
	if op := scopeOf(ctx).op; op.path != "" {
		return op.path
	}
	return "other"
}

// accessLog writes one line per request and counts it; heartbeats and polls of workers only at debug.
func (a *api) accessLog(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(ww, r)
		s := scopeOf(r.Context())
		if a.Measure != nil {
			a.Measure(r.Method, routeOf(r.Context()), ww.Status(), time.Since(start))
		}
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
