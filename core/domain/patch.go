package domain

import (
	"encoding/json"
	"time"
)

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

// ConfigPatch changes the fields of a workload config that are set and no others.
type ConfigPatch struct {
	// Type, if it is set, must be the config's type, which cannot change.
	Type        *string
	Description *string
	Config      *JSON
	Limits      AmountsPatch
	// Resources, if set, replace those of the config.
	Resources          *Resources
	CheckpointInterval *time.Duration
	MaxRetries         *int
	Backoff            BackoffPatch
	Timeout            *time.Duration
}

// AmountsPatch changes the amounts that are set.
type AmountsPatch struct {
	CPUCores *Milli
	MemoryMB *int
	DiskMB   *int
}

// BackoffPatch changes the fields of a backoff that are set. If only Initial is set, Max is raised
// to it where needed.
type BackoffPatch struct {
	Initial *time.Duration
	Factor  *float64
	Max     *time.Duration
}

// set changes field unless v is nil.
func set[T any](field, v *T) {
	if v != nil {
		*field = *v
	}
}

// Apply returns c with the patch applied at that time, validated. CodeInvalidInput naming
// workload_type when the patch has another type.
func (p ConfigPatch) Apply(c WorkloadConfig, now time.Time) (WorkloadConfig, error) {
	if p.Type != nil && *p.Type != c.Type {
		return c, Invalid("workload_type", "cannot be changed from %q", c.Type)
	}
	set(&c.Description, p.Description)
	set(&c.Config, p.Config)
	set(&c.Limits.CPUCores, p.Limits.CPUCores)
	set(&c.Limits.MemoryMB, p.Limits.MemoryMB)
	set(&c.Limits.DiskMB, p.Limits.DiskMB)
	if p.Resources != nil {
		c.Resources = p.Resources.Canonical()
	}
	set(&c.CheckpointInterval, p.CheckpointInterval)
	set(&c.MaxRetries, p.MaxRetries)
	if p.Backoff.Initial != nil {
		c.Backoff.Initial = *p.Backoff.Initial
		c.Backoff.Max = max(c.Backoff.Max, c.Backoff.Initial)
	}
	set(&c.Backoff.Factor, p.Backoff.Factor)
	set(&c.Backoff.Max, p.Backoff.Max)
	set(&c.Timeout, p.Timeout)
	c.UpdatedAt = now
	return c, c.Validate()
}
