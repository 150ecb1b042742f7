package scheduling

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	// paceEvery is how often the pace is kept, and the grain it is measured in; paceWindow how far back it reaches.
	paceEvery  = 5 * time.Second
	paceWindow = 5 * time.Minute
)

// meter counts placements lately.
type meter struct {
	since time.Time
	grain []grain // oldest first
	kept  time.Time
	blank bool // what was kept last counts nothing
}

// grain is what was placed within paceEvery.
type grain struct {
	begin     time.Time
	types     map[string]domain.TypePace
	customers map[domain.CustomerID]int
}

func (m *meter) placed(now time.Time, typ string, c domain.CustomerID) {
	if m.since.IsZero() {
		m.since = now
	}
	last := len(m.grain) - 1
	if last < 0 || now.Sub(m.grain[last].begin) >= paceEvery {
		m.grain = append(m.grain, grain{now, map[string]domain.TypePace{}, map[domain.CustomerID]int{}})
		last++
	}
	m.grain[last].types[typ] = domain.TypePace{Placed: m.grain[last].types[typ].Placed + 1, Last: now}
	m.grain[last].customers[c]++
}

// pace sums up the window that ends now.
func (m *meter) pace(now time.Time) domain.Pace {
	for len(m.grain) > 0 && now.Sub(m.grain[0].begin) > paceWindow {
		m.grain = m.grain[1:]
	}
	p := domain.Pace{At: now, Types: map[string]domain.TypePace{}, Customers: map[domain.CustomerID]int{}}
	if !m.since.IsZero() {
		p.Window = min(now.Sub(m.since), paceWindow)
	}
	for _, g := range m.grain {
		for t, n := range g.types {
			p.Types[t] = domain.TypePace{Placed: p.Types[t].Placed + n.Placed, Last: n.Last}
		}
		for c, n := range g.customers {
			p.Customers[c] += n
		}
	}
	return p
}

// keepPace stores the pace now and then, where any coordinator finds it. What nobody placed anything in is kept once.
func (s *Service) keepPace(ctx context.Context, now time.Time) error {
	if now.Sub(s.meter.kept) < paceEvery {
		return nil
	}
	s.meter.kept = now
	p := s.meter.pace(now)
	blank := len(p.Types) == 0
	if blank && s.meter.blank {
		return nil
	}
	s.meter.blank = blank
	return s.Insight.SavePace(ctx, p)
}
