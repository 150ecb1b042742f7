package spans

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// ContextOf returns a span as OpenTelemetry names it.
func ContextOf(r domain.SpanRef) trace.SpanContext {
	var flags trace.TraceFlags
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: r.TraceID, SpanID: r.SpanID, TraceFlags: flags.WithSampled(r.Sampled), Remote: true,
	})
}

// RefOf returns a span of OpenTelemetry as the core names it.
func RefOf(c trace.SpanContext) domain.SpanRef {
	return domain.SpanRef{TraceID: c.TraceID(), SpanID: c.SpanID(), Sampled: c.IsSampled()}
}

// WithParent returns a context in which spans have a parent: the span that ctx is in, or else that
// of its origin. ok reports whether there is one.
func WithParent(ctx context.Context) (_ context.Context, ok bool) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, true
	}
	sent := ports.OriginOf(ctx).Trace
	if sent.IsZero() {
		return ctx, false
	}
	return trace.ContextWithRemoteSpanContext(ctx, ContextOf(sent)), true
}
