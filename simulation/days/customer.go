package days

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Duration is the distribution of run times. It is log-normal, as measured job durations mostly
// are. Without a spread every run takes the median.
type Duration struct {
	Median time.Duration
	// Spread is the standard deviation of the logarithm.
	Spread float64
}

// Mean returns the mean run time.
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

// Chance is a priority with its likelihood relative to the others.
type Chance struct {
	Priority int
	Weight   float64
}

// Customer is one customer with the work that it submits, in one of three ways.
type Customer struct {
	ID   domain.CustomerID
	Tier domain.Tier
	// MaxConcurrent overrides the tier's limit. 0: the tier's.
	MaxConcurrent int
	Duration      Duration
	// Priorities is the distribution of the priorities. If it is empty, every workload has priority
	// 0.
	Priorities []Chance

	// Rate returns the arrival rate, in workloads per second, at a time after the beginning. The
	// arrivals are a Poisson process. The rate is at most MaxRate.
	Rate    func(time.Duration) float64
	MaxRate float64
	// Backlog is the number of workloads that the customer keeps waiting. When one is placed, it
	// submits another.
	Backlog int
	// At lists the times after the beginning at which the customer submits single workloads.
	At []time.Duration
}

// source is a customer with its own random numbers, so that its work does not depend on the others.
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

// nextArrival draws the time of the next arrival: a Poisson process of rate MaxRate, thinned to
// Rate.
func (s *source) nextArrival(after time.Duration) time.Duration {
	for {
		after += time.Duration(s.rng.ExpFloat64() / s.MaxRate * float64(time.Second))
		if s.rng.Float64()*s.MaxRate < s.Rate(after) {
			return after
		}
	}
}
