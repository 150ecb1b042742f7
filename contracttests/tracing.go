package contracttests

import (
	"context"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/niyanta/niyanta/core/ports"
)

// TracedBusCases is the suite of buses between processes. They carry the sender's trace context
// with each message.
func TracedBusCases() []Case[BusHarness] {
	return []Case[BusHarness]{
		{"the trace travels with the message", "The trace context of ctx reaches the handler", func(t T, h BusHarness) {
			before := otel.GetTextMapPropagator()
			otel.SetTextMapPropagator(propagation.TraceContext{})
			t.Cleanup(func() { otel.SetTextMapPropagator(before) })
			got := make(chan trace.SpanContext, 2)
			subscribe(t, h.Open(), "s", "", func(ctx context.Context, _ ports.Message) []byte {
				got <- trace.SpanContextFromContext(ctx)
				return nil
			})
			want := trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled,
			})
			ctx := trace.ContextWithSpanContext(t.Context(), want)
			b := h.Open()
			require.NoError(t, b.Publish(ctx, "s", nil))
			_, err := b.Request(ctx, "s", nil)
			require.NoError(t, err)
			for range 2 {
				sc := <-got
				require.Equal(t, want.TraceID(), sc.TraceID())
				require.Equal(t, want.SpanID(), sc.SpanID())
			}
		}},
	}
}
