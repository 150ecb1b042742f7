package insight

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

// snapshot is the queue and the workers at one moment.
type snapshot struct {
	placement.Snapshot
	throughput domain.Throughput
	explainer  *placement.Explainer
	lanes      []domain.Lane
	first      []domain.Candidate // of each lane
	cut        bool               // some customer has more lanes than these
	aside      bool               // some lanes that no worker admits are left out
}

// snapshot reads a snapshot. It has the entitlements of the customers with waiting workloads, and
// those of the given customers.
func (s *Service) snapshot(ctx context.Context, customers ...domain.CustomerID) (*snapshot, error) {
	snap := &snapshot{Snapshot: placement.Snapshot{
		Now: s.deps.Clock.Now(), Policy: s.cfg.Policy, AntiAcross: s.cfg.AntiAcross,
		Customers: map[domain.CustomerID]domain.Entitlements{},
	}}
	fleet, err := s.deps.Workers.Fleet(ctx)
	if err != nil {
		return nil, err
	}
	snap.Workers, snap.Occupancy = fleet.Workers, fleet.Occupancy
	queue, err := s.deps.Queue.Heads(ctx, domain.HeadsQuery{
		N: 1, Policy: s.cfg.Policy, Roster: domain.NewRoster(snap.Workers),
	})
	if err != nil {
		return nil, err
	}
	snap.cut, snap.aside = queue.Cut > 0, queue.Aside > 0
	ids := slices.Clone(customers)
	for _, l := range queue.Lanes {
		snap.lanes, snap.first = append(snap.lanes, l.Lane), append(snap.first, l.Heads[0])
		if id := l.Lane.CustomerID; len(ids) == 0 || ids[len(ids)-1] != id { // lanes are ordered by customer
			ids = append(ids, id)
		}
	}
	found, err := s.deps.Customers.GetMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	for id, c := range found {
		snap.Customers[id] = c.Entitlements()
	}
	explained := snap.Snapshot
	if len(queue.Lanes) > 0 {
		explained.Now = queue.Now // the times in the queue and the occupancy are by the store's clock
	}
	snap.explainer = placement.NewExplainer(explained)
	snap.explainer.Reserve(queue.Lanes)
	snap.throughput, err = s.deps.Insight.Throughput(ctx)
	return snap, err
}

// include adds the lane of a workload if the snapshot does not have it. Lanes that are set aside or
// beyond the limit of a customer are missing.
func (s *snapshot) include(lane domain.Lane, c domain.Candidate) {
	if !slices.ContainsFunc(s.lanes, func(l domain.Lane) bool { return l.ID == lane.ID }) {
		s.lanes, s.first = append(s.lanes, lane), append(s.first, c)
	}
}

// cutoffs returns, for each lane, the place up to which its workloads are served before a workload
// of the given lane. With PolicyFair the lanes of other customers have none: the whole lane counts.
func (s *snapshot) cutoffs(lane *domain.Lane, queueAt time.Time, id domain.WorkloadID) []ports.Cutoff {
	own := s.advance(lane)
	out := make([]ports.Cutoff, len(s.lanes))
	for i := range s.lanes {
		out[i].Lane = s.lanes[i].ID
		if s.Policy != domain.PolicyFair || s.lanes[i].CustomerID == lane.CustomerID {
			out[i].Before = domain.Candidate{ID: id, QueueAt: queueAt.Add(s.advance(&s.lanes[i]) - own)}
		}
	}
	return out
}

// advance returns by how much the workloads of the lane are moved forward in the queue.
func (s *snapshot) advance(l *domain.Lane) time.Duration {
	return s.Policy.Advance(l.Priority, s.weight(l.CustomerID))
}

// weight returns the weight of the customer's tier.
func (s *snapshot) weight(id domain.CustomerID) int {
	entitlements, _ := s.explainer.Entitlements(id)
	return entitlements.Tier.Weight()
}

// blocked reports whether no workload of the lane can be placed, so that they do not delay others.
func (s *snapshot) blocked(l *domain.Lane) bool {
	return !s.explainer.Placeable(l) || s.explainer.AtLimit(l.CustomerID)
}

// ahead sums up the counts of workloads before a workload of the lane, one count per lane. With
// PolicyFair the customers take turns. So of another customer's workloads only as many count as the
// turns it gets until the workload's own customer is served.
func (s *snapshot) ahead(lane *domain.Lane, counts []int, exact bool) placement.Ahead {
	a := placement.Ahead{Estimated: s.cut || !exact}
	customers := map[domain.CustomerID]placement.Ahead{}
	for i, n := range counts {
		l := &s.lanes[i]
		c := customers[l.CustomerID]
		c.All += n
		if l.Type == lane.Type && !s.blocked(l) {
			c.Type += n
		}
		if l.CustomerID == lane.CustomerID && s.explainer.Placeable(l) {
			c.Customer += n
		}
		customers[l.CustomerID] = c
	}
	own := customers[lane.CustomerID]
	for id, c := range customers {
		if s.Policy == domain.PolicyFair && id != lane.CustomerID {
			a.Estimated = true
			turns := s.turns(own.All, lane.CustomerID, id)
			c.All, c.Type = min(c.All, turns), min(c.Type, turns)
		}
		a.All, a.Type = a.All+c.All, a.Type+c.Type
	}
	a.Customer = own.Customer
	return a
}

// turns returns how often the other customer is served until the customer has been served n+1
// times.
func (s *snapshot) turns(n int, customer, other domain.CustomerID) int {
	return int(float64(n+1) * float64(s.weight(other)) / float64(s.weight(customer)))
}

// estimate returns when a workload of the lane may start. It is zero if nothing is known. now may
// be later than the snapshot: a workload that may start at once starts now.
func (s *snapshot) estimate(
	now time.Time, lane *domain.Lane, w *domain.Workload, ahead placement.Ahead,
) (time.Time, placement.Confidence) {
	e, ok := placement.EstimateWait(s.throughput, s.Now, placement.Waiting{
		CustomerID: lane.CustomerID, Type: lane.Type, Ahead: ahead,
		Room: s.explainer.Room(lane), Slots: s.explainer.Slots(lane), AtLimit: s.explainer.AtLimit(lane.CustomerID),
	})
	if entitlements, _ := s.explainer.Entitlements(lane.CustomerID); entitlements.Suspended {
		return time.Time{}, "" // nobody knows when it is reactivated
	}
	if !ok || !s.explainer.Placeable(lane) {
		return time.Time{}, ""
	}
	start := now.Add(e.In)
	if start.Before(w.CreatedAt) { // the store's clock is ahead of this process's
		start = w.CreatedAt.Add(e.In)
	}
	if w.NotBefore.After(start) { // nobody knows the queue of that time
		return w.NotBefore, placement.ConfidenceLow
	}
	return start, e.Confidence
}
