package http

import (
	"cmp"
	"net/http"

	"github.com/go-chi/chi/v5/middleware"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced records a span for the request. If the client sent a trace context, the span is part of
// its trace.
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
