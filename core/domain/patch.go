package domain

import "encoding/json"

// Change is one field of a patch. The zero Change leaves the field as it is. A Change that is Set
// to the zero Value resets the field to its default; in JSON that is null.
type Change[T comparable] struct {
	Set   bool
	Value T
}

// To returns the change to v.
func To[T comparable](v T) Change[T] { return Change[T]{true, v} }

// apply changes field.
func (c Change[T]) apply(field *T) {
	if c.Set {
		*field = c.Value
	}
}

// MarshalJSON implements json.Marshaler.
func (c Change[T]) MarshalJSON() ([]byte, error) {
	if c == To(*new(T)) || !c.Set {
		return []byte("null"), nil
	}
	return json.Marshal(c.Value)
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Change[T]) UnmarshalJSON(b []byte) error {
	*c = Change[T]{Set: true}
	if string(b) == "null" {
		return nil
	}
	return json.Unmarshal(b, &c.Value)
}

// LimitsPatch changes the overrides of a tier's limits. Setting one to zero restores the limit of
// the tier.
type LimitsPatch struct {
	MaxConcurrent Change[int]
	MaxQueueDepth Change[int]
	RatePerSec    Change[float64]
	Burst         Change[int]
}

// Apply returns l with the patch applied.
func (p LimitsPatch) Apply(l Limits) Limits {
	p.MaxConcurrent.apply(&l.MaxConcurrent)
	p.MaxQueueDepth.apply(&l.MaxQueueDepth)
	p.RatePerSec.apply(&l.RatePerSec)
	p.Burst.apply(&l.Burst)
	return l
}
