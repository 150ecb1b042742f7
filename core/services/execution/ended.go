package execution

import "github.com/niyanta/niyanta/core/domain"

// endedMax bounds how many runs are remembered that have ended; an assignment is not delayed by more than that many others.
const endedMax = 20_000

// endedRuns remembers the runs that ended last, so that an assignment that arrives late or twice does not start one of them again.
type endedRuns struct {
	newest map[domain.WorkloadID]int64 // the highest generation
	order  []runKey                    // a ring
	next   int
}

// has reports whether the run, or one of the same workload at a higher generation, has ended here lately.
func (e *endedRuns) has(k runKey) bool {
	g, known := e.newest[k.id]
	return known && g >= k.generation
}

func (e *endedRuns) add(k runKey) {
	if e.has(k) {
		return
	}
	if e.newest == nil {
		e.newest = map[domain.WorkloadID]int64{}
	}
	e.newest[k.id] = k.generation
	if len(e.order) < endedMax {
		e.order = append(e.order, k)
		return
	}
	if old := e.order[e.next]; e.newest[old.id] == old.generation {
		delete(e.newest, old.id)
	}
	e.order[e.next] = k
	e.next = (e.next + 1) % endedMax
}
