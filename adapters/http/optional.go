package http

import (
	"encoding/json"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// opt returns nil for the zero value.
func opt[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// deref returns the zero value for nil.
func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// converted converts what v points to. It returns nil for nil.
func converted[In, Out any](v *In, convert func(In) Out) *Out {
	if v == nil {
		return nil
	}
	return new(convert(*v))
}

// not negates a boolean that is set.
func not(b *bool) *bool {
	if b == nil {
		return nil
	}
	negated := !*b
	return &negated
}

func at(t time.Time) gen.Time { return gen.Time{Time: t} }

func optTime(t time.Time) *gen.Time {
	if t.IsZero() {
		return nil
	}
	return &gen.Time{Time: t}
}

func raw(j domain.JSON) json.RawMessage {
	if j == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(j)
}
