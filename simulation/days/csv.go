package days

import (
	"encoding/csv"
	"io"
	"strconv"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Point is one point of a plot.
type Point struct {
	X      string
	Series string
	Y      float64
}

// WriteCSV writes points with the header that the plotting tool expects: x,series,y.
func WriteCSV(w io.Writer, points []Point) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"x", "series", "y"}); err != nil {
		return err
	}
	for _, p := range points {
		if err := out.Write([]string{p.X, p.Series, number(p.Y)}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// number formats x with as many digits as a plot can show. More digits would make the files differ
// between machines.
func number(x float64) string { return strconv.FormatFloat(x, 'g', 4, 64) }

func hours(d time.Duration) string { return number(d.Hours()) }

// byTier adds up counts of customers by tier.
func byTier[N int | float64](r *Result, of []N) map[domain.Tier]N {
	sums := map[domain.Tier]N{}
	for i, c := range r.cfg.Customers {
		sums[c.Tier] += of[i]
	}
	return sums
}

// WaitingSeries returns the number of waiting workloads by tier over the hours.
func (r *Result) WaitingSeries() []Point {
	var ps []Point
	for _, t := range domain.Tiers() {
		for _, s := range r.Series {
			ps = append(ps, Point{hours(s.At), string(t), float64(byTier(r, s.Waiting)[t])})
		}
	}
	return ps
}

// FleetSeries returns the slots of the workers, those of the desired workers, the slots in use, and
// the waiting workloads over the hours, of an elastic fleet.
func (r *Result) FleetSeries() []Point {
	var ps []Point
	slots := r.cfg.Elastic.Pool.Slots
	for _, line := range []struct {
		name  string
		value func(*Sample) int
	}{
		{"desired", func(s *Sample) int { return s.Desired * slots }},
		{"slots", func(s *Sample) int { return s.Workers * slots }},
		{"in use", func(s *Sample) int { return s.Running }},
		{"waiting", (*Sample).waiting},
	} {
		for i := range r.Series {
			ps = append(ps, Point{hours(r.Series[i].At), line.name, float64(line.value(&r.Series[i]))})
		}
	}
	return ps
}

func (s *Sample) waiting() (n int) {
	for _, w := range s.Waiting {
		n += w
	}
	return n
}

// ShareSeries returns the percentage of the used slot-time that each tier had in the last window,
// over the hours. With weights, it adds the percentage that the weight of the tier entitles it to.
func (r *Result) ShareSeries(window time.Duration, weights bool) []Point {
	if len(r.Series) == 0 {
		return nil
	}
	entitled := byTier(r, r.Weights())
	var ps []Point
	for _, t := range domain.Tiers() {
		first := 0
		for i, s := range r.Series {
			for s.At-r.Series[first].At > window {
				first++
			}
			if i == 0 {
				continue
			}
			before := r.Series[first]
			held, all := byTier(r, s.Held)[t]-byTier(r, before.Held)[t], sum(s.Held)-sum(before.Held)
			if held > 0 { // a logarithmic axis has no zero
				ps = append(ps, Point{hours(s.At), string(t), 100 * held / all})
			}
		}
		if weights {
			for _, s := range []Sample{r.Series[0], r.Series[len(r.Series)-1]} {
				ps = append(ps, Point{hours(s.At), string(t) + ByWeight, 100 * entitled[t]})
			}
		}
	}
	return ps
}

// ByWeight is the suffix of the series that shows what a tier is entitled to.
const ByWeight = " by weight"
