package domain

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"
)

// Stated holds the parsed fields of a submission. Fields that the client left out are nil or zero.
type Stated struct {
	Type       string
	Input      JSON
	Labels     map[string]string
	Priority   *int
	Affinity   Affinity
	Timeout    *time.Duration
	RunAt      time.Time
	MaxRetries *int
	Resources  *Resources `json:",omitempty"`
}

// Digest identifies a body by its content. The order of fields, white space, the zone of a time and
// empty fields do not matter.
func (s Stated) Digest() [32]byte {
	s.Input, s.Affinity, s.RunAt = canonical(s.Input), s.Affinity.canonical(), StoredTime(s.RunAt)
	if len(s.Labels) == 0 {
		s.Labels = nil
	}
	if s.Resources != nil {
		s.Resources = new(s.Resources.Canonical())
	}
	b, err := json.Marshal(s) // sorts the keys of maps
	if err != nil {
		return [32]byte{} // cannot happen: what it holds was parsed from JSON
	}
	return sha256.Sum256(b)
}

// Meaning identifies a submission by its effect: the defaults that apply are filled in.
func (s *Spec) Meaning() [32]byte {
	return Stated{
		Type: s.Type, Input: s.Input, Labels: s.Labels, Priority: &s.Priority, Affinity: s.Affinity,
		Timeout: &s.Run.Timeout, RunAt: s.RunAt, MaxRetries: &s.Run.MaxRetries, Resources: &s.Run.Resources,
	}.Digest()
}

// Repeats reports whether s repeats the submission that was stored with these digests under its
// idempotency key. It does if it states the same, even if defaults have changed since, and if it
// has the same effect, even if it states a default that the other leaves out.
func (s *Submission) Repeats(digest, meaning [32]byte) bool {
	return s.Digest == digest || s.Meaning == meaning && s.Meaning != [32]byte{}
}

// canonical returns JSON without white space and with sorted keys. It does not change numbers.
func canonical(j JSON) JSON {
	d := json.NewDecoder(bytes.NewReader([]byte(j)))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return j
	}
	b, err := json.Marshal(v)
	if err != nil {
		return j
	}
	return JSON(b)
}

// canonical returns the rules with sorted types, because these are sets.
func (a Affinity) canonical() Affinity {
	a = a.Clone()
	for _, t := range []*AffinityTerms{&a.Hard, &a.Soft, &a.Anti} {
		slices.Sort(t.WorkloadTypes)
		t.WorkloadTypes = slices.Compact(t.WorkloadTypes)
	}
	return a
}
