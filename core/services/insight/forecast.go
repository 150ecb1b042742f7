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
	// forecastLifetime is how long a forecast serves.
	forecastLifetime = 2 * time.Second
	// forecastTimeout is how long making a forecast may take.
	forecastTimeout = 5 * time.Second
	// forecastLimit is how many workloads a forecast counts.
	forecastLimit = 20_000
)

// forecast is a snapshot with the lengths of the lanes. It is prepared so that each estimate from
// it is cheap, however many are made.
type forecast struct {
	*snapshot
	types map[string]*typeQueue
	stuck map[domain.CustomerID]map[string]Stuck // by customer and type

	mu sync.Mutex // protects the explainer and since
	// since counts, for each type, the submissions estimated from this forecast.
	since map[string]int
}

// typeQueue is the waiting workloads of one type that may be placed.
type typeQueue struct {
	lanes      []rankedLane // in the order of the queue
	upTo       []int        // upTo[i] is the number of workloads in the first i lanes
	byCustomer map[domain.CustomerID]int
}

type rankedLane struct {
	at    int64 // virtual time of the first workload, in nanoseconds
	count int
}

// forecasts keeps the last forecast.
type forecasts struct {
	making sync.Mutex // held while the next forecast is made
	mu     sync.Mutex
	made   time.Time
	last   *forecast
}

// forecast returns the last forecast, or a new one if the last is too old. It returns nil if none
// could be made. Only one caller at a time makes a new forecast; the others get the last one. The
// forecast serves all callers, so it is made even if the caller goes away.
func (s *Service) forecast(ctx context.Context) *forecast {
	f := &s.forecasts
	f.mu.Lock()
	last, old := f.last, s.deps.Clock.Now().Sub(f.made) >= forecastLifetime
	f.mu.Unlock()
	if !old || !f.making.TryLock() {
		return last
	}
	defer f.making.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forecastTimeout)
	defer cancel()
	next, err := s.makeForecast(ctx)
	if err != nil {
		next = nil // answer without an estimate rather than try again at once
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made, f.last = s.deps.Clock.Now(), next
	return next
}

func (s *Service) makeForecast(ctx context.Context) (*forecast, error) {
	snap, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	whole := make([]ports.Cutoff, len(snap.lanes))
	for i := range whole {
		whole[i].Lane = snap.lanes[i].ID
	}
	counts, exact, err := s.deps.Insight.Ahead(ctx, whole, forecastLimit)
	if err != nil {
		return nil, err
	}
	f := &forecast{
		snapshot: snap, types: map[string]*typeQueue{}, since: map[string]int{},
		stuck: map[domain.CustomerID]map[string]Stuck{},
	}
	for i, n := range counts {
		l := &snap.lanes[i]
		if !snap.explainer.Placeable(l) {
			f.addStuck(l, &snap.first[i], n, exact)
		}
		if snap.blocked(l) {
			continue
		}
		q := f.types[l.Type]
		if q == nil {
			q = &typeQueue{byCustomer: map[domain.CustomerID]int{}}
			f.types[l.Type] = q
		}
		q.lanes = append(q.lanes, rankedLane{snap.first[i].QueueAt.Add(-snap.advance(l)).UnixNano(), n})
		q.byCustomer[l.CustomerID] += n
	}
	for _, q := range f.types {
		slices.SortFunc(q.lanes, func(a, b rankedLane) int { return cmp.Compare(a.at, b.at) })
		q.upTo = make([]int, len(q.lanes)+1)
		for i, l := range q.lanes {
			q.upTo[i+1] = q.upTo[i] + l.count
		}
	}
	return f, nil
}

// Estimate returns when a workload that was just submitted may start, and how reliable that is. The
// time is zero if nothing is known. The estimate rests on the same throughput as Explain's, but on
// a forecast that may be some seconds old.
func (s *Service) Estimate(ctx context.Context, w *domain.Workload) (time.Time, placement.Confidence) {
	f := s.forecast(ctx)
	if f == nil {
		return time.Time{}, ""
	}
	if err := s.learn(ctx, f, w.CustomerID); err != nil {
		return time.Time{}, ""
	}
	lane := domain.NewLane(&w.Spec)
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.aheadLocked(&lane, w.QueueAt)
	a.Type += f.since[lane.Type]
	f.since[lane.Type]++
	return f.estimate(s.deps.Clock.Now(), &lane, w, a)
}

// learn adds the customer's entitlements to the forecast. They are missing when the customer had
// nothing waiting. They are read at most once for each forecast.
func (s *Service) learn(ctx context.Context, f *forecast, id domain.CustomerID) error {
	f.mu.Lock()
	_, known := f.explainer.Entitlements(id)
	f.mu.Unlock()
	if known {
		return nil
	}
	c, err := s.deps.Customers.Get(ctx, id)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.explainer.Learn(id, c.Entitlements())
	return nil
}

// aheadLocked returns how many workloads are before a new workload of the lane. A lane counts as a
// whole if its first workload is served before the new one.
func (f *forecast) aheadLocked(lane *domain.Lane, queueAt time.Time) placement.Ahead {
	q := f.types[lane.Type]
	if q == nil {
		return placement.Ahead{Estimated: f.cut}
	}
	own := q.byCustomer[lane.CustomerID]
	a := placement.Ahead{Customer: own, Estimated: f.cut}
	if f.Policy != domain.PolicyFair {
		at := queueAt.Add(-f.advance(lane)).UnixNano()
		a.Type = q.upTo[sort.Search(len(q.lanes), func(i int) bool { return q.lanes[i].at >= at })]
		return a
	}
	a.Type, a.Estimated = own, f.cut || len(q.byCustomer) > 1
	for id, n := range q.byCustomer {
		if id != lane.CustomerID {
			a.Type += min(n, f.turns(own, lane.CustomerID, id))
		}
	}
	return a
}
