package domain

import (
	"container/heap"
	"hash/fnv"
	"slices"
	"time"
)

// LongestWaitShare is the share of placements (one in ten) that goes to whoever has waited longest in
// wall-clock time, whatever its priority, so that nobody starves behind a stream of higher tiers.
const LongestWaitShare = 10

// Planner chooses assignments over a snapshot. It is deterministic for its inputs, never blocks the head of
// the line (a lane at its customer's limit, or that no worker can serve, is passed over at once), and
// counts its own assignments, so that several calls of Plan fill one batch.
type Planner struct {
	seed    uint64
	workers []*slotWorker
	shapes  map[LaneID]*shape
	budget  map[CustomerID]int
	lanes   map[LaneID]*laneQueue
	byQueue laneHeap
	byAge   laneHeap
	planned map[WorkloadID]bool
	picks   int
}

// slotWorker is a worker with what it holds, planned assignments included.
type slotWorker struct {
	*Worker
	used      int
	resources Resources
	types     map[string]int // workload types held
	repelled  map[string]int // types that held workloads keep away
}

// shape is what a kind of work finds on the workers: those whose own properties admit it, with scores.
type shape struct {
	lane       Lane
	candidates []scored
}

type scored struct {
	w     *slotWorker
	score int
}

// laneQueue is a lane with the heads not yet planned.
type laneQueue struct {
	lane   Lane
	heads  []Candidate
	oldest []Candidate
	more   bool
	// dropped lanes leave each heap when they come to its top.
	dropped bool
}

// NewPlanner prepares a planner; the snapshot is not changed and may be reused.
func NewPlanner(s Snapshot) *Planner {
	p := &Planner{
		seed: s.Seed, picks: s.Picks, shapes: map[LaneID]*shape{}, budget: map[CustomerID]int{},
		lanes: map[LaneID]*laneQueue{}, planned: map[WorkloadID]bool{},
	}
	p.byQueue.less = func(a, b *laneQueue) bool { return before(a.heads[0], b.heads[0], byQueueAt) }
	p.byAge.less = func(a, b *laneQueue) bool { return before(a.oldest[0], b.oldest[0], byCreatedAt) }
	bySession := make(map[SessionID]*slotWorker, len(s.Workers))
	for i := range s.Workers {
		if s.Workers[i].Status != WorkerHealthy {
			continue
		}
		w := &slotWorker{Worker: &s.Workers[i]}
		bySession[w.SessionID] = w
		p.workers = append(p.workers, w)
	}
	for c, limit := range s.Limits {
		p.budget[c] = limit
	}
	for i := range s.Occupancy {
		o := &s.Occupancy[i]
		if _, limited := p.budget[o.Lane.CustomerID]; limited {
			p.budget[o.Lane.CustomerID] -= o.Count
		}
		if w := bySession[o.SessionID]; w != nil {
			w.hold(&o.Lane, o.Count)
		}
	}
	return p
}

func (w *slotWorker) hold(l *Lane, n int) {
	w.used += n
	w.resources = w.resources.add(l.Resources, n)
	if w.types == nil {
		w.types, w.repelled = map[string]int{}, map[string]int{}
	}
	w.types[l.Type] += n
	for _, t := range l.Affinity.Anti.WorkloadTypes {
		w.repelled[t] += n
	}
}

// FreeSlots is how many more workloads the healthy workers could hold.
func (p *Planner) FreeSlots() int {
	free := 0
	for _, w := range p.workers {
		free += max(w.Slots-w.used, 0)
	}
	return free
}

// Add gives the planner more heads of lanes. A lane added again continues where its first heads ended.
func (p *Planner) Add(lanes ...LaneHeads) {
	for i := range lanes {
		l := &lanes[i]
		q := p.lanes[l.Lane.ID]
		if q == nil {
			q = &laneQueue{lane: l.Lane}
			p.lanes[l.Lane.ID] = q
		}
		q.heads, q.more = p.unplanned(l.Heads), l.More
		q.oldest = p.unplanned(l.Oldest)
	}
	p.byQueue.lanes, p.byAge.lanes = nil, nil
	for _, q := range p.lanes {
		if q.dropped {
			continue
		}
		if len(q.heads) > 0 {
			p.byQueue.lanes = append(p.byQueue.lanes, q)
		}
		if len(q.oldest) > 0 {
			p.byAge.lanes = append(p.byAge.lanes, q)
		}
	}
	heap.Init(&p.byQueue)
	heap.Init(&p.byAge)
}

// Picks continues Snapshot.Picks by what this planner placed.
func (p *Planner) Picks() int { return p.picks }

func (p *Planner) unplanned(cs []Candidate) []Candidate {
	return slices.DeleteFunc(slices.Clone(cs), func(c Candidate) bool { return p.planned[c.ID] })
}

// Plan chooses up to limit assignments. When it stops because a lane ran out of known heads while more
// wait in it, it names that lane: Add its next heads and call Plan again, or the order would suffer.
func (p *Planner) Plan(limit int) (plan []Assignment, exhausted LaneID) {
	for len(plan) < limit {
		h := p.next()
		if h == nil {
			return plan, ""
		}
		q := h.lanes[0]
		c := p.pop(h, q)
		if !p.planned[c.ID] {
			a, ok := p.place(q, c)
			if !ok {
				// Within a batch limits and capacity only shrink: the lane cannot become placeable again.
				q.dropped = true
				continue
			}
			plan = append(plan, a)
			p.planned[c.ID] = true
			p.picks++
		}
		if h == &p.byQueue && len(q.heads) == 0 && q.more {
			p.settle(h)
			return plan, q.lane.ID
		}
		p.settle(h)
	}
	return plan, ""
}

// next returns the heap to take from, cleared of dropped lanes at its top: the longest wait every tenth
// time, else the queue; nil when neither has anything left.
func (p *Planner) next() *laneHeap {
	for _, h := range []*laneHeap{&p.byAge, &p.byQueue} {
		for len(h.lanes) > 0 && h.lanes[0].dropped {
			heap.Pop(h)
		}
	}
	if (p.picks+1)%LongestWaitShare == 0 && len(p.byAge.lanes) > 0 {
		return &p.byAge
	}
	if len(p.byQueue.lanes) > 0 {
		return &p.byQueue
	}
	return nil
}

func (p *Planner) pop(h *laneHeap, q *laneQueue) Candidate {
	if h == &p.byAge {
		c := q.oldest[0]
		q.oldest = q.oldest[1:]
		return c
	}
	c := q.heads[0]
	q.heads = q.heads[1:]
	return c
}

// settle restores the order of h after its first lane moved on.
func (p *Planner) settle(h *laneHeap) {
	q := h.lanes[0]
	if h == &p.byAge && len(q.oldest) > 0 || h == &p.byQueue && len(q.heads) > 0 {
		heap.Fix(h, 0)
		return
	}
	heap.Remove(h, 0)
}

// place chooses the worker for one candidate, if any: best score, then least utilised, then a stable hash.
func (p *Planner) place(q *laneQueue, c Candidate) (Assignment, bool) {
	budget, limited := p.budget[q.lane.CustomerID]
	if limited && budget <= 0 {
		return Assignment{}, false
	}
	best, score := p.bestWorker(p.shapeOf(&q.lane), c.ID)
	if best == nil {
		return Assignment{}, false
	}
	best.hold(&q.lane, 1)
	if limited {
		p.budget[q.lane.CustomerID] = budget - 1
	}
	return Assignment{
		WorkloadID: c.ID, CustomerID: q.lane.CustomerID, Lane: q.lane.ID,
		WorkerID: best.ID, SessionID: best.SessionID, Generation: c.Generation + 1, Score: score,
	}, true
}

func (p *Planner) bestWorker(s *shape, id WorkloadID) (*slotWorker, int) {
	var best *slotWorker
	var bestScore int
	var bestHash uint64
	for _, k := range s.candidates {
		if best != nil && k.score < bestScore || !k.w.takes(&s.lane) {
			continue
		}
		if best == nil || k.score > bestScore {
			best, bestScore, bestHash = k.w, k.score, 0
			continue
		}
		// used/slots compared as a cross product, without division.
		mine, theirs := k.w.used*best.Slots, best.used*k.w.Slots
		if mine > theirs {
			continue
		}
		if mine < theirs {
			best, bestHash = k.w, 0
			continue
		}
		if bestHash == 0 {
			bestHash = p.hash(id, best.ID)
		}
		if h := p.hash(id, k.w.ID); h < bestHash {
			best, bestHash = k.w, h
		}
	}
	return best, bestScore
}

// takes reports whether the worker has room for one more of the lane right now.
func (w *slotWorker) takes(l *Lane) bool {
	if w.used >= w.Slots || w.repelled[l.Type] > 0 || !w.Resources.fits(w.resources, l.Resources) {
		return false
	}
	for _, t := range l.Affinity.Anti.WorkloadTypes {
		if w.types[t] > 0 {
			return false
		}
	}
	return true
}

func (p *Planner) shapeOf(l *Lane) *shape {
	if s := p.shapes[l.ID]; s != nil {
		return s
	}
	s := &shape{lane: *l}
	for _, w := range p.workers {
		if slices.Contains(w.Capabilities, l.Type) && l.Affinity.admits(w.Worker) {
			s.candidates = append(s.candidates, scored{w, l.Affinity.score(w.Worker)})
		}
	}
	p.shapes[l.ID] = s
	return s
}

func (p *Planner) hash(id WorkloadID, w WorkerID) uint64 {
	h := fnv.New64a()
	var seed [8]byte
	for i := range seed {
		seed[i] = byte(p.seed >> (8 * i))
	}
	_, _ = h.Write(seed[:]) // a hash never fails to write
	_, _ = h.Write([]byte(id))
	_, _ = h.Write([]byte(w))
	return h.Sum64() | 1 // 0 means "not computed"
}

func byQueueAt(c Candidate) time.Time { return c.QueueAt }

func byCreatedAt(c Candidate) time.Time { return c.CreatedAt }

func before(a, b Candidate, by func(Candidate) time.Time) bool {
	if d := by(a).Compare(by(b)); d != 0 {
		return d < 0
	}
	return a.ID < b.ID
}

// laneHeap orders lanes by their first candidate.
type laneHeap struct {
	lanes []*laneQueue
	less  func(a, b *laneQueue) bool
}

func (h *laneHeap) Len() int           { return len(h.lanes) }
func (h *laneHeap) Less(i, j int) bool { return h.less(h.lanes[i], h.lanes[j]) }
func (h *laneHeap) Swap(i, j int)      { h.lanes[i], h.lanes[j] = h.lanes[j], h.lanes[i] }
func (h *laneHeap) Push(x any) {
	if q, ok := x.(*laneQueue); ok { // container/heap hands back what it was given
		h.lanes = append(h.lanes, q)
	}
}
func (h *laneHeap) Pop() any {
	last := len(h.lanes) - 1
	q := h.lanes[last]
	h.lanes = h.lanes[:last]
	return q
}
