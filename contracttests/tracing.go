package contracttests

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// TracedBusCases is the suite of buses between processes. They carry the sender's origin with each
// message.
func TracedBusCases() []Case[BusHarness] {
	return []Case[BusHarness]{
		{"the trace travels with the message", "The origin of ctx reaches the handler", func(t T, h BusHarness) {
			got := make(chan domain.Origin, 4)
			subscribe(t, h.Open(), "s", "", func(ctx context.Context, _ ports.Message) []byte {
				got <- ports.OriginOf(ctx)
				return nil
			})
			want := domain.Origin{RequestID: "req_1", Trace: domain.SpanRef{
				TraceID: [16]byte{1, 2}, SpanID: [8]byte{3}, Sampled: true,
			}}
			b := h.Open()
			for _, o := range []domain.Origin{want, {}} {
				ctx := ports.WithOrigin(t.Context(), o)
				require.NoError(t, b.Publish(ctx, "s", nil))
				_, err := b.Request(ctx, "s", nil)
				require.NoError(t, err)
				for range 2 {
					require.Equal(t, o, <-got)
				}
			}
		}},
	}
}
