package days

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Duration is how long workloads run: log-normal, which is what measured job durations resemble most. Without a spread each takes the median.
type Duration struct {
	Median time.Duration
	// Spread is the standard deviation of the logarithm.
	Spread float64
}

// Mean is what it is on average.
func (d Duration) Mean() time.Duration {
	return time.Duration(float64(d.Median) * math.Exp(d.Spread*d.Spread/2))
}

func (d Duration) draw(rng *rand.Rand) time.Duration {
	x := 1.0
	if d.Spread > 0 {
		x = math.Exp(d.Spread * rng.NormFloat64())
	}
	return max(time.Duration(float64(d.Median)*x).Truncate(time.Microsecond), time.Millisecond)
}

// Chance is a priority and how likely it is, relative to the others.
type Chance struct {
	Priority int
	Weight   float64
}

// Customer is one customer with the work it brings. It brings work in one of three ways.
type Customer struct {
	ID   domain.CustomerID
	Tier domain.Tier
	// MaxConcurrent overrides the tier's limit. 0: the tier's.
	MaxConcurrent int
	Duration      Duration
	// Priorities are drawn from; none: all have priority 0.
	Priorities []Chance

	// Rate is how many workloads per second arrive (Poisson), so long after the beginning; at most MaxRate.
	Rate    func(time.Duration) float64
	MaxRate float64
	// Backlog is how many it always keeps waiting: as one starts, the next is submitted.
	Backlog int
	// At are the times, from the beginning, at which single workloads arrive.
	At []time.Duration
}

// source is a customer with its own randomness, so that what it brings does not depend on what becomes of others.
type source struct {
	Customer
	rng *rand.Rand
}

func (s *source) priority() int {
	total := 0.0
	for _, c := range s.Priorities {
		total += c.Weight
	}
	x := s.rng.Float64() * total
	for _, c := range s.Priorities {
		if x -= c.Weight; x < 0 {
			return c.Priority
		}
	}
	return 0
}

// nextArrival draws when the next workload arrives after some time: a Poisson process of the highest rate, thinned to the rate of the moment.
func (s *source) nextArrival(after time.Duration) time.Duration {
	for {
		after += time.Duration(s.rng.ExpFloat64() / s.MaxRate * float64(time.Second))
		if s.rng.Float64()*s.MaxRate < s.Rate(after) {
			return after
		}
	}
}
