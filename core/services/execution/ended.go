package execution

import (
	"github.com/niyanta/niyanta/core/domain"
)

// endedLimit bounds how many ended runs are remembered. It is far above the number of assignments
// that can overtake a late one.
const endedLimit = 20_000

// endedRuns remembers the runs that ended last, so that an assignment that arrives late or twice
// does not start one of them again.
type endedRuns struct {
	newest map[domain.WorkloadID]int64 // the highest generation
	order  []domain.RunID              // a ring
	next   int
}

// has reports whether the run is remembered, or a run of the same workload at a higher generation.
func (e *endedRuns) has(k domain.RunID) bool {
	g, known := e.newest[k.WorkloadID]
	return known && g >= k.Generation
}

func (e *endedRuns) add(k domain.RunID) {
	if e.has(k) {
		return
	}
	if e.newest == nil {
		e.newest = map[domain.WorkloadID]int64{}
	}
	e.newest[k.WorkloadID] = k.Generation
	if len(e.order) < endedLimit {
		e.order = append(e.order, k)
		return
	}
	if old := e.order[e.next]; e.newest[old.WorkloadID] == old.Generation {
		delete(e.newest, old.WorkloadID)
	}
	e.order[e.next] = k
	e.next = (e.next + 1) % endedLimit
}
