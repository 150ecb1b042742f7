package scheduling

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	// throughputInterval is the time between two saves of the throughput, and the length of a
	// bucket.
	throughputInterval = 5 * time.Second
	// throughputWindow is how far back the throughput reaches.
	throughputWindow = 5 * time.Minute
	// gapLimit is the longest time between two cycles that counts in full. In a longer gap this
	// coordinator was not the leader.
	gapLimit = 10 * time.Second
)

// meter measures the throughput of the queue; see domain.Throughput.
type meter struct {
	since   time.Time // of the first measurement
	buckets []bucket  // oldest first
	saved   time.Time
	blank   bool // the throughput that was saved last is empty

	advanced time.Time
	waiting  waiting // since the last cycle
}

// waiting names the types of which workloads wait for slots, and the customers that are at their
// limit.
type waiting struct {
	types     map[string]bool
	customers map[domain.CustomerID]bool
}

// bucket counts what was placed within one throughputInterval.
type bucket struct {
	begin     time.Time
	types     map[string]domain.PlacementRate
	customers map[domain.CustomerID]domain.PlacementRate
	waits     map[domain.Tier]domain.Waits
	lanes     map[domain.LaneID]domain.Waits // at most domain.MeasuredLanes
}

// advance counts the time since the last cycle for the types and customers that were waiting then.
func (m *meter) advance(now time.Time) {
	busy := min(now.Sub(m.advanced), gapLimit).Microseconds()
	m.advanced = now
	if busy <= 0 || len(m.waiting.types)+len(m.waiting.customers) == 0 {
		return
	}
	b := m.bucket(now)
	for t := range m.waiting.types {
		b.types[t] = b.types[t].Add(domain.PlacementRate{Busy: busy})
	}
	for c := range m.waiting.customers {
		b.customers[c] = b.customers[c].Add(domain.PlacementRate{Busy: busy})
	}
}

// note remembers which types and customers are waiting: those of the lanes that were passed over.
func (m *meter) note(passedOver map[domain.Obstacle][]domain.LaneHeads) {
	m.waiting = waiting{map[string]bool{}, map[domain.CustomerID]bool{}}
	for _, l := range passedOver[domain.ObstacleFull] {
		m.waiting.types[l.Lane.Type] = true
	}
	for _, l := range passedOver[domain.ObstacleLimit] {
		m.waiting.customers[l.Lane.CustomerID] = true
	}
}

// bucket returns the bucket that counts now.
func (m *meter) bucket(now time.Time) *bucket {
	if m.since.IsZero() {
		m.since = now
	}
	if last := len(m.buckets) - 1; last < 0 || now.Sub(m.buckets[last].begin) >= throughputInterval {
		m.buckets = append(m.buckets, bucket{
			now, map[string]domain.PlacementRate{}, map[domain.CustomerID]domain.PlacementRate{},
			map[domain.Tier]domain.Waits{}, map[domain.LaneID]domain.Waits{},
		})
	}
	return &m.buckets[len(m.buckets)-1]
}

// placed counts a placement. It adds to the rate of the type, or of the customer, only if workloads
// of that type or customer were waiting: otherwise it says how often work is submitted, not how
// fast the queue moves.
func (m *meter) placed(now time.Time, typ string, c domain.CustomerID) {
	b := m.bucket(now)
	count := func(waiting bool) domain.PlacementRate {
		if waiting {
			return domain.PlacementRate{Placed: 1, Last: now}
		}
		return domain.PlacementRate{Last: now}
	}
	b.types[typ] = b.types[typ].Add(count(m.waiting.types[typ]))
	b.customers[c] = b.customers[c].Add(count(m.waiting.customers[c]))
}

// waited counts how long a workload had waited that was placed for the first time.
func (m *meter) waited(now time.Time, tier domain.Tier, lane domain.LaneID, d time.Duration) {
	b := m.bucket(now)
	addWaits(b.waits, tier).Add(d)
	if b.lanes[lane] != nil || len(b.lanes) < domain.MeasuredLanes {
		addWaits(b.lanes, lane).Add(d)
	}
}

// addWaits returns the waits of a key, to which more can be added.
func addWaits[K comparable](of map[K]domain.Waits, key K) domain.Waits {
	if of[key] == nil {
		of[key] = domain.Waits{}
	}
	return of[key]
}

// most returns the lanes with the most waits, at most domain.MeasuredLanes.
func most(lanes map[domain.LaneID]domain.Waits) map[domain.LaneID]domain.Waits {
	if len(lanes) <= domain.MeasuredLanes {
		return lanes
	}
	counts := make(map[domain.LaneID]int, len(lanes))
	for id, w := range lanes {
		counts[id] = w.Count()
	}
	ids := slices.SortedFunc(maps.Keys(counts), func(a, b domain.LaneID) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for _, id := range ids[domain.MeasuredLanes:] {
		delete(lanes, id)
	}
	return lanes
}

// throughput returns the sum of the window that ends now.
func (m *meter) throughput(now time.Time) domain.Throughput {
	for len(m.buckets) > 0 && now.Sub(m.buckets[0].begin) > throughputWindow {
		m.buckets = m.buckets[1:]
	}
	t := domain.Throughput{
		At: now, Types: map[string]domain.PlacementRate{}, Customers: map[domain.CustomerID]domain.PlacementRate{},
		Waits: map[domain.Tier]domain.Waits{}, Lanes: map[domain.LaneID]domain.Waits{},
	}
	if !m.since.IsZero() {
		t.Window = min(now.Sub(m.since), throughputWindow)
	}
	for _, b := range m.buckets {
		for typ, r := range b.types {
			t.Types[typ] = t.Types[typ].Add(r)
		}
		for c, r := range b.customers {
			t.Customers[c] = t.Customers[c].Add(r)
		}
		for tier, w := range b.waits {
			addWaits(t.Waits, tier).Merge(w)
		}
		for lane, w := range b.lanes {
			addWaits(t.Lanes, lane).Merge(w)
		}
	}
	t.Lanes = most(t.Lanes)
	return t
}

// saveThroughput saves the throughput once in a throughputInterval, so that every coordinator can
// estimate from it. On an idle system the empty throughput is saved only once.
func (s *Service) saveThroughput(ctx context.Context, now time.Time) error {
	if now.Sub(s.meter.saved) < throughputInterval {
		return nil
	}
	s.meter.saved = now
	t := s.meter.throughput(now)
	blank := len(t.Types) == 0
	if blank && s.meter.blank {
		return nil
	}
	s.meter.blank = blank
	return s.deps.Insight.SaveThroughput(ctx, t)
}
