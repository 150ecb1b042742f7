package insight

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

// picture is the queue and the fleet at one moment.
type picture struct {
	placement.Snapshot
	now        time.Time
	throughput domain.Throughput
	explainer  *placement.Explainer
	lanes      []domain.Lane
	// cut tells that some customer has more lanes than these.
	cut bool
	// oldest is since when the first of each lane waits.
	oldest []time.Time
}

// look takes a picture. The entitlements of the customers named are in it also while nothing of theirs may be placed.
func (s *Service) look(ctx context.Context, customers ...domain.CustomerID) (*picture, error) {
	now := s.deps.Clock.Now()
	p := &picture{now: now, Snapshot: placement.Snapshot{Now: now, Policy: s.cfg.Policy, AntiAcross: s.cfg.AntiAcross, Customers: map[domain.CustomerID]domain.Entitlements{}}}
	var err error
	if p.Workers, err = s.deps.Workers.List(ctx); err != nil {
		return nil, err
	}
	if p.Occupancy, err = s.deps.Queue.Occupancy(ctx); err != nil {
		return nil, err
	}
	queue, err := s.deps.Queue.Heads(ctx, domain.HeadsQuery{N: 1, Policy: s.cfg.Policy, Roster: domain.NewRoster(p.Workers)})
	if err != nil {
		return nil, err
	}
	heads := queue.Lanes
	p.cut = queue.Cut > 0
	ids := slices.Clone(customers)
	for i := range heads {
		p.lanes, p.oldest = append(p.lanes, heads[i].Lane), append(p.oldest, heads[i].Heads[0].QueueAt)
		if id := heads[i].Lane.CustomerID; len(ids) == 0 || ids[len(ids)-1] != id { // lanes are ordered by customer
			ids = append(ids, id)
		}
	}
	found, err := s.deps.Customers.GetMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	for id, c := range found {
		p.Customers[id] = c.Entitlements()
	}
	p.explainer = placement.NewExplainer(p.Snapshot)
	p.throughput, err = s.deps.Insight.Throughput(ctx)
	return p, err
}

// include adds a workload's own lane, if the picture does not have it: it may be set aside or beyond the bound of its customer's lanes.
func (p *picture) include(lane domain.Lane, since time.Time) {
	if !slices.ContainsFunc(p.lanes, func(l domain.Lane) bool { return l.ID == lane.ID }) {
		p.lanes, p.oldest = append(p.lanes, lane), append(p.oldest, since)
	}
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

// advance is how much earlier a lane's workloads count in the queue.
func (p *picture) advance(l *domain.Lane) time.Duration {
	return p.Policy.Advance(l.Priority, p.weight(l.CustomerID))
}

func (p *picture) weight(id domain.CustomerID) int {
	entitlements, _ := p.explainer.Entitlements(id)
	return entitlements.Tier.Weight()
}

// blocked reports whether nothing of the lane can be placed however long one waits: it delays nobody.
func (p *picture) blocked(l *domain.Lane) bool {
	return !p.explainer.Placeable(l) || p.explainer.AtLimit(l.CustomerID)
}

// ahead sums up what was counted before the cutoffs. With the fair policy customers take turns by weight: of another customer's, so many are
// before a workload as its own customer has before it, weighted, or all it has.
func (p *picture) ahead(lane *domain.Lane, counts []int, most int) placement.Ahead {
	a := placement.Ahead{AtLeast: p.cut}
	customers := map[domain.CustomerID]placement.Ahead{}
	for i, n := range counts {
		l := &p.lanes[i]
		of := customers[l.CustomerID]
		of.All += n
		if l.Type == lane.Type && !p.blocked(l) {
			of.Type += n
		}
		if l.CustomerID == lane.CustomerID && p.explainer.Placeable(l) {
			of.Customer += n
		}
		customers[l.CustomerID] = of
		a.AtLeast = a.AtLeast || n == most
	}
	own := customers[lane.CustomerID]
	for id, of := range customers {
		if p.Policy == domain.PolicyFair && id != lane.CustomerID {
			a.AtLeast = true
			turns := p.turns(own.All, lane.CustomerID, id)
			of.All, of.Type = min(of.All, turns), min(of.Type, turns)
		}
		a.All, a.Type = a.All+of.All, a.Type+of.Type
	}
	a.Customer = own.Customer
	return a
}

// turns is how often another customer is served while one is served that often and once more.
func (p *picture) turns(served int, of, other domain.CustomerID) int {
	return int(float64(served+1) * float64(p.weight(other)) / float64(p.weight(of)))
}

// estimate tells when a workload of the lane may start; zero when nothing tells it. It is told from the picture, for now, which
// may be later than the picture was taken: what may start at once starts now, and never before it was submitted.
func (p *picture) estimate(now time.Time, lane *domain.Lane, w *domain.Workload, ahead placement.Ahead) (time.Time, placement.Confidence) {
	notBefore := w.NotBefore
	e, ok := placement.EstimateWait(p.throughput, p.now, placement.Waiting{
		CustomerID: lane.CustomerID, Type: lane.Type, Ahead: ahead,
		Room: p.explainer.Room(lane), Slots: p.explainer.Slots(lane), AtLimit: p.explainer.AtLimit(lane.CustomerID),
	})
	if !ok || !p.explainer.Placeable(lane) {
		return time.Time{}, ""
	}
	start := now.Add(e.In)
	if start.Before(w.CreatedAt) { // the store's clock is ahead of this one
		start = w.CreatedAt.Add(e.In)
	}
	if notBefore.After(start) { // what the queue will be like by then is not known
		return notBefore, placement.ConfidenceLow
	}
	return start, e.Confidence
}
