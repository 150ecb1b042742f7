package main

import (
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
)

// number writes a number for people: three digits that count, thousands apart.
func number(x float64) string {
	if x == 0 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(x)))))
	s := strconv.FormatFloat(x, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	whole, rest, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		return whole + "." + rest
	}
	return whole
}

// ticks are those of a linear axis, so far apart or as fits.
type ticks struct{ step float64 }

// Ticks implements plot.Ticker.
func (t ticks) Ticks(low, high float64) []plot.Tick {
	if t.step > 0 {
		var ts []plot.Tick
		for n := math.Ceil(low / t.step); n*t.step <= high; n++ {
			ts = append(ts, plot.Tick{Value: n * t.step, Label: number(n * t.step)})
		}
		return ts
	}
	ts := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ts {
		if ts[i].Label != "" {
			ts[i].Label = number(ts[i].Value)
		}
	}
	return ts
}

// powers are those of a logarithmic axis: every power of ten, with marks between.
type powers struct{}

// Ticks implements plot.Ticker.
func (powers) Ticks(low, high float64) []plot.Tick {
	const slack = 1e-9 // a power of ten at the end of the axis is on it
	var ts []plot.Tick
	for e := math.Floor(math.Log10(low)); math.Pow(10, e) <= high*(1+slack); e++ {
		for i := 1.0; i < 10; i++ {
			x := i * math.Pow(10, e)
			if x < low*(1-slack) || x > high*(1+slack) {
				continue
			}
			label := ""
			if i == 1 {
				label = number(x)
			}
			ts = append(ts, plot.Tick{Value: x, Label: label})
		}
	}
	return ts
}
