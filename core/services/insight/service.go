package insight

import (
	"context"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Deps are what the service stands on.
type Deps struct {
	Queue     ports.QueueStore
	Insight   ports.InsightStore
	Workers   ports.WorkerStore
	Workloads ports.WorkloadStore
	Customers ports.CustomerStore
	Clock     ports.Clock
	// Policy is the scheduler's.
	Policy domain.Policy
}

// Service is the insight service. Safe for concurrent use.
type Service struct {
	Deps
	recent survey
}

// New returns the service.
func New(d Deps) *Service { return &Service{Deps: d} }

// countMost bounds how many are counted in a lane before a workload whose place is asked for.
const countMost = 10_000

// Placement says why a workload waits.
type Placement struct {
	Workload domain.Workload
	// Waiting tells that it does; the rest is empty otherwise.
	Waiting bool
	// Position is its place in the queue, 1 for the next; 0 while it may not be placed yet. With AtLeast it is not exact: more than were
	// counted are before it, or the policy is fair, which decides between customers as slots get free.
	Position int
	AtLeast  bool
	// Start is when it may start, with how sure that is; zero when there is nothing to tell it from.
	Start      time.Time
	Confidence domain.Confidence
	// Placeable tells whether some worker there is could run it.
	Placeable bool
	Reasons   []domain.Reason
}

// picture is the queue and the fleet at one moment.
type picture struct {
	domain.Snapshot
	now   time.Time
	pace  domain.Pace
	lanes []domain.Lane
	// oldest is since when the first of each lane waits.
	oldest []time.Time

	mu       sync.Mutex
	verdicts map[domain.LaneID]verdict
}

// verdict is what estimates need of an explanation.
type verdict struct{ atLimit, free, placeable bool }

func verdictOf(reasons []domain.Reason, placeable bool) verdict {
	v := verdict{placeable: placeable}
	for _, r := range reasons {
		v.atLimit = v.atLimit || r.Code == domain.ReasonCustomerLimit
		v.free = v.free || r.Code == domain.ReasonNext
	}
	return v
}

// look takes a picture.
func (s *Service) look(ctx context.Context) (*picture, error) {
	p := &picture{now: s.Clock.Now(), verdicts: map[domain.LaneID]verdict{}, Snapshot: domain.Snapshot{Policy: s.Policy, Customers: map[domain.CustomerID]domain.Terms{}}}
	var err error
	if p.Workers, err = s.Workers.List(ctx); err != nil {
		return nil, err
	}
	if p.Occupancy, err = s.Queue.Occupancy(ctx); err != nil {
		return nil, err
	}
	heads, err := s.Queue.Heads(ctx, 1)
	if err != nil {
		return nil, err
	}
	var ids []domain.CustomerID
	for i := range heads {
		p.lanes, p.oldest = append(p.lanes, heads[i].Lane), append(p.oldest, heads[i].Heads[0].QueueAt)
		if id := heads[i].Lane.CustomerID; len(ids) == 0 || ids[len(ids)-1] != id { // lanes are ordered by customer
			ids = append(ids, id)
		}
	}
	customers, err := s.Customers.GetMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	for id, c := range customers {
		p.Customers[id] = c.Terms()
	}
	p.pace, err = s.Insight.Pace(ctx)
	return p, err
}

// Explain says why a customer's workload waits. CodeNotFound.
func (s *Service) Explain(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID) (Placement, error) {
	found, err := s.Workloads.Get(ctx, customer, id)
	if err != nil {
		return Placement{}, err
	}
	if len(found) == 0 {
		return Placement{}, domain.NotFound("workload")
	}
	w := found[0]
	out := Placement{Workload: w, Waiting: w.Status.Waiting()}
	if !out.Waiting {
		return out, nil
	}
	p, err := s.look(ctx)
	if err != nil {
		return Placement{}, err
	}
	c, err := s.Customers.Get(ctx, w.CustomerID)
	if err != nil {
		return Placement{}, err
	}
	p.Customers[c.ID] = c.Terms() // also while nothing of it may be placed
	lane := domain.NewLane(&w.Spec)
	out.Reasons, out.Placeable = p.Explain(lane)
	if w.NotBefore.After(p.now) {
		out.Reasons = append([]domain.Reason{domain.NotBefore(w.NotBefore)}, out.Reasons...)
	}
	counts, err := s.Insight.Ahead(ctx, p.cutoffs(&lane, w.QueueAt, w.ID), countMost)
	if err != nil {
		return Placement{}, err
	}
	ahead := p.ahead(&lane, counts, countMost)
	if !w.NotBefore.After(p.now) {
		out.Position, out.AtLeast = ahead.All+1, ahead.AtLeast
	}
	out.Start, out.Confidence = p.estimate(&lane, w.NotBefore, ahead, verdictOf(out.Reasons, out.Placeable))
	return out, nil
}

// cutoffs are the places in all lanes before which a workload's lane would be served first.
func (p *picture) cutoffs(lane *domain.Lane, queueAt time.Time, id domain.WorkloadID) []ports.Cutoff {
	own := p.advance(lane)
	out := make([]ports.Cutoff, len(p.lanes))
	for i := range p.lanes {
		out[i].Lane = p.lanes[i].ID
		if p.Policy != domain.PolicyFair || p.lanes[i].CustomerID == lane.CustomerID {
			out[i].Before = domain.Candidate{ID: id, QueueAt: queueAt.Add(p.advance(&p.lanes[i]) - own)}
		}
	}
	return out
}

func (p *picture) advance(l *domain.Lane) time.Duration {
	return p.Policy.Advance(l.Priority, p.Customers[l.CustomerID].Tier.Weight())
}

// ahead sums up what was counted before the cutoffs. With the fair policy customers take turns by weight: of another customer's, so many are
// before a workload as its own customer has before it, weighted, or all it has.
func (p *picture) ahead(lane *domain.Lane, counts []int, most int) domain.Ahead {
	var a domain.Ahead
	others := map[domain.CustomerID]domain.Ahead{}
	for i, n := range counts {
		l := &p.lanes[i]
		of := others[l.CustomerID]
		of.All += n
		if l.Type == lane.Type {
			of.Type += n
		}
		others[l.CustomerID] = of
		a.AtLeast = a.AtLeast || n == most
	}
	own := others[lane.CustomerID]
	a.Customer = own.All
	weight := float64(p.Customers[lane.CustomerID].Tier.Weight())
	for id, of := range others {
		if p.Policy == domain.PolicyFair && id != lane.CustomerID {
			a.AtLeast = true
			turns := int(float64(own.All+1) * float64(p.Customers[id].Tier.Weight()) / weight)
			of.All, of.Type = min(of.All, turns), min(of.Type, turns)
		}
		a.All += of.All
		a.Type += of.Type
	}
	return a
}

// estimate tells when a workload of the lane may start; zero when nothing tells it.
func (p *picture) estimate(lane *domain.Lane, notBefore time.Time, ahead domain.Ahead, v verdict) (time.Time, domain.Confidence) {
	e, ok := p.pace.Estimate(p.now, lane.CustomerID, lane.Type, ahead, v.atLimit, v.free)
	if !ok || !v.placeable {
		return time.Time{}, ""
	}
	start := p.now.Add(e.In)
	if notBefore.After(start) {
		start = notBefore
	}
	return start, e.Confidence
}
