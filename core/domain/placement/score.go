package placement

import (
	"slices"

	"github.com/niyanta/niyanta/core/domain"
)

// baseScore is the score of a worker that no soft rule names.
const baseScore = 50

// scoreOf returns how well the worker meets the soft rules: baseScore, plus 50 if it is the named
// worker, plus 5 for each matching tag and for each type that it offers, at most 100.
func scoreOf(a *domain.Affinity, w *domain.Worker) int {
	s := baseScore
	if a.Soft.WorkerID != "" && a.Soft.WorkerID == w.ID {
		s += 50
	}
	for k, v := range a.Soft.WorkerTags {
		if got, ok := w.Tags[k]; ok && got == v {
			s += 5
		}
	}
	for _, t := range a.Soft.WorkloadTypes {
		if slices.Contains(w.Capabilities, t) {
			s += 5
		}
	}
	return min(s, 100)
}
