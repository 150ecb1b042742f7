package insight

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// surveyFor is how long a survey serves, surveyMax how long taking one may last; surveyMost how many it counts in a lane.
	surveyFor  = 2 * time.Second
	surveyMax  = 5 * time.Second
	surveyMost = 200
)

// survey is a picture with how long the lanes are, prepared so that an estimate costs next to nothing however many there are.
type survey struct {
	mu sync.Mutex
	*picture
	types map[string]*typeQueue
	// since counts the submissions of each type that this process has estimated since the survey.
	since map[string]int
}

// typeQueue is what waits of one workload type and may be placed.
type typeQueue struct {
	// lanes are ordered by their rank in the queue; upTo[i] is how many wait in the first i of them.
	lanes []rankedLane
	upTo  []int
	// byCustomer counts the same by customer.
	byCustomer map[domain.CustomerID]int
}

type rankedLane struct {
	at    int64 // virtual time of its first workload
	count int
}

// recent keeps the last survey.
type recent struct {
	taking sync.Mutex // held by whoever takes the next one
	mu     sync.Mutex
	taken  time.Time
	last   *survey
}

// current returns the last survey, taking a new one when it is old; nil when none could be taken. Only one caller at a time pays for that;
// the others take what there is. Whoever asked may leave, the survey is for all.
func (s *Service) current(ctx context.Context) *survey {
	r := &s.recent
	r.mu.Lock()
	last, old := r.last, s.deps.Clock.Now().Sub(r.taken) >= surveyFor
	r.mu.Unlock()
	if !old || !r.taking.TryLock() {
		return last
	}
	defer r.taking.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), surveyMax)
	defer cancel()
	next, err := s.take(ctx)
	if err != nil {
		next = nil // estimates are not worth a second try
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken, r.last = s.deps.Clock.Now(), next
	return next
}

func (s *Service) take(ctx context.Context) (*survey, error) {
	p, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	whole := make([]ports.Cutoff, len(p.lanes))
	for i := range whole {
		whole[i].Lane = p.lanes[i].ID
	}
	counts, err := s.deps.Insight.Ahead(ctx, whole, surveyMost)
	if err != nil {
		return nil, err
	}
	v := &survey{picture: p, types: map[string]*typeQueue{}, since: map[string]int{}}
	for i, n := range counts {
		l := &p.lanes[i]
		if p.blocked(l) {
			continue
		}
		q := v.types[l.Type]
		if q == nil {
			q = &typeQueue{byCustomer: map[domain.CustomerID]int{}}
			v.types[l.Type] = q
		}
		q.lanes = append(q.lanes, rankedLane{p.oldest[i].Add(-p.advance(l)).UnixNano(), n})
		q.byCustomer[l.CustomerID] += n
	}
	for _, q := range v.types {
		slices.SortFunc(q.lanes, func(a, b rankedLane) int { return cmp.Compare(a.at, b.at) })
		q.upTo = make([]int, len(q.lanes)+1)
		for i, l := range q.lanes {
			q.upTo[i+1] = q.upTo[i] + l.count
		}
	}
	return v, nil
}

// Estimate tells when a workload that was just submitted may start, with how sure that is; zero when nothing tells it. It comes from the same
// throughput as Explain's, and from a survey that may be seconds old.
func (s *Service) Estimate(ctx context.Context, w *domain.Workload) (time.Time, placement.Confidence) {
	v := s.current(ctx)
	if v == nil {
		return time.Time{}, ""
	}
	if err := s.know(ctx, v, w.CustomerID); err != nil {
		return time.Time{}, ""
	}
	lane := domain.NewLane(&w.Spec)
	v.mu.Lock()
	defer v.mu.Unlock()
	a := v.before(&lane, w.QueueAt)
	a.Type += v.since[lane.Type]
	v.since[lane.Type]++
	return v.estimate(s.deps.Clock.Now(), &lane, w, a)
}

// know reads a customer's entitlements that had nothing waiting when the survey was taken, once for each survey.
func (s *Service) know(ctx context.Context, v *survey, id domain.CustomerID) error {
	v.mu.Lock()
	_, known := v.explainer.Entitlements(id)
	v.mu.Unlock()
	if known {
		return nil
	}
	c, err := s.deps.Customers.Get(ctx, id)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.explainer.Learn(id, c.Entitlements())
	return nil
}

// before is what is ahead of a workload: the lanes whose first workload is served before it count as a whole.
func (v *survey) before(lane *domain.Lane, queueAt time.Time) placement.Ahead {
	q := v.types[lane.Type]
	if q == nil {
		return placement.Ahead{AtLeast: v.cut}
	}
	own := q.byCustomer[lane.CustomerID]
	a := placement.Ahead{Customer: own, AtLeast: v.cut}
	if v.Policy != domain.PolicyFair {
		at := queueAt.Add(-v.advance(lane)).UnixNano()
		a.Type = q.upTo[sort.Search(len(q.lanes), func(i int) bool { return q.lanes[i].at >= at })]
		return a
	}
	a.Type, a.AtLeast = own, v.cut || len(q.byCustomer) > 1
	for id, n := range q.byCustomer {
		if id != lane.CustomerID {
			a.Type += min(n, v.turns(own, lane.CustomerID, id))
		}
	}
	return a
}
