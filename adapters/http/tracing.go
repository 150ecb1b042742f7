package http

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5/middleware"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/niyanta/niyanta/adapters/internal/spans"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// routine reports whether workers, probes or Prometheus ask for the path all the time.
func routine(path string) bool {
	return strings.HasPrefix(path, "/v1/worker/") || path == "/health" || path == "/ready" || path == "/metrics"
}

// traced records a span for the request. If the client has sent one, it is the parent, and what the
// request begins belongs to its trace. What is asked for all the time leaves a span only if one is sent.
func (a *api) traced(next http.Handler) http.Handler {
	tracer := otel.Tracer("github.com/niyanta/niyanta/adapters/http")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := domain.Origin{
			RequestID: requestIDOf(r.Context()), Trace: domain.ParseSpanRef(r.Header.Get("Traceparent")),
		}
		ctx, sent := spans.WithParent(ports.WithOrigin(r.Context(), origin))
		if !sent && routine(r.URL.Path) {
			next.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		ctx, span := tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		if sent {
			origin.Trace = spans.RefOf(span.SpanContext())
			ctx = ports.WithOrigin(ctx, origin)
		}
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(ww, r.WithContext(ctx))
		if !span.IsRecording() {
			return
		}
		route, status := routeOf(ctx), cmp.Or(scopeOf(ctx).answered, ww.Status())
		if scopeOf(ctx).op.path != "" { // or its method is the client's invention
			span.SetName(r.Method + " " + route)
		}
		span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", status),
			attribute.String("niyanta.request_id", requestIDOf(ctx)))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(ww.Status()))
		}
	})
}
