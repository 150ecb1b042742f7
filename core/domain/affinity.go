package domain

import (
	"maps"
	"slices"
	"strings"
)

// AffinityTerms select workers by id, by tags, or by workload types: those that they offer (Hard
// and Soft) or run (Anti).
type AffinityTerms struct {
	WorkerID      WorkerID          `json:"worker_id,omitempty"`
	WorkerTags    map[string]string `json:"worker_tags,omitempty"`
	WorkloadTypes []string          `json:"workload_types,omitempty"`
}

// Affinity says where a workload must (Hard), should (Soft) and must not (Anti) run.
type Affinity struct {
	Hard AffinityTerms `json:"hard,omitzero"`
	Soft AffinityTerms `json:"soft,omitzero"`
	Anti AffinityTerms `json:"anti,omitzero"`
}

// IsZero reports whether the terms are empty.
func (t AffinityTerms) IsZero() bool {
	return t.WorkerID == "" && len(t.WorkerTags) == 0 && len(t.WorkloadTypes) == 0
}

// IsZero reports whether the workload may run anywhere.
func (a Affinity) IsZero() bool { return a.Hard.IsZero() && a.Soft.IsZero() && a.Anti.IsZero() }

// Clone returns a deep copy.
func (a Affinity) Clone() Affinity {
	return Affinity{a.Hard.clone(), a.Soft.clone(), a.Anti.clone()}
}

func (t AffinityTerms) clone() AffinityTerms {
	return AffinityTerms{t.WorkerID, maps.Clone(t.WorkerTags), slices.Clone(t.WorkloadTypes)}
}

// Validate checks the rules that a client sent. field is their place in the request.
func (a Affinity) Validate(field string) error {
	for _, part := range []struct {
		name  string
		terms AffinityTerms
	}{{".hard_affinity", a.Hard}, {".soft_affinity", a.Soft}, {".anti_affinity", a.Anti}} {
		if err := part.terms.validate(field + part.name); err != nil {
			return err
		}
	}
	return nil
}

func (t AffinityTerms) validate(field string) error {
	if t.WorkerID != "" {
		if err := ValidateWorkerID(t.WorkerID); err != nil {
			return Invalid(field+".worker_id", "is not a worker id")
		}
	}
	if err := ValidateTags(field+".worker_tags", t.WorkerTags); err != nil {
		return err
	}
	if len(t.WorkloadTypes) > 32 {
		return Invalid(field+".workload_types", "must name at most 32 types")
	}
	for _, name := range t.WorkloadTypes {
		if err := ValidateType(field+".workload_types", name); err != nil {
			return err
		}
	}
	return nil
}

// MaxTags is how many tags or labels something has at most.
const MaxTags = 64

// ValidateTags checks a map of tags or labels: at most MaxTags pairs, keys 1 to 63, values up to 255
// characters. A key has no "=", because filters and settings write a pair as key=value.
func ValidateTags(field string, tags map[string]string) error {
	if len(tags) > MaxTags {
		return Invalid(field, "must have at most %d entries", MaxTags)
	}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if err := validateName(field, k); err != nil {
			return err
		}
		if strings.Contains(k, "=") {
			return Invalid(field, "key %q must not contain \"=\"", k)
		}
		if err := validateText(field+"."+k, tags[k], 0, 255); err != nil {
			return err
		}
	}
	return nil
}

// Admits reports whether the hard rules, and the anti rules about the worker itself, let the
// workload run on the worker. Anti rules about what else runs there are left to the planner.
func (a Affinity) Admits(w *Worker) bool {
	if a.Hard.WorkerID != "" && a.Hard.WorkerID != w.ID || !w.HasTags(a.Hard.WorkerTags) {
		return false
	}
	for _, t := range a.Hard.WorkloadTypes {
		if !slices.Contains(w.Capabilities, t) {
			return false
		}
	}
	if a.Anti.WorkerID != "" && a.Anti.WorkerID == w.ID {
		return false
	}
	return len(a.Anti.WorkerTags) == 0 || !w.HasTags(a.Anti.WorkerTags)
}
