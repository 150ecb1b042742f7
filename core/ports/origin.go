package ports

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

type originKey struct{}

// WithOrigin returns a context of what is done for a request: on a coordinator for that of a
// client, on a worker for that of the client whose workload runs. Whoever sends a request with the
// context passes the origin on; services keep it with what they store.
func WithOrigin(ctx context.Context, o domain.Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns the origin of a context. It is zero if there is none.
func OriginOf(ctx context.Context) domain.Origin {
	o, _ := ctx.Value(originKey{}).(domain.Origin)
	return o
}
