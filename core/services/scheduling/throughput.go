package scheduling

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	// throughputInterval is how often the throughput is kept, and the grain it is measured in; throughputWindow how far back it reaches.
	throughputInterval = 5 * time.Second
	throughputWindow   = 5 * time.Minute
)

// meter counts placements lately.
type meter struct {
	since time.Time
	grain []grain // oldest first
	kept  time.Time
	blank bool // what was kept last counts nothing

	// waiting are the types of which some had to wait for slots, and the customers at their limit, since the last look.
	looked  time.Time
	waiting busy
}

// busy are types and customers of which something waits.
type busy struct {
	types     map[string]bool
	customers map[domain.CustomerID]bool
}

// maxLook bounds the time between two looks that counts: for longer, nobody was leading.
const maxLook = 10 * time.Second

// pass counts the time since the last look for what waited then.
func (m *meter) pass(now time.Time) {
	took := min(now.Sub(m.looked), maxLook).Microseconds()
	m.looked = now
	if took <= 0 || len(m.waiting.types)+len(m.waiting.customers) == 0 {
		return
	}
	g := m.current(now)
	for t := range m.waiting.types {
		g.types[t] = g.types[t].Add(domain.PlacementRate{Busy: took})
	}
	for c := range m.waiting.customers {
		g.customers[c] = g.customers[c].Add(domain.PlacementRate{Busy: took})
	}
}

// look notes what was passed over.
func (m *meter) look(over map[domain.Obstacle][]domain.LaneHeads) {
	m.waiting = busy{map[string]bool{}, map[domain.CustomerID]bool{}}
	for _, l := range over[domain.ObstacleFull] {
		m.waiting.types[l.Lane.Type] = true
	}
	for _, l := range over[domain.ObstacleLimit] {
		m.waiting.customers[l.Lane.CustomerID] = true
	}
}

// grain is what was placed within throughputInterval.
type grain struct {
	begin     time.Time
	types     map[string]domain.PlacementRate
	customers map[domain.CustomerID]domain.PlacementRate
}

// current is the grain that counts now.
func (m *meter) current(now time.Time) *grain {
	if m.since.IsZero() {
		m.since = now
	}
	if last := len(m.grain) - 1; last < 0 || now.Sub(m.grain[last].begin) >= throughputInterval {
		m.grain = append(m.grain, grain{now, map[string]domain.PlacementRate{}, map[domain.CustomerID]domain.PlacementRate{}})
	}
	return &m.grain[len(m.grain)-1]
}

// placed counts a placement, for the throughput if others of its type, or of its customer, had to wait before it.
func (m *meter) placed(now time.Time, typ string, c domain.CustomerID) {
	g := m.current(now)
	count := func(waiting bool) domain.PlacementRate {
		if waiting {
			return domain.PlacementRate{Placed: 1, Last: now}
		}
		return domain.PlacementRate{Last: now}
	}
	g.types[typ] = g.types[typ].Add(count(m.waiting.types[typ]))
	g.customers[c] = g.customers[c].Add(count(m.waiting.customers[c]))
}

// throughput sums up the window that ends now.
func (m *meter) throughput(now time.Time) domain.Throughput {
	for len(m.grain) > 0 && now.Sub(m.grain[0].begin) > throughputWindow {
		m.grain = m.grain[1:]
	}
	p := domain.Throughput{At: now, Types: map[string]domain.PlacementRate{}, Customers: map[domain.CustomerID]domain.PlacementRate{}}
	if !m.since.IsZero() {
		p.Window = min(now.Sub(m.since), throughputWindow)
	}
	for _, g := range m.grain {
		for t, n := range g.types {
			p.Types[t] = p.Types[t].Add(n)
		}
		for c, n := range g.customers {
			p.Customers[c] = p.Customers[c].Add(n)
		}
	}
	return p
}

// saveThroughput stores the throughput now and then, where any coordinator finds it. What nobody placed anything in is kept once.
func (s *Service) saveThroughput(ctx context.Context, now time.Time) error {
	if now.Sub(s.meter.kept) < throughputInterval {
		return nil
	}
	s.meter.kept = now
	p := s.meter.throughput(now)
	blank := len(p.Types) == 0
	if blank && s.meter.blank {
		return nil
	}
	s.meter.blank = blank
	return s.deps.Insight.SaveThroughput(ctx, p)
}
