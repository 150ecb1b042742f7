package delivery

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// The headers of messages.
const (
	headerTrace     = "traceparent"
	headerRequestID = "request-id"
)

// requestIDLimit bounds the id that a message may bring, in bytes.
const requestIDLimit = 128

// Headers returns the headers of a message that is sent with ctx. They carry its origin.
func Headers(ctx context.Context) map[string]string {
	o, headers := ports.OriginOf(ctx), map[string]string{}
	if !o.Trace.IsZero() {
		headers[headerTrace] = o.Trace.String()
	}
	if o.RequestID != "" {
		headers[headerRequestID] = o.RequestID
	}
	return headers
}

// WithHeaders returns the context in which a message is handled. header returns a header of it.
func WithHeaders(ctx context.Context, header func(name string) string) context.Context {
	return ports.WithOrigin(ctx, domain.Origin{
		Trace:     domain.ParseSpanRef(header(headerTrace)),
		RequestID: domain.CleanAndCut(header(headerRequestID), requestIDLimit),
	})
}
