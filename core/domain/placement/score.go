package placement

import "github.com/niyanta/niyanta/core/domain"

// baseScore is the score of a worker that nothing is preferred about.
const baseScore = 50

// score is 50, +50 for the preferred worker, +5 per preferred tag that matches, at most 100.
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
	return min(s, 100)
}
